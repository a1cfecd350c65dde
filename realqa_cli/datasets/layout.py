"""Finds the parts of a data set below its folder: tables by their official names, photos by their folders."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realqa_cli.errors import UsageError


@dataclass(frozen=True)
class MediaFolder:
    """The folder that holds a data set's photos or videos.

    files: the names in it.  looked_in: the folders that were tried, in words.  found: whether one of them exists.
    """

    folder: Path
    files: frozenset[str]
    looked_in: str
    found: bool

    def has(self, name: str) -> bool:
        """Whether the file exists; upper and lower case differ."""
        return name in self.files or ("/" in name and os.path.isfile(os.path.join(self.folder, name)))

    def path(self, name: str) -> str:
        """The path of the file, relative to the current folder."""
        return str(self.folder / name)


def find_table(place: Path, title: str, *names: str) -> Path:
    """The first of the `names`, paths below `place`, that exists.

    Raises `UsageError` that lists them, and names a folder one level down that has one of them.
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

    Photos are never taken from several folders, which may hold other versions of them. Where no folder has any,
    the result is the first folder that exists.
    """
    expected = frozenset(names)
    tried = [place / folder for folder in folders] + [place]
    looked_in = ", ".join([*(f"{folder}/" for folder in folders if folder != "."), f"{place} itself"])
    for folder in tried:
        media_folder = MediaFolder(folder, _listed(folder), looked_in, True)
        if not expected.isdisjoint(media_folder.files) or any(
            "/" in name and media_folder.has(name) for name in expected
        ):
            return media_folder
    first = next((folder for folder in tried if folder.is_dir() and folder != place), None)
    return MediaFolder(first or tried[0], frozenset(), looked_in, first is not None)


def _listed(folder: Path) -> frozenset[str]:
    """The names in a folder; none where it does not exist. Raises `UsageError` where it cannot be read."""
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        what = f"this folder cannot be read ({error.strerror})"
        raise UsageError(what, where=str(folder), remedy="check its permissions") from error
