"""From the SOURCES of a command line to items, in order and lazily.

A source is, in this order: ``-`` (JSON Lines or a list of paths on standard input); a folder (see `folders`);
a list of any form (see `lists`); anything else is a photo or video. Content decides which of the two a file is.
An error of one item becomes its `error`; an error of the request is a `UsageError`.

A relative path in a list is relative to the list's folder or, if nothing is there, to the current folder.
This module opens no photo to make its item, and knows no field of a record but its image or video.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote_to_bytes, urlsplit

from realqa_cli.errors import ItemError, MediaError, RecordError, UsageError
from realqa_cli.io.folders import NamedPath, SkippedFiles, walk_folder
from realqa_cli.io.jsonl import open_binary, read_lines, text_lines
from realqa_cli.io.lists import NumberedRecord, is_list, paths_of, read_whole_list, records_on_stdin
from realqa_cli.io.locate import check_name, is_there, locate, shortened
from realqa_cli.io.numbers import with_numbers
from realqa_cli.media.kinds import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Kind, kind_by_suffix, kind_of_file

STDIN = "-"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Item:
    """One photo or video to work on, or the reason why it cannot be.

    index: its place in the run, from 0.  name: the printed path, which opens from the current folder, or
    ``file:line`` for a line that names nothing.  path: None only with `error` or `data`.  fields: the record's others.
    expected: what it is where its content does not say.
    live: it came from standard input, where the next one may take long to arrive.
    data: the bytes of a photo that is not a file; `path` is None then.
    """

    index: int
    name: str
    path: Path | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    expected: Kind = "image"
    error: ItemError | None = None
    live: bool = False
    data: bytes | None = field(default=None, repr=False)

    @cached_property
    def kind(self) -> Kind:
        """Photo or video, by the first bytes of the file, which the first use opens."""
        return _kind_of(self.path, self.expected)


@dataclass(frozen=True)
class _Plan:
    """What one source stands for: `files`, or records: of `name`, read already or from its lines.

    paths: each line is a path as it is, relative to the current folder.
    """

    name: str
    files: Sequence[NamedPath] = ()
    records: Sequence[NumberedRecord] | None = None
    lines: bool = False
    paths: bool = False

    @property
    def folder(self) -> str:
        return "" if self.name == STDIN or self.paths else os.path.dirname(self.name)


class Sources:
    """The items of all sources, in order.

    skipped: counts of the files in folders that were not taken.
    """

    def __init__(self, sources: Sequence[str], *, files_from: str | None = None, stdin: IO[str] | None = None) -> None:
        """`files_from` names a file with one path a line, or is ``-``; its items come last.

        Raises `UsageError` for no sources, two ``-``, a folder without photos or videos, or an unreadable list.
        """
        if not sources and files_from is None:
            raise UsageError("no sources are given", remedy="name photos, folders or .jsonl files, or - for stdin")
        if [*sources, files_from].count(STDIN) > 1:
            raise UsageError("standard input is given twice", where=STDIN, remedy="give - once")
        self.skipped = SkippedFiles()
        self._stdin = stdin
        self._plans = [_plan(source, self.skipped) for source in sources]
        if files_from is not None:
            if files_from != STDIN:
                with open_binary(Path(files_from)):
                    pass
            self._plans.append(_Plan(files_from, lines=files_from != STDIN, paths=True))

    def items(self) -> Iterator[Item]:
        """All items; lists are read while the items are consumed. Raises `UsageError` where there is no item."""
        numbers = count()
        for plan in self._plans:
            for source, error in plan.files:
                yield _file_item(next(numbers), source, error)
            name = "<stdin>" if plan.name == STDIN else plan.name
            for line, record in self._records(plan, name):
                live = plan.name == STDIN
                yield _line_item(next(numbers), record, plan.folder, f"{name}:{line}", live)
        if next(numbers) == 0:
            raise UsageError("the sources hold no records", remedy="check that the list or stdin is not empty")

    def count(self) -> int | None:
        """The number of items, for a progress bar; None where they come from stdin. Reads .jsonl files once."""
        if any(plan.name == STDIN for plan in self._plans):
            return None
        total = 0
        for plan in self._plans:
            total += len(plan.files) + len(plan.records or ())
            if plan.lines:
                with open_binary(Path(plan.name)) as stream:
                    total += sum(1 for line in text_lines(stream) if line.strip())
        return total

    def _records(self, plan: _Plan, name: str) -> Iterator[NumberedRecord]:
        if plan.paths:
            return self._paths(plan)
        if plan.name == STDIN:
            return records_on_stdin(text_lines(self._stdin or sys.stdin))
        return read_lines(Path(plan.name), name=name) if plan.lines else iter(plan.records or ())

    def _paths(self, plan: _Plan) -> Iterator[NumberedRecord]:
        if plan.name == STDIN:
            yield from paths_of(text_lines(self._stdin or sys.stdin))
            return
        with open_binary(Path(plan.name)) as stream:
            yield from paths_of(text_lines(stream))


def read_sources(sources: Sequence[str], *, stdin: IO[str] | None = None, limit: int | None = None) -> Iterator[Item]:
    """The items of all sources, at most `limit`. Raises `UsageError` as `Sources` does, before the first item."""
    if limit is not None and limit < 1:
        raise UsageError(f"must be at least 1, not {limit}", where="--limit")
    return islice(Sources(sources, stdin=stdin).items(), limit)


def count_sources(sources: Sequence[str], *, limit: int | None = None) -> int | None:
    """How many items `read_sources` will yield; None where they come from stdin."""
    total = Sources(sources).count()
    return total if limit is None or total is None else min(total, limit)


def named_item(index: int, name: str, folder: str = "", where: str = "") -> Item:
    """The item with this path, which a list in `folder` names at `where`. Never raises for the item."""
    return _line_item(index, {"image": name}, folder, where, False)


def _plan(source: str, skipped: SkippedFiles) -> _Plan:
    """Raises `UsageError`."""
    if source == STDIN:
        return _Plan(STDIN)
    if os.path.isdir(source):
        inside = SkippedFiles()
        files = walk_folder(source, inside)
        if not files:
            what = "there are no photos or videos in this folder"
            remedy = f"realqa looks for {' '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}; {inside.summary() or ''}"
            raise UsageError(what, where=source, remedy=remedy.rstrip("; "))
        skipped.merge(inside)
        return _Plan(source, files)
    if not is_list(source):
        return _Plan(source, [(source, None)])
    records = read_whole_list(source)
    if records is None:
        with open_binary(Path(source)):
            return _Plan(source, lines=True)
    return _Plan(source, records=records)


def _file_item(index: int, source: str, error: ItemError | None) -> Item:
    name, path = source, None
    try:
        name, path = (source, None) if error else _resolve(source, "")
    except ItemError as failure:
        name, error = shortened(source), failure
    return Item(index, name, path, {}, kind_by_suffix(name), error)


def _line_item(index: int, record: dict[str, Any] | RecordError, folder: str, where: str, live: bool) -> Item:
    if isinstance(record, RecordError):
        record.where = record.where or where
        return Item(index, where, None, error=record, live=live)
    fields = {key: value for key, value in with_numbers(record).items() if key not in ("image", "video", "error")}
    kind: Kind = "image" if record.get("video") is None else "video"
    name, path = where, None
    error = _earlier_error(record.get("error"))
    try:
        name = _subject(record, where)
        name, path = _resolve(name, folder)
    except ItemError as failure:
        error = error or failure
        if fields.get("images") == [name]:
            fields["images"] = [shortened(name)]
        name = shortened(name)
    if error is not None:  # then the item has no path that would say it
        return Item(index, name, None, fields, _kind_of(path, kind), error, live)
    return Item(index, name, path, fields, kind, None, live)


def _kind_of(path: Path | None, otherwise: Kind) -> Kind:
    return (kind_of_file(str(path)) if path is not None else None) or otherwise


def _subject(record: Mapping[str, Any], where: str) -> str:
    """The path that the record names. Raises `RecordError`."""
    names = [record[key] for key in ("image", "video") if record.get(key) is not None]
    if not names and isinstance(record.get("images"), list):
        names = record["images"]
    if len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        remedy = 'give one path, as in {"image": "a.jpg"}'
        raise RecordError("no image or video, or several", type="record", where=where, remedy=remedy)
    return names[0]


def _resolve(given: str, folder: str) -> tuple[str, Path]:
    """(name that opens from the current folder, path). Raises `MediaError` for URLs, data and missing files."""
    check_name(given)
    name = given
    if _URL.match(given):
        if not given.lower().startswith("file://"):
            what, remedy = "realqa does not fetch from the network", "download it first"
            raise MediaError(what, type="unsupported", where=given, remedy=remedy)
        name = os.fsdecode(unquote_to_bytes(urlsplit(given).path))
    joined = os.path.join(folder, name)
    if is_there(joined):
        return (name if _is_same(name, joined) else joined), Path(joined)
    path = locate(name) if is_there(name) else locate(name, folder) or locate(name)
    if path is None:
        raise MediaError("no such file", type="missing", where=joined, remedy="check the path")
    return path, Path(path)


def _is_same(path: str, other: str) -> bool:
    try:
        return path == other or os.path.samefile(path, other)
    except (OSError, ValueError):
        return False


def _earlier_error(field: Any) -> ItemError | None:
    """The error that an earlier step left in the record, as it was."""
    if field is None:
        return None
    earlier = field if isinstance(field, Mapping) else {"message": field}
    return ItemError(str(earlier.get("message", "an earlier step failed")), type=str(earlier.get("type", "failed")))
