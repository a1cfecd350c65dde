"""Which items of a run an output file has results of already: by their files' size and time, or by their content.

A result is found again by the item's name, the digest of its file's content, and the settings. Where the index of the
output (`record_index`) also knows the file's path, size and time of modification, and these have not changed, the file
is not opened. A file that was modified within two seconds before the run that recorded it, or later, is not trusted:
it may have changed once more without a change of its size and time. The content decides about such files.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Literal, get_args

from realqa_cli.errors import MediaError
from realqa_cli.io.appender import Appender
from realqa_cli.io.sources import Item
from realqa_cli.media.files import file_version

ResumeBy = Literal["stat", "content"]
RESUME_BY: tuple[ResumeBy, ...] = get_args(ResumeBy)

_TICK = 2 * 10**9  # nanoseconds: file systems keep times to two seconds or better


class FinishedItems:
    """The items that an output has results of, and the only way to append further results to it.

    A step asks for each item in order `is_unchanged`, then `has` if it opened the item, and gives the results in the
    same order.
    """

    def __init__(
        self,
        file: Appender,
        runs: Collection[str],
        *,
        resume_by: ResumeBy = "stat",
        on_found: Callable[[], object] = lambda: None,
    ) -> None:
        """runs: ids of the runs with these settings.  on_found: called for each finished item."""
        self._file, self._runs, self._by_stat, self._on_found = file, runs, resume_by == "stat", on_found
        self._start = time.time_ns()
        self._asked: deque[tuple[str, Hashable | None]] = deque()  # items without a result, with their files

    def is_unchanged(self, item: Item) -> bool:
        """Whether the item is finished, and its file not modified since; the file is not opened."""
        identity = self._identity(item)
        self._asked.append((item.name, identity))
        if not self._by_stat or identity is None:
            return False
        return self._claim(item.name, [(*_file_key(item.name, identity), run) for run in self._runs]) is not None

    def may_have(self, name: str) -> bool:
        """False where no item of this name is finished, so that nothing need be read to know it."""
        return self._file.has(_name_key(name))

    def has(self, name: str, content: str) -> bool:
        """Whether the item of this name, which `is_unchanged` was asked about, is finished with this content."""
        identity = next((found for asked, found in reversed(self._asked) if asked == name), None)
        claimed = self._claim(name, [(name, content, run) for run in self._runs])
        if claimed is not None and identity is not None:
            record, (*_, run) = claimed
            self._file.learn(record, (*_file_key(name, identity), run))
        return claimed is not None

    def append(self, record: Mapping[str, Any]) -> None:
        """Append the result of the next item, or its error. Raises `OutputError`."""
        name = str(record.get("image") or record.get("video"))
        identity = None
        if any(name == asked for asked, _ in self._asked):
            while self._asked[0][0] != name:  # items that the step has left out
                self._asked.popleft()
            identity = self._asked.popleft()[1]
        known = identity is not None and record.get("error") is None
        self._file.append(record, more=[(*_file_key(name, identity), record.get("run"))] if known else ())

    def _claim(self, name: str, keys: Collection[tuple[Any, ...]]) -> tuple[int, tuple[Any, ...]] | None:
        """The record of one of the keys, and the key."""
        for key in keys:
            record = self._file.claim(key)
            if record is not None:
                self._forget(name)
                self._on_found()
                return record, key
        return None

    def _forget(self, name: str) -> None:
        """Remove the item that was asked about last under this name; others may have been since."""
        for place in range(len(self._asked) - 1, -1, -1):
            if self._asked[place][0] == name:
                del self._asked[place]
                return

    def _identity(self, item: Item) -> Hashable | None:
        """The version of the item's file; None where it does not tell whether the file has changed."""
        try:
            if item.stored is not None:
                version = item.stored.version()
            else:
                version = None if item.path is None else file_version(item.path)
        except MediaError:  # reading the file will report it
            return None
        if version is None or (version.modified is not None and version.modified > self._start - _TICK):
            return None
        return version.key


def record_key(record: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What makes two records the same work; None for failed items, which are tried again."""
    match record.get("image") or record.get("video"), record.get("content"), record.get("run"):
        case str(name), str(content), str(run) if record.get("error") is None:
            return name, content, run
    return None


def name_key(record: Mapping[str, Any]) -> Hashable:
    """The key for `may_have`."""
    return _name_key(str(record.get("image") or record.get("video")))


def _name_key(name: str) -> Hashable:
    return "name", name


def _file_key(name: str, identity: Hashable) -> tuple[Hashable, ...]:
    return "file", name, identity
