"""Divides records or conversations into a training set and a held-out set, by group and seed.

All lines of a group are in the same set. A group is a photo by default, so that all conversations about it stay
together; a field can name larger groups, such as the scene or the photographer. The choice depends on the groups and
the seed only, not on the order of the lines.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realqa_cli.errors import UsageError
from realqa_cli.io import sharegpt
from realqa_cli.io.labels import resolve_from
from realqa_cli.io.locate import comparable


@dataclass(frozen=True)
class SplitSettings:
    """share: of the lines that are held out, 0 to 1.  by: field whose value is the group; None for the photo."""

    share: float = 0.1
    by: str | None = None
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError."""
        if not 0 < self.share < 1:
            raise UsageError(f"must be between 0 and 1, not {self.share:g}", where="--share")


@dataclass(frozen=True)
class Halves:
    """Lines of both sets, in the order of the input, and the number of groups of each."""

    train: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    train_groups: int
    held_out_groups: int


def split_lines(files: Sequence[Path], settings: SplitSettings) -> Halves:
    """Read the files and divide their lines. Paths of photos become absolute.

    Raises UsageError for a line that is not a record, has no group, or if there are fewer than two groups.
    """
    settings.check()
    lines, groups = [], []
    for file in files:
        for number, line in sharegpt.read_sharegpt(file):
            where = f"{file}:{number}"
            if isinstance(line, Exception):
                raise UsageError(line.what, where=line.where or where, remedy=line.remedy or "correct the line")
            if line.get("error") is not None:
                continue
            lines.append(_with_absolute_paths(line, file.parent))
            groups.append(_group(lines[-1], settings.by, where))
    held_out = _held_out(groups, settings)
    return Halves(
        [line for line, group in zip(lines, groups, strict=True) if group not in held_out],
        [line for line, group in zip(lines, groups, strict=True) if group in held_out],
        len({*groups} - held_out),
        len(held_out),
    )


def _held_out(groups: Sequence[str], settings: SplitSettings) -> set[str]:
    """Groups in a random order until their lines reach the share; at least one, and never all."""
    sizes = dict.fromkeys(groups, 0)
    for group in groups:
        sizes[group] += 1
    if len(sizes) < 2:
        what = f"need at least 2 groups to split, found {len(sizes)}"
        raise UsageError(what, where=f"--by {settings.by or 'image'}", remedy="use a field with more values")
    order = sorted(
        sizes, key=lambda group: hashlib.sha256(f"{settings.seed}\0{group}".encode("utf-8", "surrogatepass")).digest()
    )
    wanted, chosen, count = settings.share * len(groups), set[str](), 0
    for group in order[:-1]:
        if chosen and count + sizes[group] / 2 > wanted:
            break
        chosen.add(group)
        count += sizes[group]
    return chosen


def _place(group: str, seed: int) -> bytes:
    """The place of a group in the random order. A name that is not UTF-8 has lone surrogates."""
    return hashlib.sha256(f"{seed}\0{group}".encode("utf-8", "surrogatepass")).digest()


def _group(line: Mapping[str, Any], by: str | None, where: str) -> str:
    if by is not None:
        if line.get(by) is None:
            raise UsageError(f"the line has no {by}", where=where, remedy="add it, or split by another field")
        return str(line[by])
    names = sharegpt.media(line)
    if not names:
        raise UsageError("the line names no image or video", where=where, remedy="add it, or name a field by --by")
    return comparable(names[0])


def _with_absolute_paths(line: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The line with photos and videos that open from anywhere, because the output may be in another folder."""
    changed = dict(line)
    for key in ("image", "images", "video", "videos"):
        value = line.get(key)
        if isinstance(value, str):
            changed[key] = _absolute(value, folder)
        elif isinstance(value, list):
            changed[key] = [_absolute(name, folder) if isinstance(name, str) else name for name in value]
    return changed


def _absolute(name: str, folder: Path) -> str:
    return os.path.abspath(resolve_from(name, str(folder)))
