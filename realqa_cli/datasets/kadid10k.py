"""KADID-10k: 10,125 photos with synthetic distortions of 81 references, rated on 1-5 by 30 people each.

The table calls its score `dmos`, but a higher one is better: it is the mean of a degradation category rating. There is
no official split; photos of one `reference` belong together.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet

KADID10K = RatedSet(
    "kadid10k",
    "KADID-10k",
    image="dist_img",
    score="dmos",
    scale=(1, 5),
    folders=("images",),
    texts={"reference": "ref_img"},
)


def read_kadid10k(place: Path) -> Dataset:
    """All distorted photos of the table. Raises `UsageError`."""
    return KADID10K.read(place, "dmos.csv")
