"""From the SOURCES of a command line to items, in order and lazily.

A source is, in this order: ``-`` (JSON Lines or a list of paths on standard input); a URL of a file, a folder or an
archive (see `remote`); a folder (see `folders`); a list of any form (see `lists`); an archive (see `archives`), whose
members are items; anything else is a photo or video. Content decides which of the two a file is.
An error of one item becomes its `error`; an error of the request is a `UsageError`.

A relative path in a list is relative to the list's folder or, if nothing is there, to the current folder.
This module opens no photo to make its item, and knows no field of a record but its image or video.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

from realqa_cli.errors import ItemError, MediaError, RecordError, UsageError
from realqa_cli.io.archives import is_archive, members
from realqa_cli.io.folders import NamedPath, SkippedFiles, take_name, walk_folder
from realqa_cli.io.jsonl import SUFFIXES, open_binary, read_lines, text_lines
from realqa_cli.io.lists import PATH_LISTS, NumberedRecord, is_list, paths_of, read_whole_list, records_on_stdin
from realqa_cli.io.locate import shortened
from realqa_cli.io.numbers import with_numbers
from realqa_cli.io.remote import RemoteFile, is_folder, is_remote, list_folder, require_packages, shown_url
from realqa_cli.io.resolving import Resolved, StoredFile, resolve_name
from realqa_cli.io.tables import TABLES
from realqa_cli.media.kinds import (
    IMAGE_SUFFIXES,
    SURE_SUFFIXES,
    VIDEO_SUFFIXES,
    Kind,
    kind_by_suffix,
    kind_of_file,
    suffix_of,
)

STDIN = "-"


@dataclass(frozen=True)
class Item:
    """One photo or video to work on, or the reason why it cannot be.

    index: its place in the run, from 0.  name: the printed path, which opens from the current folder, or
    ``file:line`` for a line that names nothing.  path: None only with `error`, `data` or `stored`.
    fields: the record's others.
    expected: what it is where its content does not say.
    live: it came from standard input, where the next one may take long to arrive.
    data: the bytes of a photo that is not a file.  stored: a photo that is elsewhere, or in an archive.
    """

    index: int
    name: str
    path: Path | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    expected: Kind = "image"
    error: ItemError | None = None
    live: bool = False
    data: bytes | None = field(default=None, repr=False)
    stored: StoredFile | None = None

    @cached_property
    def kind(self) -> Kind:
        """Photo or video, by the first bytes of the file, which the first use opens."""
        return _kind_of(self.path, self.expected)


@dataclass(frozen=True)
class _Plan:
    """What one source stands for: `files`, or records: of `name`, read already or from its lines.

    paths: each line is a path as it is, relative to the current folder.  remote: it is a folder elsewhere.
    """

    name: str
    files: Sequence[NamedPath] = ()
    records: Sequence[NumberedRecord] | None = None
    lines: bool = False
    paths: bool = False
    remote: bool = False

    @property
    def folder(self) -> str:
        return "" if self.name == STDIN or self.paths else os.path.dirname(self.name)


class Sources:
    """The items of all sources, in order.

    skipped: counts of the files in folders and archives that were not taken, as far as they were listed.
    """

    def __init__(
        self,
        sources: Sequence[str],
        *,
        files_from: str | None = None,
        stdin: IO[str] | None = None,
        wants: Callable[[str], bool] = lambda archive: True,
    ) -> None:
        """`files_from` names a file with one path a line, or is ``-``; its items come last.

        wants: says by its name whether an archive is listed at all.

        Raises `UsageError` for no sources, two ``-``, a folder without photos or videos, or an unreadable list.
        """
        if not sources and files_from is None:
            raise UsageError("no sources are given", remedy="name photos, folders or .jsonl files, or - for stdin")
        if [*sources, files_from].count(STDIN) > 1:
            raise UsageError("standard input is given twice", where=STDIN, remedy="give - once")
        self.skipped = SkippedFiles()
        self._stdin, self._wants = stdin, wants
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
            for item in self._items_of(plan):
                yield replace(item, index=next(numbers))
        if next(numbers) == 0:
            raise UsageError("the sources hold no records", remedy="check that the list or stdin is not empty")

    def count(self) -> int | None:
        """The number of items, for a progress bar; None where only listing them says it. Reads .jsonl files once."""
        named = [source for plan in self._plans for source, _ in plan.files]
        if any(plan.name == STDIN or plan.remote for plan in self._plans) or any(map(is_archive, named)):
            return None
        total = 0
        for plan in self._plans:
            total += len(plan.files) + len(plan.records or ())
            if plan.lines:
                with open_binary(Path(plan.name)) as stream:
                    total += sum(1 for line in text_lines(stream) if line.strip())
        return total

    def _items_of(self, plan: _Plan) -> Iterator[Item]:
        for url, listed in list_folder(plan.name) if plan.remote else ():
            yield from self._listed(url, listed)
        for source, error in plan.files:
            yield from self._members_or_self(*_file_item(source, error))
        name = "<stdin>" if plan.name == STDIN else plan.name
        for line, record in self._records(plan, name):
            item, resolved = _line_item(record, plan.folder, f"{name}:{line}", plan.name == STDIN)
            yield from self._members_or_self(item, resolved)

    def _listed(self, url: str, found: RemoteFile | ItemError) -> Iterator[Item]:
        """The item of a file in a remote folder, or the members of an archive in it."""
        if isinstance(found, ItemError):
            yield Item(0, shown_url(url), None, error=found)
        elif is_archive(url):
            yield from self._members_or_self(Item(0, found.name, None), Resolved(found.name, None, found))
        elif take_name(url, self.skipped):
            item, resolved = _file_item(url, None)
            yield item if resolved is None else replace(item, stored=found)

    def _members_or_self(self, item: Item, resolved: Resolved | None) -> Iterator[Item]:
        """The item, or those in the archive that it names, with its fields."""
        archive = None if resolved is None else resolved.archive
        if archive is None:
            yield item
        elif self._wants(item.name):
            for name, member in members(archive, partial(take_name, skipped=self.skipped)):
                if isinstance(member, ItemError):
                    yield replace(item, name=name, path=None, stored=None, error=member)
                else:
                    yield replace(item, name=name, path=None, stored=member)

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
    item, found = _line_item({"image": name}, folder, where, False)
    if found is not None and found.archive is not None:
        error = ItemError("this is an archive, not one photo", type="unsupported", where=found.name)
        return Item(index, found.name, None, error=error)
    return replace(item, index=index)


def _plan(source: str, skipped: SkippedFiles) -> _Plan:
    """Raises `UsageError`."""
    if source == STDIN:
        return _Plan(STDIN)
    if is_remote(source):
        return _remote_plan(source)
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


def _remote_plan(source: str) -> _Plan:
    """Raises `UsageError`."""
    shown = shown_url(source)
    if shown.lower().endswith((*SUFFIXES, *TABLES, *PATH_LISTS)):
        raise UsageError("lists are read from this machine only", where=shown, remedy="download it first")
    require_packages(source)
    try:
        is_file = suffix_of(shown.partition("?")[0]) in SURE_SUFFIXES or is_archive(source)
        return _Plan(source, remote=True) if not is_file and is_folder(source) else _Plan(source, [(source, None)])
    except MediaError:  # the item will have it
        return _Plan(source, [(source, None)])


def _file_item(source: str, error: ItemError | None) -> tuple[Item, Resolved | None]:
    try:
        if error is not None:
            raise error
        found = resolve_name(source)
        item = Item(0, found.name, found.path, {}, kind_by_suffix(found.name), stored=found.stored)
        return item, found
    except ItemError as failure:
        name = source if error is not None else shown_name(source)
        return Item(0, name, None, {}, kind_by_suffix(name), failure), None


def _line_item(
    record: dict[str, Any] | RecordError, folder: str, where: str, live: bool
) -> tuple[Item, Resolved | None]:
    if isinstance(record, RecordError):
        record.where = record.where or where
        return Item(0, where, None, error=record, live=live), None
    fields = {key: value for key, value in with_numbers(record).items() if key not in ("image", "video", "error")}
    kind: Kind = "image" if record.get("video") is None else "video"
    name = where
    found: Resolved | None = None
    error = _earlier_error(record.get("error"))
    try:
        given = _subject(record, where)
        name = shown_name(given)
        if fields.get("images") == [given]:
            fields["images"] = [name]
        found = resolve_name(given, folder)
    except ItemError as failure:
        error = error or failure
    if found is None or error is not None:  # then the item has no path that would say it
        path = None if found is None else found.path
        name = name if found is None else found.name
        return Item(0, name, None, fields, _kind_of(path, kind), error, live), None
    return Item(0, found.name, found.path, fields, kind, None, live, stored=found.stored), found


def shown_name(name: str) -> str:
    """A name as records have it, without the data or the credentials that it may hold."""
    return shown_url(name) if is_remote(name) else shortened(name)


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


def _earlier_error(field: Any) -> ItemError | None:
    """The error that an earlier step left in the record, as it was."""
    if field is None:
        return None
    earlier = field if isinstance(field, Mapping) else {"message": field}
    return ItemError(str(earlier.get("message", "an earlier step failed")), type=str(earlier.get("type", "failed")))
