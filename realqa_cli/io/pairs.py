"""Pairs of photos, from two paths or from a table: JSON Lines, CSV and the other forms of `tables`, or standard input.

A row names the two photos in the columns `image_a` and `image_b`, or in those of another pair of `NAMES`; in JSON
also as `images`, a list of two. Relative paths are relative to the table's folder, as in `sources`. What is wrong with
a row, or with one of its photos, becomes the error of its items.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.io.flat import is_flat, nested
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.numbers import is_missing, read_number
from realqa_cli.io.record_files import NumberedRecord, is_table
from realqa_cli.io.sources import STDIN, Item, named_item
from realqa_cli.io.tables import Table, plain_name

NAMES = (
    ("image_a", "image_b"),
    ("a", "b"),
    ("image_1", "image_2"),
    ("image1", "image2"),
    ("img_a", "img_b"),
    ("img1", "img2"),
    ("left", "right"),
    ("first", "second"),
    ("path_a", "path_b"),
    ("video_a", "video_b"),
)
"""Usual names of the two columns, in order of preference."""

_NUMBERS = ("share_a", "p_a_better")
"""Fields that are numbers, also where a table has them as text."""


@dataclass(frozen=True)
class PhotoPair:
    """Two photos or videos, A and B, and the other fields of their row. where: ``file:line``."""

    index: int
    where: str
    a: Item
    b: Item
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Both names, for messages."""
        return self.where if self.a.name == self.where else f"{self.a.name} and {self.b.name}"

    @property
    def kind(self) -> Literal["image", "video"]:
        """As of an item; fields that pass through have the same rule."""
        return self.a.kind

    @property
    def error(self) -> ItemError | None:
        """What is wrong with a photo that cannot be opened, the first one's first."""
        return self.a.error or self.b.error


def pair_of_paths(a: str, b: str) -> PhotoPair:
    """The pair of two paths, seen from the current folder."""
    return PhotoPair(0, f"{a} and {b}", named_item(0, a), named_item(1, b))


def read_pairs(source: str, *, stdin: IO[str] | None = None) -> Iterator[PhotoPair]:
    """The pairs of a table (.csv, .tsv, .xlsx, .parquet), of a JSON Lines file of any name, or of ``-``, stdin.

    Raises `UsageError` for a file that cannot be read, has no two columns for the photos, or holds no row.
    """
    name = "<stdin>" if source == STDIN else source
    folder = "" if source == STDIN else os.path.dirname(source)
    if is_table(source):
        rows = _table_rows(Path(source))
    else:
        rows = read_lines((stdin or sys.stdin) if source == STDIN else Path(source), name=name)
    index = -1  # after the loop: there was no line
    for index, (line, record) in enumerate(rows):
        yield _pair(index, record, folder, f"{name}:{line}")
    if index < 0:
        raise UsageError("the file holds no pairs", where=name, remedy="check that it is the right one")


def _table_rows(file: Path) -> Iterator[NumberedRecord]:
    table = Table.open(file)
    columns = {plain_name(column): column for column in table.columns}
    if not is_flat(table.columns) and not any(a in columns and b in columns for a, b in NAMES):
        raise UsageError(
            "there are no columns for the two photos",
            where=str(file),
            remedy=f"rename them to image_a and image_b; its columns are: {', '.join(table.columns)}",
        )
    for row in table.rows():
        cells = {plain_name(name): cell for name, cell in row.cells.items() if cell not in (None, "")}
        yield int(row.where.rpartition(":")[2]), nested(cells, text=row.is_text) if is_flat(columns) else cells


def _pair(index: int, record: dict[str, Any] | RecordError, folder: str, where: str) -> PhotoPair:
    if isinstance(record, RecordError):
        record.where = record.where or where
        return _failed(index, where, record)
    keys, names = _names(record)
    if not names:
        remedy = 'give two paths, as in {"image_a": "a.jpg", "image_b": "b.jpg"}'
        return _failed(index, where, RecordError("no two photos", type="record", where=where, remedy=remedy))
    fields = {key: _plain(key, value) for key, value in record.items() if key not in keys}
    a, b = (named_item(2 * index + i, name, folder, where) for i, name in enumerate(names))
    return PhotoPair(index, where, a, b, fields)


def _failed(index: int, where: str, error: ItemError) -> PhotoPair:
    item = Item(index, where, None, error=error)
    return PhotoPair(index, where, item, item)


def _names(record: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
    """The fields that name the photos, and the names; () for both where there are none."""
    keys: Sequence[str] = next((pair for pair in NAMES if all(record.get(key) for key in pair)), ())
    names = [record[key] for key in keys]
    if not keys and isinstance(record.get("images"), list) and len(record["images"]) == 2:
        keys, names = ("images",), record["images"]
    usable = bool(names) and all(isinstance(name, str) and name for name in names)
    return (keys, names) if usable else ((), ())


def _plain(key: str, value: Any) -> Any:
    """A number where the field is one, also given as text; None for a mark of a missing value."""
    if key not in _NUMBERS or not isinstance(value, str):
        return value
    number = read_number(value)
    return None if number is None and is_missing(value) else value if number is None else number
