"""From SOURCES on a command line to items, in order and lazily: files, folders, JSON Lines, standard input.

A source is, in this order: ``-`` (JSON Lines on standard input); a folder (the photos and videos below it by
their suffix, in code-point order of the paths); a ``.jsonl`` file; anything else is a photo or, by suffix, a
video. What is wrong with one item becomes its `error`; what is wrong with the request is a `UsageError`.

A record's relative path is seen from its file's folder, or, if nothing is there, from the current folder.
This module looks at names and at whether files exist; it opens no photo and knows no record's other fields.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import unquote_to_bytes, urlsplit

from realqa_cli.errors import ItemError, MediaError, RecordError, UsageError
from realqa_cli.io.jsonl import read_lines
from realqa_cli.media.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES

STDIN = "-"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_Kind = Literal["image", "video"]
_Named = tuple[str, ItemError | None]  # a path of a photo or video, or of a folder with its error


@dataclass(frozen=True)
class Item:
    """One photo or video to work on, or the reason why it cannot be.

    index: its place in the run, from 0.  name: what is printed; opens from the current folder, or is
    ``file:line`` for a line that names nothing.  path: None only with `error`.  fields: the record's others.
    live: it came from standard input, where the next one may be long in coming.
    """

    index: int
    name: str
    path: Path | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    kind: _Kind = "image"
    error: ItemError | None = None
    live: bool = False


def read_sources(sources: Sequence[str], *, stdin: IO[str] | None = None, limit: int | None = None) -> Iterator[Item]:
    """The items of all sources, at most `limit`; lines are read as the items are asked for.

    Raises `UsageError` at once for no sources, two ``-``, a folder without photos and videos, or a .jsonl
    file that is missing or unreadable; and at the end where there was no item at all.
    """
    if not sources:
        raise UsageError("no sources are given", remedy="name photos, folders or .jsonl files, or - for stdin")
    if limit is not None and limit < 1:
        raise UsageError(f"must be at least 1, not {limit}", where="--limit")
    if list(sources).count(STDIN) > 1:
        raise UsageError("standard input is given twice", where=STDIN, remedy="give - once")
    return islice(_items([_plan(source) for source in sources], stdin or sys.stdin), limit)


def count_sources(sources: Sequence[str], *, limit: int | None = None) -> int | None:
    """How many items `read_sources` will give, for a progress bar; None where they come from stdin.

    Reads the .jsonl files once. Raises `UsageError` as `read_sources` does.
    """
    if STDIN in sources:
        return None
    total = 0
    for plan in map(_plan, sources):
        if isinstance(plan, Path):
            with plan.open("rb") as lines:
                total += sum(1 for line in lines if line.strip())
        elif plan is not None:
            total += len(plan)
    return total if limit is None else min(total, limit)


def _plan(source: str) -> list[_Named] | Path | None:
    """What a source stands for: files, a JSON Lines file, or None for stdin. Raises `UsageError`."""
    if source == STDIN:
        return None
    if os.path.isdir(source):
        found = _walk(source)
        if not found:
            what = "there are no photos or videos in this folder"
            remedy = f"realqa looks for {' '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}"
            raise UsageError(what, where=source, remedy=remedy)
        return found
    if not source.lower().endswith(".jsonl"):
        return [(source, None)]
    try:
        with open(source, "rb"):
            return Path(source)
    except (OSError, ValueError) as error:
        what = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise UsageError(what, where=source, remedy="check the path") from error


def _walk(folder: str) -> list[_Named]:
    """All photos and videos below, sorted; each real folder once, so that links cannot make a loop."""
    found: list[_Named] = []
    seen: set[tuple[int, int]] = set()
    folders, links = [folder], list[str]()
    while folders or links:
        current = folders.pop() if folders else links.pop(links.index(min(links)))
        try:
            status = os.stat(current)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.is_dir():
                        (links if entry.is_symlink() else folders).append(entry.path)
                    elif _suffix(entry.name) in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
                        found.append((entry.path, None))
        except OSError as error:
            what = f"this folder cannot be read ({error.strerror})"
            found.append((current, MediaError(what, type="unreadable", where=current)))
    return sorted(found, key=lambda named: named[0])


def _items(plans: Sequence[list[_Named] | Path | None], stdin: IO[str]) -> Iterator[Item]:
    numbers = count()
    for plan in plans:
        if isinstance(plan, list):
            for source, error in plan:
                yield _file_item(next(numbers), source, error)
        else:
            folder = "" if plan is None else os.path.dirname(plan)
            name = "<stdin>" if plan is None else str(plan)
            for line, record in read_lines(stdin if plan is None else plan, name=name):
                item = _line_item(next(numbers), record, folder, f"{name}:{line}")
                yield replace(item, live=True) if plan is None else item
    if next(numbers) == 0:
        raise UsageError("the sources hold no records", remedy="check that the .jsonl or stdin is not empty")


def _file_item(index: int, source: str, error: ItemError | None) -> Item:
    kind = kind_by_suffix(source)
    name, path = source, None
    try:
        name, path = (source, None) if error else _resolve(source, "")
    except MediaError as failure:
        error = failure
    return Item(index, name, path, {}, kind, error)


def _line_item(index: int, record: dict[str, Any] | RecordError, folder: str, where: str) -> Item:
    if isinstance(record, RecordError):
        return Item(index, where, None, error=record)
    fields = {key: value for key, value in record.items() if key not in ("image", "video", "error")}
    kind: _Kind = "image" if record.get("video") is None else "video"
    name, path = where, None
    error = _earlier_error(record.get("error"))
    try:
        name = _subject(record, where)
        name, path = _resolve(name, folder)
    except ItemError as failure:
        error = error or failure
    return Item(index, name, None if error else path, fields, kind, error)


def _subject(record: Mapping[str, Any], where: str) -> str:
    """What the record is about. Raises `RecordError`."""
    named = [record[key] for key in ("image", "video") if record.get(key) is not None]
    if not named and isinstance(record.get("images"), list):
        named = record["images"]
    if len(named) != 1 or not isinstance(named[0], str) or not named[0]:
        remedy = 'one path is needed, as in {"image": "a.jpg"}'
        raise RecordError("no image or video, or several", type="record", where=where, remedy=remedy)
    return named[0]


def _resolve(given: str, folder: str) -> tuple[str, Path]:
    """(name that opens from the current folder, path). Raises `MediaError` for URLs and missing files."""
    name = given
    if _URL.match(given):
        if not given.lower().startswith("file://"):
            what, remedy = "realqa does not fetch from the network", "download it first"
            raise MediaError(what, type="unsupported", where=given, remedy=remedy)
        name = os.fsdecode(unquote_to_bytes(urlsplit(given).path))
    joined = os.path.join(folder, name)
    if not _is_missing(joined):
        return (name if _is_same(name, joined) else joined), Path(joined)
    if _is_missing(name):
        raise MediaError("no such file", type="missing", where=joined, remedy="check the path")
    return name, Path(name)


def _is_missing(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # there is something that the system refuses: reading it will say why
        return False
    return False


def _is_same(path: str, other: str) -> bool:
    try:
        return path == other or os.path.samefile(path, other)
    except (OSError, ValueError):
        return False


def _earlier_error(field: Any) -> ItemError | None:
    """The error that an earlier step left in the record, as it was."""
    if field is None:
        return None
    said = field if isinstance(field, Mapping) else {"message": field}
    return ItemError(str(said.get("message", "an earlier step failed")), type=str(said.get("type", "failed")))


def kind_by_suffix(name: str) -> _Kind:
    """What a file of that name is taken for, by its suffix."""
    return "video" if _suffix(name) in VIDEO_SUFFIXES else "image"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
