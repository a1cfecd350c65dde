"""Reads media files: only regular files, with a limit on their size; the id of their content, and their version.

Every failure is a `MediaError` of type missing, empty, unreadable or too-large.
"""

import io
import os
import stat
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from realqa_cli.errors import MediaError

MAX_FILE_BYTES = 2**30


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises `MediaError`: missing, unreadable, empty or too-large."""
    with open_file(path) as (file, size):
        if size > MAX_FILE_BYTES:
            raise MediaError(f"over {MAX_FILE_BYTES:,} bytes", type="too-large", where=str(path))
        return file.read()


@dataclass(frozen=True)
class FileVersion:
    """What changes when a file does.

    key: what is compared.  modified: the time of the last change in Unix nanoseconds, where a further change at nearly
    the same time could leave the key as it is; None where it could not, as with the tag that a server gives.
    """

    key: Hashable
    modified: int | None


def file_version(path: Path) -> FileVersion | None:
    """By path, size and time of modification, without opening the file; None for what is not a regular file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileVersion((os.path.abspath(path), status.st_size, status.st_mtime_ns), status.st_mtime_ns)


def read_part(path: Path, start: int, size: int) -> bytes:
    """Some bytes of a file. Raises `MediaError`."""
    with open_file(path) as (file, _):
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise MediaError("the file ends before this part", type="unreadable", where=str(path))
    return data


@contextmanager
def open_file(path: Path) -> Iterator[tuple[io.BufferedReader, int]]:
    """The open file and its size in bytes. Raises `MediaError`: missing, unreadable or empty."""
    where = str(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device could block for ever
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise MediaError(f"this is {kind}", type="unreadable", where=where)
        if not status.st_size:
            raise MediaError("the file is empty (0 bytes)", type="empty", where=where)
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError("no such file", type="missing", where=where, remedy="check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(error, where) from error
    with file:
        try:
            yield file, status.st_size
        except OSError as error:
            raise _unreadable(error, where) from error


def content_id(data: bytes) -> str:
    """``sha256:<64 hex digits>`` of a file's bytes, which identifies the same photo under any name."""
    return f"sha256:{sha256(data).hexdigest()}"


def content_id_of(path: Path) -> str:
    """`content_id` of a file, without holding it in memory. Raises `MediaError`: missing, unreadable or empty."""
    with open_file(path) as (file, _):
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"


def _unreadable(error: Exception, where: str) -> MediaError:
    reason = getattr(error, "strerror", None) or error
    return MediaError(f"cannot be read ({reason})", type="unreadable", where=where)
