"""AGIQA-1K: 1,080 pictures by two generators, MOS on 0-5.

There is no official split; pictures of one `prompt` belong together.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet

AGIQA1K = RatedSet(
    "agiqa1k",
    "AGIQA-1K",
    image="Image",
    score="MOS",
    scale=(0, 5),
    folders=("file", "images"),
    texts={"prompt": "Prompt"},
)


def read_agiqa1k(place: Path) -> Dataset:
    """All pictures of the table. Raises `UsageError`."""
    return AGIQA1K.read(place, "AIGC_MOS_Zscore.xlsx")
