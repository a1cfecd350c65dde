"""Photos in tar archives, such as the shards of WebDataset: `x.tar::photos/0001.jpg` is a member of `x.tar`.

A tar of this machine is read by seeking: members are opened where a step needs them. Compressed and remote tars are
read as streams, so their members are in memory one by one, in order, and are not opened by name.
"""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from realqa_cli.errors import ItemError, MediaError
from realqa_cli.io.remote import RemoteFile, file_system, is_http, is_remote, shown_url, with_retries
from realqa_cli.media.files import MAX_FILE_BYTES, FileVersion, file_version, read_part

SEPARATOR = "::"
PLAIN = ".tar"
SUFFIXES = (PLAIN, ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_STREAM_BYTES = 2**20

Member = tuple[str, "ArchiveMember | ItemError"]
"""The name of a member, and what opens it or why it cannot be read."""


def split_member(name: str) -> tuple[str, str] | None:
    """(archive, member) of `x.tar::member`, (archive, "") of `x.tar`; None for other names."""
    archive, _, member = name.partition(SEPARATOR)
    path = shown_url(archive).partition("?")[0] if is_remote(archive) else archive
    return (archive, member) if path.lower().endswith(SUFFIXES) else None


def is_archive(name: str) -> bool:
    """Whether the name is that of a whole archive."""
    found = split_member(name)
    return found is not None and not found[1]


def archive_of(name: str) -> str:
    """The archive that an item's name refers to, or the name itself."""
    return (split_member(name) or (name,))[0]


@dataclass(frozen=True)
class ArchiveMember:
    """A file in an archive.

    archive: path or URL.  name: of the item.  start, size: bytes in the archive.  of: version of the archive.
    data: the content, of a member that was read from a stream.
    """

    archive: str
    name: str
    start: int
    size: int
    of: FileVersion | None
    data: bytes | None = field(default=None, repr=False)

    def prepare(self) -> None:
        """Nothing is left to ask."""

    def read(self) -> bytes:
        """The content. Raises `MediaError`."""
        if self.size > MAX_FILE_BYTES:
            raise MediaError(f"over {MAX_FILE_BYTES:,} bytes", type="too-large", where=self.name)
        if not self.size:
            raise MediaError("the file is empty (0 bytes)", type="empty", where=self.name)
        if self.data is not None:
            return self.data
        if not is_remote(self.archive):
            return read_part(Path(self.archive), self.start, self.size)
        fs, path = file_system(self.archive)
        data: bytes = with_retries(lambda: fs.cat_file(path, self.start, self.start + self.size), self.name)
        return data

    def version(self) -> FileVersion | None:
        """That of the archive, with the place in it."""
        return None if self.of is None else FileVersion((self.of.key, self.start, self.size), self.of.modified)


def members(archive: str, take: Callable[[str], bool]) -> Iterator[Member]:
    """The regular files whose names `take` accepts, in their order; an error where the archive cannot be read on."""
    shown = shown_url(archive) if is_remote(archive) else archive
    try:
        with ExitStack() as stack:
            version, tar, streamed = _opened(archive, stack)
            for entry in tar:
                cast(Any, tar).members = []  # they would pile up
                if entry.isreg() and not entry.issparse() and take(entry.name):
                    name = f"{shown}{SEPARATOR}{entry.name}"
                    data = None
                    if streamed and entry.size <= MAX_FILE_BYTES:
                        data = cast(Any, tar.extractfile(entry)).read()
                    yield name, ArchiveMember(archive, name, entry.offset_data, entry.size, version, data)
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        yield shown, MediaError(f"the archive cannot be read ({reason})", type="archive", where=shown)
    except MediaError as error:
        yield shown, error


def find_member(archive: str, member: str, name: str) -> ArchiveMember:
    """One member by its name. Raises `MediaError`."""
    shown = shown_url(archive) if is_remote(archive) else archive
    if not shown.partition("?")[0].lower().endswith(PLAIN):
        what, remedy = "members of a compressed archive cannot be opened by name", "name the archive itself"
        raise MediaError(what, type="unsupported", where=name, remedy=remedy)
    version = RemoteFile(archive).version() if is_remote(archive) else file_version(Path(archive))
    try:
        place = _places(archive, version).get(member)
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"the archive cannot be read ({reason})", type="archive", where=shown) from error
    if place is None:
        raise MediaError("the archive has no such member", type="missing", where=name)
    return ArchiveMember(archive, name, *place, version)


@lru_cache(maxsize=16)
def _places(archive: str, version: FileVersion | None) -> dict[str, tuple[int, int]]:
    """Start and size of each regular file. `version` makes a changed archive be read again."""
    with ExitStack() as stack:
        if is_remote(archive):
            fs, path = file_system(archive)
            stream = stack.enter_context(with_retries(lambda: fs.open(path, "rb"), shown_url(archive)))
            tar = stack.enter_context(tarfile.open(fileobj=stream, mode="r:"))
        else:
            tar = stack.enter_context(tarfile.open(archive, "r:"))
        return {entry.name: (entry.offset_data, entry.size) for entry in tar if entry.isreg()}


def _opened(archive: str, stack: ExitStack) -> tuple[FileVersion | None, tarfile.TarFile, bool]:
    """(version, archive, whether it can only be read in order). Raises `MediaError`, `OSError` and `TarError`."""
    if is_remote(archive):
        remote = RemoteFile(archive)
        stream = stack.enter_context(_RetriedStream(remote))
        streamed: dict[str, Any] = {"fileobj": stream, "mode": "r|*", "bufsize": _STREAM_BYTES}
        return remote.version(), stack.enter_context(tarfile.open(**streamed)), True
    version = file_version(Path(archive))
    plain = archive.lower().endswith(PLAIN)
    mode: Any = "r:" if plain else "r|*"
    return version, stack.enter_context(tarfile.open(archive, mode)), not plain


class _RetriedStream:
    """A remote file that is read in order; after a failure it is opened again at the same place."""

    def __init__(self, remote: RemoteFile) -> None:
        self._remote, self._place = remote, 0
        self._stream: Any = None

    def __enter__(self) -> "_RetriedStream":
        return self

    def __exit__(self, *raised: object) -> None:
        self._close()

    def read(self, size: int) -> bytes:
        """The next bytes; less than `size` only at the end. Raises `MediaError`."""
        data: bytes = with_retries(lambda: self._read(size), self._remote.name)
        self._place += len(data)
        return data

    def _read(self, size: int) -> bytes:
        try:
            if self._stream is None:
                self._stream = self._reopened()
            parts = bytearray()
            while len(parts) < size and (part := self._stream.read(size - len(parts))):
                parts += part
            return bytes(parts)
        except BaseException:
            self._close()
            raise

    def _reopened(self) -> Any:
        fs, path = file_system(self._remote.url)
        whole = is_http(fs)
        stream = fs.open(path, "rb", block_size=0) if whole else fs.open(path, "rb")  # 0: not every server has ranges
        left = self._place
        if not whole:
            stream.seek(left)
            return stream
        while left and (part := stream.read(min(left, _STREAM_BYTES))):
            left -= len(part)
        return stream

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
