"""Rows of a user's JSON Lines file or table, and the join of two such files by image.

A row is one line with the place that it came from and the path that it is about. Two files are joined by
resolved path, then by file name where that is unique; a row that matches none or several is an `ItemError`.

This module looks at names and at whether files exist. It opens no photo.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.locate import comparable, file_name, locate, shortened
from realqa_cli.io.numbers import with_numbers
from realqa_cli.io.record_files import read_record_file

STDIN = "-"

_EXAMPLES = 2  # names of each side that `LabelIndex.explain` shows


@dataclass(frozen=True)
class LabelRow:
    """One line of a file.

    where: ``file:line``.  named: what the row is about, as a path that opens from the current folder if the
    file exists; None for a row that names nothing.  record: the line's fields.  error: why there are none.
    also: other file names of the same image.
    """

    where: str
    named: str | None
    kind: Literal["image", "video"]
    record: Mapping[str, Any]
    error: RecordError | None = None
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name for messages and error records."""
        return self.where if self.named is None else self.named

    @cached_property
    def path(self) -> str | None:
        """The resolved path, whether or not there is such a file."""
        return None if self.named is None else comparable(self.named)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The record's fields other than its image or video and its error."""
        return {key: value for key, value in self.record.items() if key not in ("image", "video", "error")}

    @property
    def failed(self) -> bool:
        """Whether an earlier step left an error in place of a result."""
        return self.record.get("error") is not None

    @property
    def file_names(self) -> set[str]:
        """The names without folders by which the image is known."""
        return {file_name(self.named or ""), *map(file_name, self.also)}


def read_label_rows(source: str, *, stdin: IO[str] | None = None) -> Iterator[LabelRow]:
    """The rows of a table (.csv, .tsv, .xlsx, .parquet), of a JSON Lines file of any name, or of ``-``, standard input.

    Raises `UsageError` for a file that cannot be read, has no column for the image, or holds no row.
    """
    number = 0  # after the loop: there was no line
    name = "<stdin>" if source == STDIN else source
    folder = "" if source == STDIN else os.path.dirname(source)
    lines = read_lines(stdin or sys.stdin, name=name) if source == STDIN else read_record_file(Path(source))
    for number, line in lines:
        where = f"{name}:{number}"
        if isinstance(line, RecordError):
            yield LabelRow(where, None, "image", {}, line)
        else:
            yield _row(line, folder, where)
    if number == 0:
        raise UsageError("the file holds no records", where=name, remedy="check that it is the right one")


def _row(record: dict[str, Any], folder: str, where: str) -> LabelRow:
    kind: Literal["image", "video"] = "image" if record.get("video") is None else "video"
    named = record.get(kind)
    if named is None and isinstance(record.get("images"), list) and len(record["images"]) == 1:
        named = record["images"][0]
    record = with_numbers(record)
    if named is not None and (not isinstance(named, str) or not named or "\0" in named or shortened(named) != named):
        flaw = RecordError(f"{kind}: {str(named)[:40]!r} is not a path", type="record", where=where)
        return LabelRow(where, None, kind, {}, flaw)
    return LabelRow(where, None if named is None else resolve_from(named, folder), kind, record)


def resolve_from(name: str, folder: str) -> str:
    """`name`, given in a file in `folder`, as a path that opens from the current folder.

    Where no such file exists the path is relative to `folder`, as the contract of relative paths has it.
    """
    if "://" in name:
        return name
    return locate(name, folder) or locate(name) or os.path.join(folder, name)


class LabelIndex:
    """Rows of a second file, to be found by image."""

    def __init__(self, rows: Iterable[LabelRow], *, name: str, elsewhere: Iterable[LabelRow] = ()) -> None:
        """`name` is the file's, for messages. A later row replaces an earlier one of the same path.

        `elsewhere` are the rows of other splits, which `within` leaves out. Rows of failed items are ignored.
        Raises `UsageError` for a line that is not a record or names no image.
        """
        self.name = name
        self.repeated = 0
        self._by_path: dict[str, LabelRow] = {}
        for row in rows:
            if row.error or (row.path is None and not row.failed):
                what = row.error.what if row.error else "this line names no image"
                raise UsageError(what, where=row.where, remedy="correct or remove the line")
            if row.path is not None and not row.failed:
                self.repeated += row.path in self._by_path
                self._by_path[row.path] = row
        self._by_name: dict[str, list[str]] = {}
        for path, row in self._by_path.items():
            for known_as in row.file_names:
                self._by_name.setdefault(known_as, []).append(path)
        self._taken: dict[str, str] = {}
        self.left_out = 0
        self._elsewhere = tuple(elsewhere)
        self._paths_elsewhere = {row.path for row in self._elsewhere}
        self._names_elsewhere = {n for row in self._elsewhere for n in row.file_names} - self._by_name.keys()

    def __len__(self) -> int:
        return len(self._by_path)

    def unjoined_copy(self) -> "LabelIndex":
        """The same rows, none of them joined yet."""
        copy = LabelIndex(self._by_path.values(), name=self.name, elsewhere=self._elsewhere)
        copy.repeated = self.repeated
        return copy

    def notes(self) -> list[str]:
        """What the summary says about the two files after the join."""
        notes = []
        if self.repeated:
            what = "images that occur more than once, of which the last row is used"
            notes.append(f"{self.name}: {what}: {self.repeated}")
        if self.left_out:
            notes.append(f"left out as rows of other splits of {self.name}: {self.left_out}")
        return notes

    def explain(self, rows: Iterable[LabelRow]) -> str:
        """Why none of `rows` was found here, with examples of both sides' names."""
        ours = ", ".join(row.name for row in [row for row in rows if row.path][:_EXAMPLES]) or "none"
        theirs = ", ".join(row.name for row in [*self._by_path.values()][:_EXAMPLES]) or "none"
        return (
            f"no image was found in {self.name}: looked for equal paths, then for equal file names."
            f" Names here: {ours}; names there: {theirs}"
        )

    def within(self, rows: Iterable[LabelRow]) -> Iterator[LabelRow]:
        """The rows except those of images of other splits, which `left_out` counts."""
        for row in rows:
            unknown = row.path is not None and row.path not in self._by_path
            by_name = unknown and not self._names_elsewhere.isdisjoint(row.file_names)
            if unknown and (row.path in self._paths_elsewhere or by_name):
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
            what = f"{self._taken[path]} and this one both match {self._by_path[path].where}"
            raise ItemError(what, type="ambiguous", where=row.name, remedy="give full paths in both files")
        return self._by_path[path]

    def _by_file_name(self, row: LabelRow) -> str:
        name = file_name(row.named or "")
        matches = self._by_name.get(name, [])
        if not matches:
            raise ItemError(f"not in {self.name}", type="unmatched", where=row.name)
        if len(matches) > 1:
            what = f"{len(matches)} images in {self.name} are called {name}"
            raise ItemError(what, type="ambiguous", where=row.name, remedy="give full paths in both files")
        return matches[0]
