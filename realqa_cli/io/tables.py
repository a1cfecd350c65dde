"""Tables of a data set, row by row: CSV, TSV, Excel and JSON Lines, with the place of each row.

Official tables are right or they are not the official ones: a missing column, a row of another length or a
cell that is no number is a `UsageError` that names file and line, and no row is passed by.
"""

import csv
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from realqa_cli.domain.scales import Scale
from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io.jsonl import read_lines

SUFFIXES = (".csv", ".tsv", ".xlsx", ".jsonl")

SUBJECTS = ("image", "image_name", "image_path", "path", "file", "file_name", "filename", "name", "video")
"""Usual names of the column of a table that says what a row is about, in order of preference."""

_BROKEN: tuple[type[Exception], ...] = (  # what an archive of XML raises where it is damaged
    *(OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError),
    *(EOFError, SyntaxError, BadZipFile, zlib.error),
)
_Numbered = tuple[int, Sequence[Any]]  # a row's line, from 1, and its cells


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: `cells` by column, and the place, ``file:line``."""

    where: str
    cells: Mapping[str, Any]

    def text(self, column: str) -> str:
        """A cell that must not be empty. Raises `UsageError`."""
        value = self.cells.get(column)
        text = "" if value is None else str(value).strip()
        if not text or "\0" in text:
            raise UsageError(f"the row has no {column}", where=self.where, remedy="correct the table")
        return text

    def number(self, column: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number from `low` to `high`. Raises `UsageError`."""
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{column}: {text!r} is no number", where=self.where, remedy="correct the table")
        if not low <= value <= high:
            what = f"{column}: {text} is outside {low:g}-{high:g}"
            raise UsageError(what, where=self.where, remedy="check that it is the right table")
        return value


@dataclass(frozen=True)
class Table:
    """A table that was opened, to be read once.

    columns: the names in its first line; of equal ones the later are ``NAME.1``, ``NAME.2``.
    """

    file: Path
    columns: tuple[str, ...]
    _numbered: Iterator[tuple[int, Mapping[str, Any]]]

    @classmethod
    def open(cls, file: Path) -> "Table":
        """Raises `UsageError` for a table that cannot be read or is empty."""
        if file.suffix.lower() == ".jsonl":
            records = _records(file)
            first = next(records)
            return cls(file, tuple(first[1]), chain([first], records))
        lines = _lines(file)
        columns = _header(next(lines, (0, ()))[1], file)
        return cls(file, columns, _fitting(file, columns, lines))

    def column(self, name: str) -> str:
        """The column `name`, in any case, as the table writes it. Raises `UsageError` that lists them."""
        alike = [column for column in self.columns if _plain(column) == _plain(name)]
        found = name if name in alike else next(iter(alike), None)
        known = f"those there are: {', '.join(self.columns)}"
        if found is None:
            raise UsageError(f"there is no column {name!r}", where=str(self.file), remedy=known)
        if len(alike) > 1 or f"{found}.1" in self.columns:
            what = f"several columns are called {name!r}"
            raise UsageError(what, where=str(self.file), remedy=f"leave one of them; {known}")
        return found

    def rows(self, *needed: str) -> Iterator[TableRow]:
        """All rows; the `needed` columns stand under the names asked for, however the table writes them.

        Raises `UsageError` for a missing column, a row that does not fit, and a table without rows.
        """
        asked = {self.column(name): name for name in needed}
        number = 0
        for number, cells in self._numbered:
            own = {asked.get(name, name): cell for name, cell in cells.items()}
            yield TableRow(f"{self.file}:{number}", own)
        if number == 0:
            raise UsageError("the table has no rows", where=str(self.file), remedy="download it again")


def read_range(text: str, where: str) -> list[float]:
    """``1-5``, ``1 5`` or ``[1, 5]`` as [lowest, highest]. Raises `UsageError`."""
    try:
        return list(Scale.parse(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is not a range such as 1-5", where=where) from error


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "_")


def _fitting(file: Path, columns: Sequence[str], lines: Iterator[_Numbered]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, cells in lines:
        if len(cells) != len(columns):
            what = f"the row has {len(cells)} cells and the table {len(columns)} columns"
            raise UsageError(what, where=f"{file}:{number}", remedy="quote names that hold a comma")
        yield number, dict(zip(columns, cells, strict=True))


def _header(cells: Sequence[Any], file: Path) -> tuple[str, ...]:
    names = ["" if cell is None else str(cell).strip() for cell in cells]
    if not any(names):
        raise UsageError("the table is empty", where=str(file), remedy="download it again")
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        unique.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return tuple(unique)


def _lines(file: Path) -> Iterator[_Numbered]:
    """All rows that are not blank, the header first."""
    lines = _sheet(file) if file.suffix.lower() == ".xlsx" else _separated(file)
    return ((number, cells) for number, cells in lines if any(cell not in (None, "") for cell in cells))


def _separated(file: Path) -> Iterator[_Numbered]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=_delimiter(first), strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = f"cannot be read as CSV ({getattr(error, 'strerror', None) or error})"
        raise UsageError(what, where=str(file), remedy="check the path; CSV is read as UTF-8") from error


def _delimiter(header: str) -> str:
    """A comma, or what stands in its place: spreadsheets write semicolons in some countries, or tabs."""
    return next((mark for mark in (",", "\t", ";") if mark in header), ",")


def _sheet(file: Path) -> Iterator[_Numbered]:
    """The rows of an Excel file's first sheet; formulas by the values that were stored with them."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():  # of styles that it does not know
            warnings.simplefilter("ignore")
            book = load_workbook(file, read_only=True, data_only=True)
            try:
                rows = list(book.worksheets[0].iter_rows(values_only=True)) if book.worksheets else []
            finally:
                book.close()
    except (*_BROKEN, InvalidFileException) as error:
        what = f"cannot be read as an Excel file ({' '.join(str(error).split())[:200]})"
        raise UsageError(what, where=str(file), remedy="download it again") from error
    width = next((len(row) for row in rows), 0)
    for number, row in enumerate(rows, 1):  # spreadsheets leave out empty cells at the end of a row
        yield number, (*row, *[None] * (width - len(row)))


def _records(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    number = 0
    for number, record in read_lines(file):
        if isinstance(record, RecordError):
            raise UsageError(record.what, where=record.where, remedy="mend or remove the line")
        yield number, record
    if number == 0:
        raise UsageError("the table is empty", where=str(file), remedy="check that it is the right one")
