"""Merges the outputs of several runs, such as the shards of one: one record for each item, and nothing missing.

Before anything is written, the parts are checked: shards that are absent or not complete, runs with different
settings, and items with two different results are refused. A failed item that another record has a result for, and a
record that occurs twice, are left out and counted.

The parts can be in all forms that commands write. All records are read twice, and 17 bytes for each are kept in memory.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from realqa_cli.domain.wording import plural
from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io.jsonl import dump_line
from realqa_cli.io.record_files import read_record_file
from realqa_cli.io.run_files import read_completed, read_runs
from realqa_cli.io.shards import Shard

_SHOWN = 5  # names and shards that a message lists
_OF_ITS_FILE = "percentile"  # among the records of a part, which is another one among all


@dataclass(frozen=True)
class MergeSettings:
    """partial: merge although shards are missing or not complete.  mixed: also merge runs with other settings."""

    partial: bool = False
    mixed: bool = False


@dataclass
class MergeCounts:
    """What became of the records of all parts."""

    merged: int = 0
    failed: int = 0
    repeated: int = 0
    replaced: int = 0  # failures of items that another record has a result for

    def summary(self, parts: int) -> str:
        """Such as `10 records from 2 files: 1 failed; left out: 2 repeated, 1 failed before`."""
        text = f"{plural(self.merged, 'record')} from {plural(parts, 'file')}"
        text += f": {self.failed} failed" if self.failed else ""
        left_out = [(self.repeated, "repeated"), (self.replaced, "failed in one run and not in another")]
        parts_left = ", ".join(f"{count} {what}" for count, what in left_out if count)
        return f"{text}; left out: {parts_left}" if parts_left else text


@dataclass
class Merge:
    """The parts, checked, and their records. Raises `UsageError` for parts that do not belong together."""

    parts: Sequence[Path]
    settings: MergeSettings = field(default_factory=MergeSettings)
    counts: MergeCounts = field(default_factory=MergeCounts)

    def __post_init__(self) -> None:
        self.runs: dict[str, Any] = {}
        for part in self.parts:
            self.runs |= read_runs(part)
        if not self.settings.mixed:
            _check_settings(self.runs)
        if not self.settings.partial:
            _check_shards(self.parts)
        self._index = _Index.of(record for _, record in self._read())
        if (number := self._index.contradiction()) is not None:
            where, record = next(islice(self._read(), number, None))
            remedy = "merge outputs of the same photos and settings, or remove one of the two records"
            raise UsageError(f"another result for {_name(record)} precedes it", where=where, remedy=remedy)

    def records(self) -> Iterator[dict[str, Any]]:
        """One record for each item, in the order of the parts and their lines."""
        for (_, record), repeated, replaced in zip(self._read(), *self._index.left_out(), strict=True):
            if repeated:
                self.counts.repeated += 1
            elif replaced:
                self.counts.replaced += 1
            else:
                self.counts.merged += 1
                self.counts.failed += record.get("error") is not None
                yield record

    def _read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(file:line, record) of all parts. Raises `UsageError` for a line that is not a record of an item."""
        for part in self.parts:
            for number, record in read_record_file(part):
                where = f"{part}:{number}"
                if isinstance(record, RecordError):
                    raise UsageError(record.what, where=record.where or where, remedy="repair or remove the line")
                if _name(record) is None:
                    raise UsageError("the record names no image or video", where=where, remedy="remove the line")
                yield where, {key: value for key, value in record.items() if key != _OF_ITS_FILE}


@dataclass(frozen=True)
class _Index:
    """One entry for each record: the digests of its item's name and of its content, and whether the item failed."""

    names: "np.ndarray[Any, np.dtype[np.uint64]]"
    contents: "np.ndarray[Any, np.dtype[np.uint64]]"
    failed: "np.ndarray[Any, np.dtype[np.bool_]]"

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> "_Index":
        names, contents, failed = array("Q"), array("Q"), array("b")
        for record in records:
            is_failed = record.get("error") is not None
            names.append(_digest(str(_name(record))))
            contents.append(names[-1] if is_failed else _digest(_comparable(record)))  # one failure is like another
            failed.append(is_failed)
        return cls(
            np.frombuffer(names, np.uint64) if names else np.zeros(0, np.uint64),
            np.frombuffer(contents, np.uint64) if contents else np.zeros(0, np.uint64),
            np.frombuffer(failed, np.bool_) if failed else np.zeros(0, np.bool_),
        )

    def left_out(self) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Two masks: records that occurred before, and failures of items that have a result."""
        return _is_later(self.contents), self.failed & np.isin(self.names, self.names[~self.failed])

    def contradiction(self) -> int | None:
        """The index of the first result whose item has another one before it."""
        results = np.flatnonzero(~self.failed & ~_is_later(self.contents))
        later = results[_is_later(self.names[results])]
        return int(later[0]) if later.size else None


def _is_later(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """For each value whether it occurs earlier, too."""
    later = np.ones(len(values), np.bool_)
    later[np.unique(values, return_index=True)[1]] = False
    return later


def _check_settings(runs: Mapping[str, Any]) -> None:
    """Raises `UsageError` where runs of one command have different settings."""
    first: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for run, manifest in runs.items():
        command, settings = str(manifest.get("command")), manifest.get("settings") or {}
        other, expected = first.setdefault(command, (run, settings))
        names = sorted(key for key in {*settings, *expected} if settings.get(key) != expected.get(key))
        if names:
            what = f"runs {other} and {run} of {command} have other settings: {', '.join(names[:_SHOWN])}"
            raise UsageError(what, remedy="merge outputs of one model and one set of options, or add --mixed")


def _check_shards(parts: Sequence[Path]) -> None:
    """Raises `UsageError` where a shard is absent or its run has not ended."""
    shards: dict[int, set[int]] = {}
    for part in parts:
        completed = read_completed(part)
        if completed is None:
            continue  # not made by a run that knows shards
        if not completed:
            raise UsageError("its run has not ended", where=str(part), remedy="continue it, or add --partial")
        for text in completed:
            shard = Shard.parse(text)
            shards.setdefault(shard.count, set()).add(shard.index)
    for count, found in shards.items():
        missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in found]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            what = f"{plural(len(missing), 'shard')} missing: {', '.join(missing[:_SHOWN])}{more}"
            raise UsageError(what, remedy="add their outputs, or --partial")


def _name(record: Mapping[str, Any]) -> str | None:
    name = record.get("image") or record.get("video")
    return name if isinstance(name, str) and name else None


def _comparable(record: Mapping[str, Any]) -> str:
    """The record without the id of its run, which also depends on versions and devices, as any form of file has it.

    Tables have neither fields without a value nor the order of the fields.
    """
    return dump_line({key: value for key, value in sorted(record.items()) if key != "run" and not _is_empty(value)})


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [])


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
