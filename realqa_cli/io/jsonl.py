r"""JSON Lines files: read, serialise, replace atomically. `appender` adds durable appending.

Reading yields a record or a `RecordError` for every line, with its number; no line is dropped silently. Files
in UTF-8 (with or without BOM) and UTF-16 are read. NaN and infinities, which JSON does not have but many
programs write, are read as null, with one warning per file. Files whose name ends in ``.gz`` are decompressed.

Writing produces valid UTF-8 whatever the records hold. File names that are not UTF-8 (Python represents them
with lone surrogates) are written as JSON escapes, ``\udc80`` to ``\udcff`` for the bytes 80 to ff: pure ASCII,
and `json.loads` followed by `os.fsencode` returns the original bytes of the name.

This module does not know what the records mean.
"""

import codecs
import gzip
import json
import logging
import math
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from realqa_cli.errors import OutputError, RecordError, UsageError

if TYPE_CHECKING:
    from jsonlines import Reader

log = logging.getLogger("realqa")

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
"""Ends of the names of JSON Lines files, in lower case."""

# Lone surrogates are not valid UTF-8; the other characters are, but many programs treat them as line ends.
_ESCAPED = re.compile("[\ud800-\udfff\u2028\u2029\x85]")
_BOMS_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def read_lines(
    source: Path | IO[bytes] | IO[str], *, name: str | None = None
) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
    """Yield (line number from 1, record or `RecordError`) for each line that is not blank.

    Lazy: one line is in memory at a time. `name` is used in errors (default: the path or the stream's name).
    Invalid UTF-8 or JSON, duplicate keys and lines that are not objects are errors. Raises `UsageError` when
    the file cannot be opened.
    """
    if isinstance(source, Path):
        with open_binary(source) as stream:
            yield from read_lines(stream, name=name or str(source))
        return
    name = name or str(getattr(source, "name", "<stream>"))
    yield from records_of(text_lines(source), name)


def is_json_lines(name: str | Path) -> bool:
    """Whether a file is JSON Lines by its name."""
    return str(name).lower().endswith(SUFFIXES)


def records_of(lines: Iterable[bytes | str], name: str) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
    """The same for lines that were read already; `name` is the file's, for errors."""
    decoder = _Decoder()
    counted = _Counted(lines)
    reader = _reader(counted, decoder)
    warned = False
    while True:
        try:
            record = _read(reader)
        except EOFError:
            return
        except RecordError as error:
            error.where = f"{name}:{counted.number}"
            yield counted.number, error
            continue
        if decoder.replaced and not warned:
            warned = True
            what = "NaN or Infinity is not valid JSON and is read as null (reported once per file)"
            log.warning("%s:%d: %s", name, counted.number, what)
        yield counted.number, record


def parse_line(line: bytes) -> dict[str, Any]:
    """The object on one line. Raises `RecordError`, without a `where`."""
    try:
        return _read(_reader([line], _line_decoder()))
    except EOFError as error:  # a blank line
        raise RecordError("not a JSON object (a blank line)", type="record") from error


@cache
def _line_decoder() -> "_Decoder":
    """One for all lines: making one takes longer than decoding a line."""
    return _Decoder()


def finite_or_none(text: str) -> float | None:
    """A number of JSON; None for NaN and infinities. For `json.loads`: `parse_float` and `parse_constant`."""
    number = float(text)
    return number if math.isfinite(number) else None


def dump_line(record: Mapping[str, Any]) -> str:
    """The record as one line of JSON without its line end. Raises `ValueError` for NaN and infinities."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def text_lines(stream: IO[bytes] | IO[str]) -> Iterator[bytes | str]:
    """The lines of a stream: bytes in UTF-8 or text, decoded where the stream is UTF-16.

    PowerShell's ``>`` writes UTF-16 with a byte order mark.
    """
    lines: Iterator[bytes | str] = iter(getattr(stream, "buffer", stream))  # sys.stdin is text over bytes
    first = next(lines, None)
    if first is None:
        return
    encoding = _utf16_encoding(first) if isinstance(first, bytes) else None
    every = chain([first], lines)
    yield from every if encoding is None else _decoded(every, encoding)


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """The open file, decompressed where its name ends in ``.gz``.

    Raises `UsageError` where it cannot be opened, and at a damaged place of a compressed file.
    """
    try:
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        what = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise UsageError(what, where=str(path), remedy="check the path") from error
    with stream:
        yield cast(IO[bytes], _Decompressed(stream, path)) if path.name.lower().endswith(".gz") else stream


def write_atomic(path: Path, text: str) -> None:
    """Replace a file as a whole: a crash leaves the old text or the new one. Raises `OutputError`."""
    with replacing(path) as stream:
        stream.write(text.encode("utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose content replaces the file when the block ends without an error. Raises `OutputError`."""
    path = Path(os.path.realpath(path))  # through a symbolic link, not over it
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    with writing(path), ExitStack() as cleanup:
        cleanup.callback(temporary.unlink, missing_ok=True)
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the `OSError` of a block that writes `path` into an `OutputError`."""
    try:
        yield
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        remedy = "free some space, or check the path and its permissions"
        raise OutputError(what, where=str(path), remedy=remedy) from error


def sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power cut, where the system supports it."""
    with suppress(OSError), ExitStack() as opened:  # Windows cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        opened.callback(os.close, descriptor)
        os.fsync(descriptor)


class _Decompressed(gzip.GzipFile):
    """A gzip file whose damage is a `UsageError`; an early end would otherwise look like the end of the file."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._path = path

    def readline(self, size: int | None = -1) -> bytes:
        """The next line."""
        try:
            return super().readline(-1 if size is None else size)
        except (OSError, EOFError, zlib.error) as error:
            what = f"cannot be decompressed ({error})"
            raise UsageError(what, where=str(self._path), remedy="make or download it again") from error


class _Counted:
    """The lines, and the number of the one that was read last."""

    def __init__(self, lines: Iterable[bytes | str]) -> None:
        self.lines, self.number = lines, 0

    def __iter__(self) -> Iterator[bytes | str]:
        for line in self.lines:
            self.number += 1
            yield line


class _Decoder:
    """A strict JSON decoder for objects, except that NaN and infinities become null; `replaced` counts them.

    The default decoder accepts NaN, turns 1e999 into infinity, and keeps the last of two equal keys.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._json = json.JSONDecoder(
            parse_constant=self._finite, parse_float=self._finite, object_pairs_hook=_without_duplicates
        )

    def loads(self, text: str | bytes) -> dict[str, Any]:
        """The object. Raises ValueError."""
        try:
            record = self._json.decode((text if isinstance(text, str) else text.decode()).lstrip("\ufeff"))
        except RecursionError as error:
            raise ValueError("maximum recursion depth exceeded") from error
        if not isinstance(record, dict):
            raise ValueError(f"a {type(record).__name__}, not an object")
        "".join(record).encode("utf-8")  # values may hold lone surrogates, being file names; keys may not
        return record

    def _finite(self, text: str) -> float | None:
        number = finite_or_none(text)
        self.replaced += number is None
        return number


def _reader(lines: Iterable[bytes | str], decoder: _Decoder) -> "Reader":
    import jsonlines  # a run that only prints records does not need it

    return jsonlines.Reader(lines, loads=decoder.loads)


def _read(reader: "Reader") -> dict[str, Any]:
    """The reader's next record. Raises `RecordError`, without a `where`, and EOFError."""
    import jsonlines

    try:
        return reader.read(type=dict, skip_empty=True)
    except jsonlines.InvalidLineError as error:
        raise RecordError(f"not a JSON object in UTF-8 ({error.__cause__ or error})", type="record") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"duplicate key among {', '.join(repr(key) for key, _ in pairs[:12])}")
    return record


def _utf16_encoding(first: bytes) -> str | None:
    """The encoding by the byte order mark, or by the zeros of a first ASCII character."""
    if first[:2] in _BOMS_16:
        return _BOMS_16[first[:2]]
    if len(first) > 1 and (first[0] == 0) != (first[1] == 0):
        return "utf-16-be" if first[0] == 0 else "utf-16-le"
    return None


def _decoded(blocks: Iterable[bytes | str], encoding: str) -> Iterator[bytes | str]:
    """Lines of text from blocks of bytes that were split at the byte 0a, inside or outside of a character."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    pending = ""
    for block in blocks:
        pending += decoder.decode(block if isinstance(block, bytes) else block.encode())
        *whole, pending = pending.split("\n")
        yield from whole
    try:
        pending += decoder.decode(b"", final=True)
    except UnicodeDecodeError:  # half a character at the end of the file
        pending += "\ufffd"
    if pending:
        yield pending
