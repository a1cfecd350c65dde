"""TID2013: 3,000 photos with synthetic distortions of 25 references, MOS on 0-9.

`mos_with_names.txt` has a score and a name in each line, without a header. Some names begin with `I` in the table and
with `i` in the folder, or the reverse. There is no official split; photos of one `reference` belong together.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.io.tables import TableForm, TableRow

FORM = TableForm(columns=("mos", "name"), delimiter=" ")


def read_tid2013(place: Path) -> Dataset:
    """All distorted photos of the table. Raises `UsageError`."""
    return TID2013.read(place, "mos_with_names.txt", form=FORM)


def _names(row: TableRow) -> tuple[str, str]:
    name = row.text("name")
    return name, name[0].swapcase() + name[1:]


def _reference(row: TableRow) -> str:
    return row.text("name").partition("_")[0].upper()


TID2013 = RatedSet(
    "tid2013",
    "TID2013",
    image=_names,
    score="mos",
    scale=(0, 9),
    folders=("distorted_images",),
    texts={"reference": _reference},
    needs=("name",),
)
