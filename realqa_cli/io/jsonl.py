"""JSON Lines: read, write durably, resume, repair. The one place that knows how files fail.

Reading yields a record or a `RecordError` for every line, with its number; nothing is dropped silently.
Writing is valid UTF-8 whatever the records hold. File names that are not UTF-8 (Python reads them with lone
surrogates) are written as JSON escapes, ``\\udc80`` to ``\\udcff`` for the bytes 80 to ff: pure ASCII, and
`json.loads` followed by `os.fsencode` gives the name's bytes back.

This module knows nothing of what the records mean; `Appender` is told by its `key`.
"""

import json
import math
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Self

from realqa_cli.errors import OutputError, RecordError, UsageError

Key = Callable[[Mapping[str, Any]], Hashable | None]
SYNC_SECONDS = 1.0  # between two fsyncs: a power cut costs at most the records of this long, SIGKILL none

# Lone surrogates are no UTF-8; the others are, but many programs take them for line ends.
_ESCAPED = re.compile("[\ud800-\udfff\u2028\u2029\x85]")


def read_lines(
    source: Path | IO[bytes] | IO[str], *, name: str | None = None
) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
    """(line number from 1, record or what is wrong with the line) for each line that is not blank.

    Lazy: one line is in memory at a time. `name` stands in errors (default: the path or the stream's name).
    A BOM and CRLF are fine. Invalid UTF-8 or JSON, NaN, infinities, duplicate keys and lines that are no
    objects are errors. Raises `UsageError` when the file cannot be opened.
    """
    if isinstance(source, Path):
        try:
            stream = source.open("rb")
        except (OSError, ValueError) as error:
            what = f"cannot be read ({getattr(error, 'strerror', None) or error})"
            raise UsageError(what, where=str(source), remedy="check the path") from error
        with stream:
            yield from read_lines(stream, name=name or str(source))
        return
    name = name or str(getattr(source, "name", "<stream>"))
    for number, line in enumerate(getattr(source, "buffer", source), 1):  # stdin is text over bytes
        data = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
        if data.strip():
            try:
                yield number, parse_line(data)
            except RecordError as error:
                error.where = f"{name}:{number}"
                yield number, error


def parse_line(line: bytes) -> dict[str, Any]:
    """The object that one line holds. Raises `RecordError`, without a `where`."""
    try:
        record = _DECODER.decode(line.decode("utf-8-sig"))
        if not isinstance(record, dict):
            raise ValueError(f"a {type(record).__name__}, not an object")
        "".join(record).encode("utf-8")  # values may hold lone surrogates, being file names; keys may not
    except (ValueError, RecursionError) as error:
        raise RecordError(f"no JSON object in UTF-8 ({error})", type="record") from error
    return record


def dump_line(record: Mapping[str, Any]) -> str:
    """One line of JSON, its line end left out, that UTF-8 can hold. Raises `ValueError` for NaN and inf."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def write_atomic(path: Path, text: str) -> None:
    """Replace a file as a whole: a crash leaves the old text or the new one. Raises `OutputError`."""
    path = Path(os.path.realpath(path))  # through a symbolic link, not over it
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    with _writing(path), ExitStack() as cleanup:
        cleanup.callback(temporary.unlink, missing_ok=True)
        with temporary.open("xb") as stream:
            stream.write(text.encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)


class Appender:
    """A JSON Lines file that one process appends whole records to, and that a later run goes on with.

        with Appender(path, key=lambda record: record.get("image")) as output:
            if not output.take("a.jpg"):
                output.append({"image": "a.jpg", "score": 3.98})

    `resume` goes on after what is there; without it a non-empty file is refused, unless `overwrite` empties
    it. `key` gives what makes two records the same work, as str, numbers and tuples of them; None for a
    record that does not count as done, such as an error: it is tried again, and if it comes out the same it
    is not written twice. A second writer is refused (by `<path>.lock`, which stays behind, empty).

    `repaired` says in words what was mended of a last line that a crash had cut, or is None.
    Entering raises `OutputError`; so does `append`, e.g. on a full disk, and then leaves only whole lines.
    """

    def __init__(
        self, path: Path, *, resume: bool = True, overwrite: bool = False, key: Key = lambda record: None
    ) -> None:
        self.path = Path(os.path.realpath(path))  # one lock for a file, whatever link leads to it
        self.resume, self.overwrite, self.key = resume, overwrite, key
        self.repaired: str | None = None
        self._done: Counter[bytes] = Counter()  # digests of keys; of whole lines for what does not count
        self._end = 0  # the file's size in whole lines, bytes
        self._synced = -math.inf

    def __enter__(self) -> Self:
        from filelock import FileLock, Timeout  # slow to import, and only writers need it

        where = str(self.path)
        if not self.path.parent.is_dir():  # filelock would create it
            raise OutputError("its folder does not exist", where=where, remedy="create the folder")
        if self.path.exists() and not self.path.is_file():
            raise OutputError("this is not a regular file", where=where, remedy="choose another output")
        with _writing(self.path), ExitStack() as opened:
            try:  # flock, or its like on Windows: the system frees it with the process, none can be stale
                opened.enter_context(FileLock(f"{where}.lock", timeout=0, thread_local=False))
            except Timeout as error:
                remedy = "wait until it ends, or choose another output"
                raise OutputError("another run is writing this file", where=where, remedy=remedy) from error
            self._stream = opened.enter_context(self.path.open("ab", buffering=0))
            self._start()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        with self._opened:
            self._sync()

    def take(self, key: Hashable) -> bool:
        """Whether a record with this key is there from earlier; each record answers for one item only."""
        return self._take(_digest(key))

    def append(self, record: Mapping[str, Any], *, sync: bool = False) -> bool:
        """Write one record, with `sync` on disk; False where it does not count as done and is there."""
        line = dump_line(record).encode("utf-8") + b"\n"
        if self.key(record) is None and self._take(_digest(line)):
            return False
        self._write(line)
        if sync or time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()
        return True

    def _take(self, digest: bytes) -> bool:
        found = self._done[digest] > 0
        if found:
            self._done[digest] -= 1
        return found

    def _start(self) -> None:
        """Count what is there, or clear it away. Raises `OutputError` rather than touch a foreign file."""
        if not self.resume and not self.overwrite and self.path.stat().st_size:
            remedy = "add --overwrite to empty it, or choose another output"
            raise OutputError("the file is not empty", where=str(self.path), remedy=remedy)
        if not self.resume:
            self._stream.truncate(0)
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                self._count(line, f"{self.path}:{number}")
        _sync_folder(self.path.parent)

    def _count(self, line: bytes, where: str) -> None:
        try:
            record = parse_line(line) if line.strip() else None
        except RecordError as error:
            # A stump of ours lacks its end and starts like a record; power cuts can leave NULs behind it.
            if line.endswith(b"\n") or line.rstrip(b"\0")[:1] not in (b"{", b""):
                remedy = "choose another output, or mend the line"
                raise OutputError(f"this is no record: {error}", where=where, remedy=remedy) from error
            self._stream.truncate(self._end)
            self.repaired = f"cut off an incomplete last line, {len(line)} bytes, of an interrupted run"
            return
        self._end += len(line)
        if not line.endswith(b"\n"):
            line += b"\n"
            self._write(b"\n")
            self.repaired = "ended the last line of an interrupted run"
        if record is not None:
            key = self.key(record)
            self._done[_digest(line if key is None else key)] += 1

    def _write(self, line: bytes) -> None:
        with _writing(self.path):
            try:
                left = memoryview(line)
                while left:
                    left = left[self._stream.write(left) :]
                self._end += len(line)
            except BaseException:  # an interrupt, too: half a line must not stay
                self._stream.truncate(self._end)
                raise

    def _sync(self) -> None:
        with _writing(self.path):
            os.fsync(self._stream.fileno())
        self._synced = time.monotonic()


def _digest(value: Hashable) -> bytes:
    """12 bytes for a value of any size: a million finished items take about 100 MB."""
    return blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"a key stands twice among {', '.join(repr(key) for key, _ in pairs[:12])}")
    return record


# The default decoder takes NaN, turns 1e999 into infinity, and keeps the last of two equal keys.
_DECODER = json.JSONDecoder(parse_constant=_finite, parse_float=_finite, object_pairs_hook=_no_duplicates)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        remedy = "free some space, or check the path and its permissions"
        raise OutputError(what, where=str(path), remedy=remedy) from error


def _sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power cut, where the system can."""
    with suppress(OSError), ExitStack() as opened:  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        opened.callback(os.close, descriptor)
        os.fsync(descriptor)
