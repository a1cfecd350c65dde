"""CSIQ: 866 photos with synthetic distortions of 30 references, DMOS on 0-1.

The scores are in the sheet `all_by_image` of `csiq.DMOS.xlsx`, whose header is below a title; a row states image,
distortion and level, from which the file's name is made. There is no official split; photos of one `reference`
belong together.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.errors import UsageError
from realqa_cli.io.tables import TableForm, TableRow

FORM = TableForm(sheet="all_by_image", header=("image", "dst_type", "dst_lev", "dmos"))

_WORDS = {
    "noise": "AWGN",
    "blur": "BLUR",
    "contrast": "contrast",
    "fnoise": "fnoise",
    "jpeg": "JPEG",
    "jpeg 2000": "jpeg2000",
}
"""Distortion in the table, and its word in file names; the folder is the word in lower case."""


def read_csiq(place: Path) -> Dataset:
    """All distorted photos of the table. Raises `UsageError`."""
    return CSIQ.read(place, "csiq.DMOS.xlsx", form=FORM)


def _names(row: TableRow) -> tuple[str, ...]:
    kind = row.text("dst_type")
    word = _WORDS.get(kind.casefold())
    if word is None:
        what = f"dst_type: {kind!r} is none of {', '.join(_WORDS)}"
        raise UsageError(what, where=row.where, remedy="check that it is the right table")
    name = f"{_whole(row, 'image')}.{word}.{_whole(row, 'dst_lev')}.png"
    return f"{word.lower()}/{name}", f"{word}/{name}", name


def _whole(row: TableRow, column: str) -> str:
    """The cell, without the zero decimals of a number."""
    text = row.text(column)
    return text.removesuffix(".0")


def _reference(row: TableRow) -> str:
    return _whole(row, "image")


CSIQ = RatedSet(
    "csiq",
    "CSIQ",
    image=_names,
    score="dmos",
    scale=(0, 1),
    folders=("dst_imgs", "dst_imgs_all"),
    difference=True,
    texts={"reference": _reference},
    numbers={"mos_std": "dmos_std"},
    needs=("image", "dst_type", "dst_lev"),
)
