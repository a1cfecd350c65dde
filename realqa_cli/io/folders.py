"""The photos and videos below a folder, and a count of the files that are not taken.

Suffixes decide quickly; a file with another suffix is taken if its first bytes are those of a photo or video.
A camera RAW file is taken where `rawpy` can read its preview, unless the camera wrote a JPEG or HEIF next to it.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError, MediaError
from realqa_cli.media.formats import RAW_SUFFIXES
from realqa_cli.media.kinds import (
    CAMERA_SUFFIXES,
    SURE_SUFFIXES,
    kind_of_file,
    suffix_of,
)
from realqa_cli.media.raw import REMEDY as RAW_REMEDY
from realqa_cli.media.raw import can_read_raw

SYSTEM_FOLDERS = (
    *(".Trash*", ".thumbnails", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"),
    *(".Spotlight-V100", ".fseventsd", ".AppleDouble", ".git"),
)
"""Folders of deleted files, previews and the like, by pattern; nothing in them is taken."""

_PAIR_SUFFIXES = [written for suffix in CAMERA_SUFFIXES for written in (suffix, suffix.upper(), suffix.capitalize())]
_SHOWN = 8  # suffixes that a summary names

NamedPath = tuple[str, ItemError | None]
"""A path of a photo or video, or of an entry that cannot be read, with its error."""


@dataclass
class SkippedFiles:
    """Counts of the files that were not taken, by kind: "raw", "raw-pair", "apple-double", "system", "other"."""

    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str, number: int = 1) -> None:
        """Count `number` files of a kind; `name` is their suffix or folder."""
        self.counts[kind] += number
        self.names.setdefault(kind, Counter())[name] += number

    def merge(self, other: "SkippedFiles") -> None:
        """Add the counts of another folder."""
        for kind, names in other.names.items():
            for name, number in names.items():
                self.add(kind, name, number)

    def summary(self) -> str | None:
        """One line for a person; None where every file was taken."""
        words = {
            "raw-pair": ("camera RAW file", " with a JPEG or HEIF of the same name"),
            "raw": ("camera RAW file", ""),
            "apple-double": ("AppleDouble file", ""),
            "system": ("file", " in system folders"),
            "other": ("other file", ""),
        }
        parts = [
            f"{plural(count, words[kind][0])}{words[kind][1]} ({_listed(self.names[kind])})"
            for kind in words
            if (count := self.counts[kind])
        ]
        remedy = f"; {RAW_REMEDY}" if self.counts["raw"] else ""
        return f"not taken: {', '.join(parts)}{remedy}" if parts else None


def walk_folder(folder: str, skipped: SkippedFiles) -> list[NamedPath]:
    """All photos and videos below, in code-point order; each real folder once, so that links make no loop.

    An entry that cannot be read has an error in its place. `skipped` counts the other files.
    """
    found: list[NamedPath] = []
    visited: set[tuple[int, int]] = set()
    folders, links = [folder], list[str]()
    while folders or links:
        current = folders.pop() if folders else links.pop(links.index(min(links)))
        try:
            status = os.stat(current)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(current) as opened:
                entries = [*opened]
        except OSError as error:
            found.append(_unreadable(current, "this folder", error))
            continue
        names = frozenset(entry.name for entry in entries)
        for entry in entries:
            try:
                if not entry.is_dir():
                    found += _take(entry, names, skipped)
                elif _is_system_folder(entry.name):
                    skipped.add("system", entry.name, _count_files(entry.path))
                else:
                    (links if entry.is_symlink() else folders).append(entry.path)
            except OSError as error:  # a link that leads in a circle, or into a locked folder
                found.append(_unreadable(entry.path, "this link" if entry.is_symlink() else "this", error))
    return sorted(found, key=lambda named: named[0])


def _take(entry: "os.DirEntry[str]", names: Collection[str], skipped: SkippedFiles) -> list[NamedPath]:
    suffix = suffix_of(entry.name)
    if entry.name.startswith("._"):
        skipped.add("apple-double", "._*")
    elif suffix in RAW_SUFFIXES and pair_of(entry.name, names):
        skipped.add("raw-pair", suffix)
    elif suffix in RAW_SUFFIXES and not can_read_raw():
        skipped.add("raw", suffix)
    elif suffix in SURE_SUFFIXES | RAW_SUFFIXES or kind_of_file(entry.path) is not None:
        return [(entry.path, None)]
    else:
        skipped.add("other", suffix or "no suffix")
    return []


def take_name(name: str, skipped: SkippedFiles) -> bool:
    """Whether a file in an archive or elsewhere is taken, by its name alone; `skipped` counts the others."""
    *above, last = name.replace("\\", "/").split("/")
    suffix = suffix_of(last)
    system = next(filter(_is_system_folder, above), None)
    if system is not None:
        skipped.add("system", system)
    elif last.startswith("._"):
        skipped.add("apple-double", "._*")
    elif suffix in RAW_SUFFIXES and not can_read_raw():
        skipped.add("raw", suffix)
    elif suffix in SURE_SUFFIXES | RAW_SUFFIXES:
        return True
    else:
        skipped.add("other", suffix or "no suffix")
    return False


def pair_of(raw: str, names: Collection[str]) -> str | None:
    """The JPEG or HEIF of the same exposure among the `names` of a folder: it has the RAW file's name but the suffix.

    None where there is none. A JPEG comes first.
    """
    stem = os.path.splitext(raw)[0]
    return next((stem + suffix for suffix in _PAIR_SUFFIXES if stem + suffix in names), None)


def _is_system_folder(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in SYSTEM_FOLDERS)


def _count_files(folder: str) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _unreadable(path: str, what: str, error: OSError) -> NamedPath:
    message = f"{what} cannot be read ({error.strerror})"
    return path, MediaError(message, type="unreadable", where=path)


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
