"""The files of the RealQA release: one JSON list (or JSON Lines) of sharegpt conversations for each set and split.

A set is known by its file name without the word of the split: `koniq_train.json` and `koniq_test.json` are the set
"koniq", which `--subset koniq` selects; `--subset koniq_test` selects the one file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realqa_cli.datasets.contents import MediaKind
from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io import sharegpt

FOLDERS = ("images", "image", "data")
"""Where photos are looked for, below the folder of the release."""

_SUFFIXES = frozenset({".json", ".jsonl"})
_SPLIT = re.compile(r"(?<![a-z])(training|train|validation|val|testing|test)(?![a-z])[\W_]*", re.IGNORECASE)
_SPLITS = {"training": "train", "validation": "val", "testing": "test"}


@dataclass(frozen=True)
class ReleaseFile:
    """A file of conversations.  subset: the name of its set.  split: train, val or test, or None."""

    path: Path
    subset: str
    split: str | None

    @property
    def names(self) -> frozenset[str]:
        """The values of `--subset` that select the file."""
        return frozenset({self.subset.casefold(), self.path.stem.casefold()})


@dataclass(frozen=True)
class ReleaseConversation:
    """A conversation of the release.  name: as the record states it.  path: of its photo, if it is there."""

    where: str
    record: Mapping[str, Any]
    name: str
    path: str | None
    kind: MediaKind
    split: str | None


def select_files(place: Path, subset: str | None) -> list[ReleaseFile]:
    """The files of one set. Raises `UsageError` that lists the sets where it is not clear which one is meant."""
    found = [_release_file(file) for file in _files(place) if _holds_conversations(file)]
    if not found:
        what = "no conversations with images here: looked in *.json and *.jsonl, and one folder below"
        remedy = "give the folder of the release, or one of its files"
        raise UsageError(what, where=str(place), remedy=remedy)
    known = ", ".join(sorted({file.subset for file in found}))
    if subset is not None:
        found = [file for file in found if subset.strip().casefold() in file.names]
        if not found:
            raise UsageError(f"there is no set {subset!r}", where="--subset", remedy=f"choose one of: {known}")
    elif len({file.subset for file in found}) > 1:
        what = "this folder holds several sets, whose scores must not be mixed"
        raise UsageError(what, where=str(place), remedy=f"choose one by --subset: {known}")
    return _with_training_split(found)


def _release_file(file: Path) -> ReleaseFile:
    match = _SPLIT.search(file.stem) or _SPLIT.search(file.parent.name)
    split = match[1].lower() if match else None
    subset = _SPLIT.sub("", file.stem).strip("-_. ") or file.parent.name
    return ReleaseFile(file, subset, None if split is None else _SPLITS.get(split, split))


def _with_training_split(files: list[ReleaseFile]) -> list[ReleaseFile]:
    """A set with a file for tests and one without a split in its name: the latter is the training file."""
    splits = {file.split for file in files}
    if "train" in splits or splits <= {None} or None not in splits:
        return files
    return [ReleaseFile(file.path, file.subset, file.split or "train") for file in files]


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found = [*place.glob("*.json*"), *place.glob("*/*.json*")]
    return sorted(file for file in found if file.suffix.lower() in _SUFFIXES and file.is_file())


def _holds_conversations(file: Path) -> bool:
    """Whether the first record is a conversation; other files, such as an index of data sets, are not the release's.

    Raises `UsageError` for a file that cannot be read.
    """
    for _, record in sharegpt.read_sharegpt(file):
        return isinstance(record, dict) and bool(sharegpt.answers(record))
    return False


def conversations(files: Sequence[ReleaseFile], folder: Path) -> Iterator[ReleaseConversation]:
    """The conversations with a photo or video, in order. Raises `UsageError` for a broken record."""
    paths: dict[tuple[Path, str], str | None] = {}
    for file in files:
        for number, record in sharegpt.read_sharegpt(file.path):
            if isinstance(record, RecordError):
                raise UsageError(record.what, where=record.where, remedy="repair or remove it")
            for name in sharegpt.media(record)[:1]:
                key = (file.path.parent, name)
                if key not in paths:
                    paths[key] = _locate(name, file.path.parent, folder)
                kind: MediaKind = "video" if record.get("videos") or record.get("video") else "image"
                yield ReleaseConversation(f"{file.path}:{number}", record, name, paths[key], kind, file.split)


def _locate(name: str, own_folder: Path, folder: Path) -> str | None:
    folders = [own_folder, folder, *(folder / each for each in FOLDERS), own_folder / "images", folder.parent]
    return sharegpt.locate_image(name, list(dict.fromkeys(folders)))
