"""AADB: 9,958 photos with means of their aesthetics on 0-1, in the official split of three lists.

A list has a name and a score in each line, without a header. The photos of the newer test list, which is read here,
have a folder of their own.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.io.tables import TableForm, TableRow

LISTS = {
    "train": "imgListFiles_label/imgListTrainRegression_score.txt",
    "validation": "imgListFiles_label/imgListValidationRegression_score.txt",
    "test": "imgListFiles_label/imgListTestNewRegression_score.txt",
}
FORM = TableForm(columns=("name", "mos"), delimiter=" ")
FOLDERS = ("datasetImages_originalSize", "AADB_newtest_originalSize")


def read_aadb(place: Path) -> Dataset:
    """All photos of the lists that exist. Raises `UsageError`."""
    return AADB.splits(place, LISTS, FORM)


def _names(row: TableRow) -> tuple[str, ...]:
    folders = FOLDERS[::-1] if row.text("split") == "test" else FOLDERS
    return tuple(f"{folder}/{row.text('name')}" for folder in folders)


AADB = RatedSet(
    "aadb",
    "AADB",
    image=_names,
    score="mos",
    scale=(0, 1),
    folders=(".",),
    split="split",
    needs=("name",),
)
