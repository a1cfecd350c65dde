"""Rows of a user's JSON Lines or CSV file or of a data set, and the join of two of these by image.

A row is one line with the place that it came from and the path that it is about. Two files are joined by
resolved path, then by file name where that is unique; what fits nothing, or several, is an `ItemError`.

This module looks at names and at whether files exist. It opens no photo.
"""

import csv
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.tables import SUBJECTS, read_range

STDIN = "-"


@dataclass(frozen=True)
class LabelRow:
    """One line of a file.

    where: ``file:line``.  name: what it is about, as a path that opens from the current folder if the file
    exists; None for a row that names nothing.  record: the line's fields.  error: why there are none.
    also: other file names that it is known by.
    """

    where: str
    named: str | None
    kind: Literal["image", "video"]
    record: Mapping[str, Any]
    error: RecordError | None = None
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What stands in messages and error records."""
        return self.where if self.named is None else self.named

    @cached_property
    def path(self) -> str | None:
        """The resolved path, whether or not there is a file."""
        return None if self.named is None else os.path.realpath(self.named)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The record's other fields."""
        return {key: value for key, value in self.record.items() if key not in ("image", "video", "error")}

    @property
    def failed(self) -> bool:
        """Whether an earlier step left an error in place of a result."""
        return self.record.get("error") is not None


def read_label_rows(source: str, *, stdin: IO[str] | None = None) -> Iterator[LabelRow]:
    """The rows of a .csv file, of a JSON Lines file of any name, or of ``-``, standard input.

    Raises `UsageError` for a file that cannot be read, has no column for the image, or holds no row.
    """
    number = 0  # after the loop: there was none
    if source.lower().endswith(".csv"):
        lines: Iterable[tuple[int, dict[str, Any] | RecordError]] = _csv_lines(source)
    else:
        lines = read_lines((stdin or sys.stdin) if source == STDIN else Path(source), name=_called(source))
    folder = "" if source == STDIN else os.path.dirname(source)
    for number, line in lines:
        where = f"{_called(source)}:{number}"
        if isinstance(line, RecordError):
            yield LabelRow(where, None, "image", {}, line)
        else:
            yield _row(line, folder, where)
    if number == 0:
        raise UsageError("the file holds no records", where=_called(source), remedy="check that it is the right one")


def _called(source: str) -> str:
    return "<stdin>" if source == STDIN else source


def _row(record: dict[str, Any], folder: str, where: str) -> LabelRow:
    kind: Literal["image", "video"] = "image" if record.get("video") is None else "video"
    named = record.get(kind)
    if named is None and isinstance(record.get("images"), list) and len(record["images"]) == 1:
        named = record["images"][0]
    if named is not None and (not isinstance(named, str) or not named or "\0" in named):
        flaw = RecordError(f"{kind}: {named!r} is no path", type="record", where=where)
        return LabelRow(where, None, kind, record, flaw)
    return LabelRow(where, None if named is None else resolve_beside(named, folder), kind, record)


def resolve_beside(name: str, folder: str) -> str:
    """`name`, given in a file in `folder`, as it opens from the current folder: seen from there, or as it is.

    Where neither exists it is seen from `folder`, as the contract of relative paths has it.
    """
    joined = name if "://" in name else os.path.join(folder, name)
    return name if not os.path.exists(joined) and os.path.exists(name) else joined


def _csv_lines(source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a CSV file with a header, in any case: `image`; `mos` and `mos_range` as numbers."""
    try:
        with open(source, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            image = next((names[name] for name in SUBJECTS if name in names), None)
            if image is None:
                what = f"there is no column 'image' among: {', '.join(filter(None, names)) or 'none'}"
                raise UsageError(what, where=source, remedy="name one column image")
            for row in reader:
                record: dict[str, Any] = {key: value for key, value in row.items() if key and value}
                record["video" if image.lower() == "video" else "image"] = row[image]
                for name, read in (("mos", _number), ("mos_range", read_range)):
                    if name in names and row[names[name]]:
                        record[name] = read(row[names[name]], f"{source}:{reader.line_num}")
                yield reader.line_num, record
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = f"cannot be read as CSV ({getattr(error, 'strerror', None) or error})"
        raise UsageError(what, where=source, remedy="check the path; CSV is read as UTF-8") from error


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{text!r} is no number", where=where)
    return value


class LabelIndex:
    """Rows of a second file, to be found by image."""

    def __init__(self, rows: Iterable[LabelRow], *, name: str, elsewhere: Iterable[LabelRow] = ()) -> None:
        """`name` is the file's, for messages. A later row replaces an earlier one of the same path.

        `elsewhere` are the rows of other splits, which `within` leaves out.

        Rows of failed items are passed by. Raises `UsageError` for a line that is no record or has no image.
        """
        self.name = name
        self.repeated = 0
        self._by_path: dict[str, LabelRow] = {}
        for row in rows:
            if row.error or (row.path is None and not row.failed):
                what = row.error.what if row.error else "this line names no image"
                raise UsageError(what, where=row.where, remedy="mend or remove the line")
            if row.path is not None and not row.failed:
                self.repeated += row.path in self._by_path
                self._by_path[row.path] = row
        self._by_name: dict[str, list[str]] = {}
        for path, row in self._by_path.items():
            for known_as in _file_names(row):
                self._by_name.setdefault(known_as, []).append(path)
        self._taken: dict[str, str] = {}
        self.left_out = 0
        self._elsewhere = tuple(elsewhere)
        self._paths_elsewhere = {row.path for row in self._elsewhere}
        self._names_elsewhere = {n for row in self._elsewhere for n in _file_names(row)} - self._by_name.keys()

    def __len__(self) -> int:
        return len(self._by_path)

    def anew(self) -> "LabelIndex":
        """The same rows, none of them joined to yet."""
        return LabelIndex(self._by_path.values(), name=self.name, elsewhere=self._elsewhere)

    def notes(self) -> list[str]:
        """What a person should know of the two files, after the join."""
        notes = []
        if self.repeated:
            what = "rows of images that come again later; the last one counts"
            notes.append(f"{self.name}: {self.repeated} {what}")
        if self.left_out:
            notes.append(f"left out as of other splits of {self.name}: {self.left_out}")
        return notes

    def within(self, rows: Iterable[LabelRow]) -> Iterator[LabelRow]:
        """The rows but those of images of other splits, which `left_out` counts."""
        for row in rows:
            named = row.path is not None and row.path not in self._by_path
            by_name = named and not self._names_elsewhere.isdisjoint(_file_names(row))
            if named and (row.path in self._paths_elsewhere or by_name):
                self.left_out += 1
            else:
                yield row

    @property
    def unused(self) -> int:
        """How many rows nothing was joined to."""
        return len(self._by_path) - len(self._taken)

    def find(self, row: LabelRow) -> LabelRow:
        """The row about the same image. Raises `ItemError`, of type "unmatched" or "ambiguous"."""
        if row.path is None:
            raise ItemError("the line names no image to join by", type="unmatched", where=row.where)
        path = row.path
        if path not in self._by_path:
            path = self._by_file_name(row)
        if self._taken.setdefault(path, row.path) != row.path:
            what = f"{self._taken[path]} and this one both go with {self._by_path[path].where}"
            raise ItemError(what, type="ambiguous", where=row.name, remedy="give full paths in both files")
        return self._by_path[path]

    def _by_file_name(self, row: LabelRow) -> str:
        name = os.path.basename(row.path or "")
        found = self._by_name.get(name, [])
        if not found:
            raise ItemError(f"not in {self.name}", type="unmatched", where=row.name)
        if len(found) > 1:
            what = f"{len(found)} images in {self.name} are called {name}"
            raise ItemError(what, type="ambiguous", where=row.name, remedy="give full paths in both files")
        return found[0]


def _file_names(row: LabelRow) -> set[str]:
    return {os.path.basename(row.path or ""), *row.also}
