"""What a name in a list or on the command line stands for: a file, a file elsewhere, or a member of an archive."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from realqa_cli.errors import MediaError
from realqa_cli.io.archives import ArchiveMember, find_member, split_member
from realqa_cli.io.locate import check_name, is_there, locate
from realqa_cli.io.remote import RemoteFile, file_system, is_remote, shown_url
from realqa_cli.media.files import FileVersion
from realqa_cli.media.kinds import kind_by_suffix

_FILE_URL = re.compile(r"file://", re.I)


class StoredFile(Protocol):
    """A photo that is not a file of its own on this machine, such as `RemoteFile` and `ArchiveMember`."""

    def prepare(self) -> None:
        """Ask for what `version` says, where that takes time. Raises `MediaError`."""
        ...

    def read(self) -> bytes:
        """The whole content. Raises `MediaError`."""
        ...

    def version(self) -> FileVersion | None:
        """What changes when the photo does; None where that is unknown. Raises `MediaError`."""
        ...


@dataclass(frozen=True)
class Resolved:
    """A name that opens from the current folder, and what it names: one of path and stored file."""

    name: str
    path: Path | None = None
    stored: RemoteFile | ArchiveMember | None = None

    @property
    def archive(self) -> str | None:
        """The path or URL of the archive that it is as a whole; None for everything else."""
        whole = self.stored.url if isinstance(self.stored, RemoteFile) else str(self.path or "")
        found = split_member(whole)
        return found[0] if found is not None and not found[1] else None


def resolve_name(given: str, folder: str = "") -> Resolved:
    """What the name, relative to a folder, stands for; a remote file is not asked for yet.

    Raises `MediaError` for data, missing files and what cannot be read from elsewhere.
    """
    check_name(given)
    if is_remote(given):
        return _remote(given)
    name = os.fsdecode(unquote_to_bytes(urlsplit(given).path)) if _FILE_URL.match(given) else given
    try:
        return _local(name, folder)
    except MediaError:
        place = split_member(name)
        if place is None or not place[1]:
            raise
        archive = _local(place[0], folder)
        name = f"{archive.name}{name[len(place[0]) :]}"
        _refuse_video(name)
        return Resolved(name, stored=find_member(str(archive.path), place[1], name))


def _remote(url: str) -> Resolved:
    name = shown_url(url)
    _refuse_video(name.partition("?")[0])
    file_system(url)
    place = split_member(url)
    if place is not None and place[1]:
        archive, member = place
        name = f"{shown_url(archive)}{url[len(archive) :]}"
        return Resolved(name, stored=find_member(archive, member, name))
    return Resolved(name, stored=RemoteFile(url))


def _refuse_video(name: str) -> None:
    if kind_by_suffix(name) == "video":
        what, remedy = "videos are read from files of this machine only", "download or unpack it first"
        raise MediaError(what, type="unsupported", where=name, remedy=remedy)


def _local(name: str, folder: str) -> Resolved:
    joined = os.path.join(folder, name)
    if is_there(joined):
        return Resolved(name if _is_same(name, joined) else joined, Path(joined))
    path = locate(name) if is_there(name) else locate(name, folder) or locate(name)
    if path is None:
        raise MediaError("no such file", type="missing", where=joined, remedy="check the path")
    return Resolved(path, Path(path))


def _is_same(path: str, other: str) -> bool:
    try:
        return path == other or os.path.samefile(path, other)
    except (OSError, ValueError):
        return False
