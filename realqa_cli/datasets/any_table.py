"""Any table of photos or videos with scores: CSV, TSV, Excel or JSON Lines, its columns named by `--columns`.

    --columns image=name,mos=MOS,split=set,mos_range=0-100

What is not named is found by its usual name, in any case: `image` (and those of joins), `mos`, `mos_range`,
`split` or `set`. All other columns come along under their own names. Paths are seen from the table's
folder, from `images` or `videos` in it, or from the current folder.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from realqa_cli.datasets import COLUMNS
from realqa_cli.datasets.contents import Dataset, DatasetEntry, MediaKind
from realqa_cli.datasets.layout import MediaFolder, find_media_folder
from realqa_cli.errors import UsageError
from realqa_cli.io.tables import SUBJECTS, SUFFIXES, Table, TableRow, read_range
from realqa_cli.media.photo import VIDEO_SUFFIXES

USUAL: Mapping[str, Sequence[str]] = {"mos_range": ("mos_range",), "split": ("split", "set")}
FOLDERS = (".", "images", "videos")


def read(place: Path, columns: Mapping[str, str]) -> Dataset:
    """All rows of the table. Raises `UsageError`."""
    table = Table.open(_file(place))
    own = _assign(table, columns)
    fixed = None
    if "mos_range" in own and own["mos_range"] not in table.columns:
        fixed = read_range(own.pop("mos_range"), "--columns")
    subject = "video" if "video" in own else "image"
    rows = list(table.rows())
    names = [row.text(own[subject]) for row in rows]
    shelf = find_media_folder(table.file.parent, FOLDERS, names)
    entries = []
    for row, given in zip(rows, names, strict=True):
        name, present = _locate(given, shelf, table.file.parent)
        entries.append(DatasetEntry(name, row.where, _fields(row, own, fixed), _kind(name, subject), present))
    no_split = f"name its column: --columns split=COLUMN; those there are: {', '.join(table.columns)}"
    return Dataset("csv", str(place), entries, shelf.looked_in, shelf.found, no_split=no_split)


def _file(place: Path) -> Path:
    """The file itself, or the one table in a folder. Raises `UsageError`."""
    if place.is_file():
        if place.suffix.lower() not in SUFFIXES:
            what = f"is no table; realqa reads {' '.join(SUFFIXES)}"
            raise UsageError(what, where=str(place), remedy="convert it")
        return place
    found = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
    if len(found) != 1:
        known = ", ".join(file.name for file in found) or "none"
        what = f"not one table here but {len(found)} ({known}): looked for {' '.join(SUFFIXES)}"
        raise UsageError(what, where=str(place), remedy="give the file itself")
    return found[0]


def _assign(table: Table, asked: Mapping[str, str]) -> dict[str, str]:
    """Which column is which, by `COLUMNS`: as asked, or by the usual name. Raises `UsageError`."""
    for key in asked:
        if key not in COLUMNS:
            remedy = f"use some of: {', '.join(COLUMNS)}, as in image=name,mos=MOS"
            raise UsageError(f"{key!r} is nothing that a column can be", where="--columns", remedy=remedy)
    if "image" in asked and "video" in asked:
        raise UsageError("names both image and video", where="--columns", remedy="name one of them")
    own = {key: name if key == "mos_range" and _is_range(name) else table.column(name) for key, name in asked.items()}
    there = {name.casefold().replace(" ", "_") for name in table.columns}
    if "image" not in own and "video" not in own:
        usual = next((name for name in SUBJECTS if name in there), "image")
        own["video" if usual == "video" else "image"] = _usual(table, usual, "image")
    if "mos" not in own:
        own["mos"] = _usual(table, "mos", "mos")
    for key, names in USUAL.items():
        if key not in own and (name := next((name for name in names if name in there), None)):
            own[key] = table.column(name)
    return own


def _usual(table: Table, name: str, key: str) -> str:
    try:
        return table.column(name)
    except UsageError as error:
        remedy = f"name it by --columns {key}=COLUMN; {error.remedy}"
        raise UsageError(error.what, where=error.where, remedy=remedy) from error


def _is_range(text: str) -> bool:
    try:
        read_range(text, "--columns")
    except UsageError:
        return False
    return True


def _fields(row: TableRow, own: Mapping[str, str], fixed: Sequence[float] | None) -> dict[str, Any]:
    """The row's record, without what it is about; a cell that is empty gives no field."""
    fields: dict[str, Any] = {}
    if _filled(row, own["mos"]):
        fields["mos"] = row.number(own["mos"], *(fixed or ()))
    if fixed is not None:
        fields["mos_range"] = list(fixed)
    elif "mos_range" in own and _filled(row, own["mos_range"]):
        fields["mos_range"] = read_range(row.text(own["mos_range"]), row.where)
    if "split" in own and _filled(row, own["split"]):
        fields["split"] = row.text(own["split"])
    taken = {*own.values(), *COLUMNS, "error", ""}
    return fields | {name: cell for name, cell in row.cells.items() if name not in taken and _filled(row, name)}


def _filled(row: TableRow, column: str) -> bool:
    return row.cells.get(column) not in (None, "")


def _locate(given: str, shelf: MediaFolder, folder: Path) -> tuple[str, bool]:
    """(path that opens from the current folder, whether it does)."""
    if shelf.has(given):
        return shelf.path(given), True
    for path in (os.path.join(folder, given), given):
        if os.path.isfile(path):
            return path, True
    return shelf.path(given), False


def _kind(name: str, subject: str) -> MediaKind:
    is_video = subject == "video" or os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
    return "video" if is_video else "image"
