"""UHD-IQA: 6,073 photos of 3840 pixels width and high quality, MOS on 0-1, with an official split.

Downloads have the photos in the folders `training`, `validation` and `test`.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.io.tables import TableRow


def read_uhdiqa(place: Path) -> Dataset:
    """All photos of the table. Raises `UsageError`."""
    return UHDIQA.read(place, "uhd-iqa-metadata.csv")


def _names(row: TableRow) -> tuple[str, str]:
    name = row.text("image_name")
    return f"{row.text('set')}/{name}", name


UHDIQA = RatedSet(
    "uhdiqa",
    "UHD-IQA",
    image=_names,
    score="quality_mos",
    scale=(0, 1),
    folders=(".", "images"),
    split="set",
    needs=("image_name",),
)
