"""Append whole records to a JSON Lines file durably, resume after a crash, and refuse a second writer.

This module does not know what the records mean: the `key` that an `Appender` is given decides what is the
same work.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import ExitStack
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, Self, cast

from realqa_cli.domain.wording import plural
from realqa_cli.errors import OutputError, RecordError
from realqa_cli.io.jsonl import dump_line, parse_line, sync_folder, writing
from realqa_cli.io.record_index import Covered, RecordIndex, index_file, key_digest, line_digest

log = logging.getLogger("realqa")

Key = Callable[[Mapping[str, Any]], Hashable | None]
SYNC_SECONDS = 1.0
"""Between two fsyncs: a power cut costs at most the records of this time; SIGKILL costs none."""

_LONG = 2**28
"""Bytes that are read in some seconds: for more, a message says what takes so long."""
_BUSY = "wait until it ends, or choose another output"


class Appender:
    """A JSON Lines file that one process appends whole records to, and that a later run continues.

        with Appender(path, key=lambda record: record.get("image")) as output:
            if not output.take("a.jpg"):
                output.append({"image": "a.jpg", "score": 3.98})

    `resume` continues after the records in the file; `overwrite` empties it instead. With neither, a file that
    is not empty is refused. `key` returns what makes two records the same work, as str, numbers and tuples of
    them, or None for a record that does not count as done, such as an error: the item is tried again, and an
    identical record is not written twice.

    A second writer is refused: by `<path>.lock`, which remains as an empty file, and by a lock on the file
    itself, which also holds through a hard link. `repaired` describes what was repaired of a last line that a
    crash had cut, or is None. Entering raises `OutputError`; so does `append`, for example on a full disk, and
    then only whole lines remain in the file.

    `indexed` keeps the keys on disk next to the file (`record_index`): then a run with millions of records starts
    at once. `also` is a second key by which `has` finds records.
    """

    def __init__(
        self,
        path: Path,
        *,
        resume: bool = True,
        overwrite: bool = False,
        key: Key = lambda record: None,
        also: Key = lambda record: None,
        indexed: bool = False,
    ) -> None:
        self.path = Path(os.path.realpath(path))  # one lock for a file, whatever link leads to it
        self.resume, self.overwrite, self.key, self.also, self.indexed = resume, overwrite, key, also, indexed
        self.repaired: str | None = None

    def __enter__(self) -> Self:
        from filelock import FileLock, Timeout  # slow to import, and only writers need it
        from jsonlines import Writer

        where = str(self.path)
        if not self.path.parent.is_dir():  # filelock would create it
            raise OutputError("its folder does not exist", where=where, remedy="create the folder")
        if self.path.exists() and not self.path.is_file():
            raise OutputError("this is not a regular file", where=where, remedy="choose another output")
        with writing(self.path), ExitStack() as opened:
            try:  # flock, or its equivalent on Windows: the system releases it when the process ends
                opened.enter_context(FileLock(f"{where}.lock", timeout=0, thread_local=False))
            except Timeout as error:
                raise OutputError("another run is writing this file", where=where, remedy=_BUSY) from error
            stream = opened.enter_context(self.path.open("ab", buffering=0))
            if not _lock_inode(stream):
                what = "another run is writing this file under another name"
                raise OutputError(what, where=where, remedy=_BUSY)
            self._file = _WholeLines(stream, self.path)
            self._writer = Writer(cast(IO[bytes], self._file), dumps=dump_line)
            self._index = RecordIndex(index_file(self.path) if self.indexed else None)
            opened.callback(self._index.close)
            self._start()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        with self._opened:
            self.flush()

    def take(self, key: Hashable) -> bool:
        """Whether a record with this key is there from an earlier run; each record counts for one item only."""
        return self.claim(key) is not None

    def claim(self, key: Hashable) -> int | None:
        """The number of the record that `take` takes, for `learn`."""
        return self._index.claim(key_digest(key))

    def has(self, key: Hashable) -> bool:
        """Whether an earlier run has a record with this key, be it taken or not."""
        return self._index.has(key_digest(key))

    def learn(self, record: int, key: Hashable) -> None:
        """From the next run on, `take` finds the record by this key, too."""
        self._index.learn(record, key_digest(key))

    def append(self, record: Mapping[str, Any], *, sync: bool = False, more: Iterable[Hashable] = ()) -> bool:
        """Write one record; with `sync` it is on disk when this returns. A later run finds it by `more` keys, too.

        False for a record that does not count as done and is in the file already.
        """
        digests = self._digests(record)
        if self.key(record) is None and self._index.claim(digests[0]) is not None:
            return False
        if self._file.lines != self._index.covered.lines:
            self._index.stop_writing("an interrupt came between a record and its keys")
        self._writer.write(record)
        self._index.add([*digests, *map(key_digest, more)], self._file.covered)
        if self._file.sync(unless_within=0 if sync else SYNC_SECONDS):
            self._index.commit()
        return True

    def flush(self) -> None:
        """Bring everything that was appended to the disk. Raises `OutputError`."""
        self._file.sync()
        self._index.commit()

    @property
    def unclaimed(self) -> int:
        """How many records of earlier runs were neither taken nor appended again."""
        return self._index.unclaimed

    def _digests(self, record: Mapping[str, Any], line: bytes | None = None) -> list[bytes]:
        """Those of the record's keys; where there is none, that of its whole line."""
        if (key := self.key(record)) is None:
            return [line_digest(line or dump_line(record).encode("utf-8") + b"\n")]
        also = self.also(record)
        return [key_digest(key)] if also is None else [key_digest(key), key_digest(also)]

    def _start(self) -> None:
        """Count the records that are there, or empty the file. Raises `OutputError` for a foreign file."""
        if not self.resume and not self.overwrite and self.path.stat().st_size:
            remedy = "add --overwrite to empty it, or choose another output"
            raise OutputError("the file is not empty", where=str(self.path), remedy=remedy)
        if not self.resume:
            self._file.cut(0)
            self._index.clear()
        covered = self._index.covered
        if covered.end > self.path.stat().st_size or not covered.is_start_of(self.path):
            self._index.clear()
            covered = self._index.covered
        self._file.continue_after(covered)
        if self.path.stat().st_size - covered.end > _LONG:
            size = (self.path.stat().st_size - covered.end) / 1e9
            log.warning("%s: reading %.1f GB of records that the index does not have", self.path, size)
        with self.path.open("rb") as lines:
            lines.seek(covered.end)
            for number, line in enumerate(lines, covered.lines + 1):
                self._count(line, f"{self.path}:{number}")
        self._index.settle()
        sync_folder(self.path.parent)

    def _count(self, line: bytes, where: str) -> None:
        try:
            record = parse_line(line) if line.strip() else None
        except RecordError as error:
            # An incomplete line of ours lacks its end and starts like a record; power cuts can leave NULs after it.
            if line.endswith(b"\n") or line.rstrip(b"\0")[:1] not in (b"{", b""):
                remedy = "choose another output, or repair the line"
                raise OutputError(f"this line is not a record: {error}", where=where, remedy=remedy) from error
            self._file.cut(self._file.end)
            self.repaired = f"removed an incomplete last line, {plural(len(line), 'byte')}, of an interrupted run"
            return
        if not line.endswith(b"\n"):
            self._file.complete(line)
            line += b"\n"
            self.repaired = "completed the last line of an interrupted run"
        else:
            self._file.passed(line)
        if record is None:
            self._index.pass_over(self._file.covered)
        else:
            self._index.add(self._digests(record, line), self._file.covered)


class _WholeLines(RawIOBase):
    """A file to append to that never keeps part of a line: a write that fails is undone.

    `end` is the file's size in whole lines, in bytes.
    """

    def __init__(self, stream: Any, path: Path) -> None:
        self.stream, self.path, self.end, self.lines = stream, path, 0, 0
        self._last = b""
        self._part = bytearray()
        self._synced = -math.inf

    @property
    def covered(self) -> Covered:
        """All whole lines of the file, of which an index knows the records."""
        return Covered(self.end, self.lines, 0, len(self._last), line_digest(self._last))

    def continue_after(self, covered: Covered) -> None:
        """Count from the end of what an index covers."""
        self.end, self.lines = covered.end, covered.lines
        with self.path.open("rb") as stream:
            stream.seek(covered.end - covered.length)
            self._last = stream.read(covered.length)

    def passed(self, line: bytes) -> None:
        """Count a whole line that is in the file."""
        self.end += len(line)
        self.lines += 1
        self._last = line

    def complete(self, line: bytes) -> None:
        """Write the end of the last line. Raises `OutputError`."""
        self.end += len(line)
        self.write(b"\n")
        self._last = line + b"\n"

    def write(self, data: Any) -> int:
        """Hold the data back until it ends a line, then write the line. Raises `OutputError`."""
        self._part += data
        if self._part.endswith(b"\n"):
            line, self._part = bytes(self._part), bytearray()
            self._write_line(line)
        return len(data)

    def cut(self, size: int) -> None:
        """Shorten the file to `size` bytes."""
        self.stream.truncate(size)

    def sync(self, *, unless_within: float = 0) -> bool:
        """Bring what was written to the disk; False where that was done within the last seconds."""
        if unless_within and time.monotonic() - self._synced < unless_within:
            return False
        with writing(self.path):
            os.fsync(self.stream.fileno())
        self._synced = time.monotonic()
        return True

    def _write_line(self, line: bytes) -> None:
        with writing(self.path):
            try:
                left = memoryview(line)
                while left:
                    left = left[self.stream.write(left) :]
                self.passed(line)
            except BaseException:  # including an interrupt: half a line must not remain
                self.stream.truncate(self.end)
                raise


def _lock_inode(stream: IO[bytes]) -> bool:
    """Lock the file itself, whatever its names; True also where the system has no such lock."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # Windows: the lock file is all there is
        return True
    try:
        flock(stream, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
