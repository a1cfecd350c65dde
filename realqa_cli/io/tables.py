"""Tables, row by row, with the place of each row: CSV, TSV, Excel, Parquet and JSON Lines.

This is the one reader of tables: for data sets, labels and scores alike. A missing column, a row with too many
or too few cells, or a cell that should be a number and is not, is a `UsageError` that names file and line; no
row is skipped, except blank ones.
"""

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

from realqa_cli.domain.wording import plural
from realqa_cli.errors import RecordError, UsageError, one_line
from realqa_cli.io import jsonl
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.numbers import read_number
from realqa_cli.io.parquet import read_parquet
from realqa_cli.io.separated import read_separated

TABLES = (".csv", ".tsv", ".xlsx", ".parquet")
SUFFIXES = (*TABLES, *jsonl.SUFFIXES)
"""Ends of the names of the files that are read here, in lower case."""

SUBJECTS = ("image", "image_name", "image_path", "path", "file", "file_name", "filename", "name", "video")
"""Usual names of the column that names a row's image or video, in order of preference."""

_BROKEN: tuple[type[Exception], ...] = (  # what openpyxl raises for damaged archives of XML
    *(OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError),
    *(EOFError, SyntaxError, BadZipFile, zlib.error),
)
_Numbered = tuple[int, Sequence[Any]]  # a row's line, from 1, and its cells


@dataclass(frozen=True)
class TableForm:
    """What a file does not say about its own table.

    columns: their names, for a file without a header.  delimiter: between cells; a space is any white space.
    sheet: the sheet of an Excel file, by default the first.  header: columns by which the header is recognised
    below other lines.
    """

    columns: Sequence[str] = ()
    delimiter: str | None = None
    sheet: str | None = None
    header: Sequence[str] = ()


USUAL = TableForm()
"""The header is the first line, and the delimiter is the one that fits."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: `cells` by column, and the place, ``file:line``. `is_text`: all cells are text, as in CSV."""

    where: str
    cells: Mapping[str, Any]
    is_text: bool = False

    def text(self, column: str) -> str:
        """A cell that must not be empty. Raises `UsageError`."""
        value = self.cells.get(column)
        text = "" if value is None else str(value).strip()
        if not text or "\0" in text:
            raise UsageError(f"the row has no {column}", where=self.where, remedy="correct the table")
        return text

    def number(self, column: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number from `low` to `high`, also with a decimal comma. Raises `UsageError`."""
        text = self.text(column)
        value = read_number(text)
        if value is None:
            raise UsageError(f"{column}: {text!r} is not a number", where=self.where, remedy="correct the table")
        if not low <= value <= high:
            what = f"{column}: {text} is outside {low:g}-{high:g}"
            raise UsageError(what, where=self.where, remedy="check that it is the right table")
        return value


@dataclass(frozen=True)
class Table:
    """An open table, to be read once.

    columns: the names in its first line; repeated names become ``NAME.1``, ``NAME.2``.
    """

    file: Path
    columns: tuple[str, ...]
    _numbered: Iterator[tuple[int, Mapping[str, Any]]]

    @classmethod
    def open(cls, file: Path, form: TableForm = USUAL) -> "Table":
        """Raises `UsageError` for a table that cannot be read or is empty."""
        if jsonl.is_json_lines(file):
            records = _records(file)
            first = next(records)
            return cls(file, tuple(first[1]), chain([first], records))
        lines = _lines(file, form)
        columns = tuple(form.columns) or _header(_header_cells(lines, file, form), file)
        return cls(file, columns, _fitting(file, columns, lines))

    def column(self, name: str) -> str:
        """The column `name`, in any case, as the table writes it. Raises `UsageError` that lists them."""
        alike = [column for column in self.columns if plain_name(column) == plain_name(name)]
        found = name if name in alike else next(iter(alike), None)
        known = f"its columns are: {', '.join(self.columns)}"
        if found is None:
            raise UsageError(f"there is no column {name!r}", where=str(self.file), remedy=known)
        if len(alike) > 1 or f"{found}.1" in self.columns:
            what = f"several columns are called {name!r}"
            raise UsageError(what, where=str(self.file), remedy=f"leave one of them; {known}")
        return found

    def rows(self, *needed: str) -> Iterator[TableRow]:
        """All rows; the cells of the `needed` columns have those names as keys, however the table writes them.

        Raises `UsageError` for a missing column, a row that does not fit, and a table without rows.
        """
        renamed = {self.column(name): name for name in needed}
        number, text = 0, self.file.suffix.lower() in (".csv", ".tsv", ".txt")
        for number, cells in self._numbered:
            named = {renamed.get(name, name): cell for name, cell in cells.items()}
            yield TableRow(f"{self.file}:{number}", named, text)
        if number == 0:
            raise UsageError("the table has no rows", where=str(self.file), remedy="check that it is the right one")


def plain_name(name: str) -> str:
    """The name in lower case with underscores for spaces, by which columns are compared."""
    return name.casefold().replace(" ", "_")


def _fitting(file: Path, columns: Sequence[str], lines: Iterator[_Numbered]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The cells by column. Empty cells beyond the last column, as a trailing delimiter makes them, are ignored."""
    unnamed = len(columns) - len("".join((name and "x") or " " for name in columns).rstrip())
    for number, cells in lines:
        row = [*cells]
        while len(row) > len(columns) and row[-1] in (None, ""):
            row.pop()
        row += [""] * min(unnamed, len(columns) - len(row))
        if len(row) != len(columns):
            what = f"the row has {plural(len(row), 'cell')} and the table {plural(len(columns), 'column')}"
            raise UsageError(what, where=f"{file}:{number}", remedy="quote cells that hold the delimiter")
        yield number, dict(zip(columns, row, strict=True))


def _header_cells(lines: Iterator[_Numbered], file: Path, form: TableForm) -> Sequence[Any]:
    """The cells of the header, after which `lines` has the rows. Raises `UsageError`."""
    if not form.header:
        return next(lines, (0, ()))[1]
    wanted = {plain_name(name) for name in form.header}
    for _, cells in lines:
        if wanted <= {plain_name(str(cell).strip()) for cell in cells}:
            return cells
    what = f"no line has the columns {', '.join(form.header)}"
    raise UsageError(what, where=str(file), remedy="check that it is the right table")


def _header(cells: Sequence[Any], file: Path) -> tuple[str, ...]:
    names = ["" if cell is None else str(cell).strip() for cell in cells]
    if not any(names):
        raise UsageError("the table is empty", where=str(file), remedy="check that it is the right one")
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        unique.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return tuple(unique)


def _lines(file: Path, form: TableForm) -> Iterator[_Numbered]:
    """All rows that are not blank, the header first."""
    match file.suffix.lower():
        case ".xlsx":
            lines = _sheet(file, form.sheet)
        case ".parquet":
            lines = read_parquet(file)
        case _:
            lines = read_separated(file, SUBJECTS, form.delimiter)
    return ((number, cells) for number, cells in lines if any(cell not in (None, "") for cell in cells))


def _sheet(file: Path, name: str | None) -> Iterator[_Numbered]:
    """The rows of one sheet of an Excel file, by default the first; formulas by their stored values."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():  # about styles that openpyxl does not know
            warnings.simplefilter("ignore")
            book = load_workbook(file, read_only=True, data_only=True)
            try:
                sheets = [sheet for sheet in book.worksheets if name in (None, sheet.title)]
                rows = list(sheets[0].iter_rows(values_only=True)) if sheets else []
            finally:
                book.close()
    except (*_BROKEN, InvalidFileException) as error:
        what = f"cannot be read as an Excel file ({one_line(error, 200)})"
        raise UsageError(what, where=str(file), remedy="download it again") from error
    if name is not None and not sheets:
        what = f"there is no sheet {name!r}"
        raise UsageError(what, where=str(file), remedy="check that it is the right one")
    width = next((len(row) for row in rows), 0)
    for number, row in enumerate(rows, 1):  # spreadsheets omit empty cells at the end of a row
        yield number, (*row, *[None] * (width - len(row)))


def _records(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    number = 0
    for number, record in read_lines(file):
        if isinstance(record, RecordError):
            raise UsageError(record.what, where=record.where, remedy="correct or remove the line")
        yield number, record
    if number == 0:
        raise UsageError("the table is empty", where=str(file), remedy="check that it is the right one")
