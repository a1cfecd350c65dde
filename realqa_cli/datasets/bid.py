"""BID, the blurred image database: 586 photos with real blur, MOS on 0-5.

The table `DatabaseGrades.xlsx` has the number in a photo's name, `DatabaseImage0001.JPG`. There is no official split.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.io.tables import TableRow


def read_bid(place: Path) -> Dataset:
    """All photos of the table. Raises `UsageError`."""
    return BID.read(place, "DatabaseGrades.xlsx")


def _names(row: TableRow) -> tuple[str]:
    return (f"DatabaseImage{row.number('Image Number', 0):04.0f}.JPG",)


BID = RatedSet(
    "bid",
    "BID",
    image=_names,
    score="Average Subjective Grade",
    scale=(0, 5),
    folders=(".", "ImageDatabase"),
    needs=("Image Number",),
)
