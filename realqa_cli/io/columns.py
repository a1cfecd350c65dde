"""Which column of a user's table is which: by `--columns`, or by its usual name in any case."""

from collections.abc import Mapping, Sequence
from typing import Any

from realqa_cli.errors import UsageError
from realqa_cli.io.flat import is_flat, nested
from realqa_cli.io.numbers import is_missing, read_range
from realqa_cli.io.tables import SUBJECTS, Table, TableRow, plain_name

COLUMNS = ("image", "video", "mos", "mos_range", "split")
"""The keys of `--columns`."""

_USUAL: Mapping[str, Sequence[str]] = {"mos": ("mos",), "mos_range": ("mos_range",), "split": ("split", "set")}


class ColumnMap:
    """The columns of one table by `COLUMNS`.

    subject: "image" or "video", the key of the column that names what a row is about.  fixed: a `mos_range`
    that `--columns` gave as numbers.
    """

    def __init__(self, table: Table, asked: Mapping[str, str], *, needs_mos: bool, remedy: str | None = None) -> None:
        """Raises `UsageError` for a column that does not exist.

        `remedy` is what to do about a table without a column for the image; default: `--columns`.
        """
        _check(asked)
        self.fixed: list[float] | None = None
        self.names: dict[str, str] = {}
        for key, name in asked.items():
            if key == "mos_range" and _is_range(name) and name not in table.columns:
                self.fixed = read_range(name, "--columns")
            else:
                self.names[key] = table.column(name)
        present = {plain_name(name) for name in table.columns}
        if "image" not in self.names and "video" not in self.names:
            usual = next((name for name in SUBJECTS if name in present), "image")
            self.names["video" if usual == "video" else "image"] = _usual(table, usual, "image", remedy)
        if needs_mos and "mos" not in self.names:
            self.names["mos"] = _usual(table, "mos", "mos", None)
        for key, names in _USUAL.items():
            if key not in asked and (found := next((each for each in names if each in present), None)):
                self.names[key] = table.column(found)
        self.subject = "video" if "video" in self.names else "image"
        self._ours = is_flat(table.columns) and not asked

    def record(self, row: TableRow) -> dict[str, Any]:
        """The row as a record; that of a table that realqa wrote as it was before. Raises `UsageError`."""
        if self._ours:
            return nested(row.cells, text=row.is_text)
        return {self.subject: self.subject_of(row), **self.fields(row)}

    def subject_of(self, row: TableRow) -> str:
        """The name of the image or video that a row is about. Raises `UsageError`."""
        return row.text(self.names[self.subject])

    def fields(self, row: TableRow) -> dict[str, Any]:
        """The row's other fields: numbers for the MOS and its range, all else as it is; none for empty cells."""
        fields: dict[str, Any] = {}
        if self._filled(row, "mos"):
            fields["mos"] = row.number(self.names["mos"], *(self.fixed or ()))
        if self.fixed is not None:
            fields["mos_range"] = list(self.fixed)
        elif self._filled(row, "mos_range"):
            fields["mos_range"] = read_range(row.text(self.names["mos_range"]), row.where)
            if "mos" in fields:
                row.number(self.names["mos"], *fields["mos_range"])
        if self._filled(row, "split"):
            fields["split"] = row.text(self.names["split"])
        taken = {*self.names.values(), *COLUMNS, "error", ""}
        others = {
            name: _plain(cell) for name, cell in row.cells.items() if name not in taken and cell not in (None, "")
        }
        return fields | others

    def _filled(self, row: TableRow, key: str) -> bool:
        return key in self.names and not is_missing(row.cells.get(self.names[key]))


def _check(asked: Mapping[str, str]) -> None:
    for key in asked:
        if key not in COLUMNS:
            remedy = f"use some of: {', '.join(COLUMNS)}, as in image=name,mos=MOS"
            raise UsageError(f"unknown key {key!r}", where="--columns", remedy=remedy)
    if "image" in asked and "video" in asked:
        raise UsageError("both image and video are given", where="--columns", remedy="give one of them")


def _usual(table: Table, name: str, key: str, remedy: str | None) -> str:
    try:
        return table.column(name)
    except UsageError as error:
        first = remedy or f"name it by --columns {key}=COLUMN"
        raise UsageError(error.what, where=error.where, remedy=f"{first}; {error.remedy}") from error


def _is_range(text: str) -> bool:
    try:
        read_range(text, "--columns")
    except UsageError:
        return False
    return True


def _plain(cell: Any) -> Any:
    """The cell as JSON can hold it: spreadsheets have dates and times, too."""
    return cell if isinstance(cell, str | int | float | list | dict) else str(cell)
