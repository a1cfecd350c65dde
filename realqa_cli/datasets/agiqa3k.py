"""AGIQA-3K: 2,982 pictures by six generators, MOS of perceived quality on 0-5.

The score of how well the picture fits its prompt is kept in the field `alignment_mos`. There is no official split;
pictures of one `prompt` belong together.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet

AGIQA3K = RatedSet(
    "agiqa3k",
    "AGIQA-3K",
    image="name",
    score="mos_quality",
    scale=(0, 5),
    folders=("file", "images", "image", "AGIQA-3K"),
    texts={"prompt": "prompt"},
    numbers={"mos_std": "std_quality", "alignment_mos": "mos_align"},
)


def read_agiqa3k(place: Path) -> Dataset:
    """All pictures of the table. Raises `UsageError`."""
    return AGIQA3K.read(place, "data.csv")
