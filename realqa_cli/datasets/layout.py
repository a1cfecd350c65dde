"""Where the parts of a data set lie below its folder: tables by official names, photos by their folders."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realqa_cli.errors import UsageError


@dataclass(frozen=True)
class MediaFolder:
    """The folder that holds a data set's photos or videos.

    files: the names in it.  looked_in: the folders that were tried, in words.  found: whether one was there.
    """

    folder: Path
    files: frozenset[str]
    looked_in: str
    found: bool

    def has(self, name: str) -> bool:
        """Whether the file is there; upper and lower case differ."""
        return name in self.files or ("/" in name and os.path.isfile(os.path.join(self.folder, name)))

    def path(self, name: str) -> str:
        """The file's path as it opens from the current folder."""
        return str(self.folder / name)


def find_table(place: Path, title: str, *names: str) -> Path:
    """The first of the `names`, paths below `place`, that is there.

    Raises `UsageError` that lists them, and names a folder one level down that has one.
    """
    for name in names:
        if (place / name).is_file():
            return place / name
    remedy = "give the folder that holds it"
    for name in names:
        if below := next(iter(sorted(place.glob(f"*/{name}"))), None):
            remedy = f"give {str(below).removesuffix(name).rstrip(os.sep)}"
            break
    raise UsageError(f"no {title} here: looked for {' or '.join(names)}", where=str(place), remedy=remedy)


def find_media_folder(place: Path, folders: Sequence[str], names: Iterable[str]) -> MediaFolder:
    """The first of the `folders` below `place`, and `place` itself, with any of the files `names`.

    Photos are never gathered from several folders, which may hold other versions of them. Where no folder
    has any, it is the first that exists.
    """
    wanted = frozenset(names)
    tried = [place / folder for folder in folders] + [place]
    looked_in = ", ".join([*(f"{folder}/" for folder in folders if folder != "."), f"{place} itself"])
    for folder in tried:
        shelf = MediaFolder(folder, _listed(folder), looked_in, True)
        if not wanted.isdisjoint(shelf.files) or any("/" in name and shelf.has(name) for name in wanted):
            return shelf
    there = next((folder for folder in tried if folder.is_dir() and folder != place), None)
    return MediaFolder(there or tried[0], frozenset(), looked_in, there is not None)


def _listed(folder: Path) -> frozenset[str]:
    """The names in a folder; none where it is not there. Raises `UsageError` where it cannot be read."""
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        what = f"this folder cannot be read ({error.strerror})"
        raise UsageError(what, where=str(folder), remedy="check its permissions") from error
