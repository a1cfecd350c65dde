"""Records of a file in any form that commands write them in: JSON Lines, compressed or not, CSV and Parquet.

Tables of other programs are read too, with a column that names the photo or video. Everything that reads records, and
not only items, reads them here: `labels`, `lists`, `sharegpt` and `realqa merge`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realqa_cli.errors import RecordError
from realqa_cli.io.columns import ColumnMap
from realqa_cli.io.flat import is_flat, nested
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.tables import TABLES, Table

NumberedRecord = tuple[int, dict[str, Any] | RecordError]
"""A record, or why a line holds none, after the number of its line from 1."""

RENAME = "rename one column to image"


def is_table(file: str | Path) -> bool:
    """Whether a file is a table by its name."""
    return str(file).lower().endswith(TABLES)


def read_record_file(file: Path) -> Iterator[NumberedRecord]:
    """The records of a table, or of a JSON Lines file of any name; one that has none has no record.

    Raises `UsageError` for a file that cannot be read, and for a table without rows or a column for the photo.
    """
    yield from read_table_records(file) if is_table(file) else read_lines(file)


def read_table_records(file: Path, *, remedy: str | None = RENAME) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table as records; those of a table that realqa wrote as they were before.

    remedy: what to do about a table without a column for the photo; None for an option of the command.
    Raises `UsageError`.
    """
    table = Table.open(file)
    columns = None if is_flat(table.columns) else ColumnMap(table, {}, needs_mos=False, remedy=remedy)
    for row in table.rows():
        record = nested(row.cells, text=row.is_text) if columns is None else columns.record(row)
        yield int(row.where.rpartition(":")[2]), record
