"""PIPAL: the public training part, 23,200 photos by restoration algorithms of 200 references, Elo scores.

`Train_Label` has one text file for each reference, with a name and a score in each line. Elo scores have no bounds:
800-2000 is assumed, which holds those that are known (about 900 to 1850). The published split separates training from
validation and test photos, whose scores are in other files; within this part, photos of one `reference` belong
together.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.errors import UsageError
from realqa_cli.io.tables import TableForm, TableRow

LABELS = ("Train_Label", "Train_Label/Train_Label")
FORM = TableForm(columns=("name", "mos"), delimiter=",")

_PARTS = ("Train_Dist", *(f"{stem}{i}" for i in range(1, 5) for stem in ("Distortion_", "Distortion")))
"""Folders that downloads of the four archives of photos have."""


def read_pipal(place: Path) -> Dataset:
    """All photos of all files of labels. Raises `UsageError`."""
    files = next((found for folder in LABELS if (found := sorted((place / folder).glob("*.txt")))), [])
    if not files:
        what = f"no PIPAL here: looked for {LABELS[0]}/*.txt"
        raise UsageError(what, where=str(place), remedy="give the folder that holds it")
    return PIPAL.dataset(place, [row for file in files for row in PIPAL.rows(file, FORM)])


def _names(row: TableRow) -> tuple[str, ...]:
    name = row.text("name")
    return (name, *(f"{part}/{name}" for part in _PARTS), *(f"{part}/{part}/{name}" for part in _PARTS))


def _reference(row: TableRow) -> str:
    return row.text("name").partition("_")[0]


PIPAL = RatedSet(
    "pipal",
    "PIPAL",
    image=_names,
    score="mos",
    scale=(800, 2000),
    folders=(".",),
    texts={"reference": _reference},
    needs=("name",),
)
