"""Photographs: a photo together with the other files of the same exposure.

Cameras write a RAW file next to a JPEG or HEIF, and phones a short MOV next to a live photo, with the same name but
the suffix. They are one photograph: the JPEG or HEIF is scored, and the others are its companions.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from realqa_cli.io.folders import pair_of
from realqa_cli.io.sources import Item
from realqa_cli.media.formats import is_raw_name
from realqa_cli.media.kinds import CAMERA_SUFFIXES, suffix_of

LIVE_SUFFIX = ".mov"


@dataclass(frozen=True)
class Photograph:
    """companions: the other files, RAW files first, in the folder of the item."""

    item: Item
    companions: tuple[Path, ...] = ()


def pair_items(items: Iterable[Item]) -> list[Photograph]:
    """The photographs, in order. Items that are companions of another item are not photographs of their own."""
    photographs = [Photograph(item, _companions(item.path) if item.path else ()) for item in items]
    companions = {_comparable(path) for each in photographs for path in each.companions}
    return [each for each in photographs if each.item.path is None or _comparable(each.item.path) not in companions]


def _companions(photo: Path) -> tuple[Path, ...]:
    if suffix_of(photo.name) not in CAMERA_SUFFIXES:
        return ()
    folder = photo.parent
    names = _names(folder)
    same = [name for name in names.get(photo.stem, ()) if is_raw_name(name) or suffix_of(name) == LIVE_SUFFIX]
    siblings = names.get(photo.stem, ())
    same = [name for name in same if pair_of(name, siblings) in (photo.name, None)]  # of a JPEG, rather than of a HEIF
    return tuple(folder / name for name in sorted(same, key=lambda name: (not is_raw_name(name), name)))


@cache
def _names(folder: Path) -> dict[str, Sequence[str]]:
    """The names in a folder by what is before their suffix."""
    found: dict[str, list[str]] = {}
    try:
        for name in os.listdir(folder):
            found.setdefault(os.path.splitext(name)[0], []).append(name)
    except OSError:
        return {}
    return {stem: sorted(names) for stem, names in found.items()}


def _comparable(path: Path) -> str:
    return os.path.realpath(path)
