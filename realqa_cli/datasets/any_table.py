"""Any table of photos or videos with scores: CSV, TSV, Excel or JSON Lines, its columns named by `--columns`.

    --columns image=name,mos=MOS,split=set,mos_range=0-100

A column that is not named there is found by its usual name, in any case: `image` (or another of
`tables.SUBJECTS`), `mos`, `mos_range`, `split` or `set`. All other columns are kept under their own names.
Paths are relative to the table's folder, to `images` or `videos` in it, or to the current folder.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry, MediaKind
from realqa_cli.datasets.layout import MediaFolder, find_media_folder
from realqa_cli.errors import UsageError
from realqa_cli.io.columns import ColumnMap
from realqa_cli.io.locate import locate
from realqa_cli.io.tables import SUFFIXES, Table
from realqa_cli.media.kinds import kind_by_suffix

FOLDERS = (".", "images", "videos")


def read_table_dataset(place: Path, columns: Mapping[str, str]) -> Dataset:
    """All rows of the table. Raises `UsageError`."""
    table = Table.open(_table_in(place))
    column_map = ColumnMap(table, columns, needs_mos=True)
    rows = list(table.rows())
    names = [column_map.subject_of(row) for row in rows]
    media_folder = find_media_folder(table.file.parent, FOLDERS, _spellings(names))
    entries = []
    for row, given in zip(rows, names, strict=True):
        name, present = _locate(given, media_folder, table.file.parent)
        kind = _kind(name, column_map.subject)
        entries.append(DatasetEntry(name, row.where, column_map.fields(row), kind, present))
    no_split = f"name its column: --columns split=COLUMN; its columns are: {', '.join(table.columns)}"
    return Dataset("csv", str(place), entries, media_folder.looked_in, media_folder.found, no_split=no_split)


def _table_in(place: Path) -> Path:
    """The file itself, or the one table in a folder. Raises `UsageError`."""
    if place.is_file():
        if not place.name.lower().endswith(SUFFIXES):
            what = f"not a table by its suffix; realqa reads {' '.join(SUFFIXES)}"
            raise UsageError(what, where=str(place), remedy="convert it")
        return place
    tables = sorted(file for file in place.iterdir() if file.name.lower().endswith(SUFFIXES))
    if len(tables) != 1:
        known = ", ".join(file.name for file in tables) or "none"
        what = f"expected one table here, found {len(tables)} ({known}); looked for {' '.join(SUFFIXES)}"
        raise UsageError(what, where=str(place), remedy="give the file itself")
    return tables[0]


def _spellings(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield name
        if "\\" in name:
            yield name.replace("\\", "/")


def _locate(given: str, media_folder: MediaFolder, folder: Path) -> tuple[str, bool]:
    """(path that opens from the current folder, whether there is such a file)."""
    if media_folder.has(given):
        return media_folder.path(given), True
    for place in (str(media_folder.folder), str(folder), ""):
        path = locate(given, "" if place == "." else place)
        if path is not None and os.path.isfile(path):
            return path, True
    return media_folder.path(given), False


def _kind(name: str, subject: str) -> MediaKind:
    return "video" if subject == "video" else kind_by_suffix(name)
