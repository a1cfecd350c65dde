"""RealQA, the paper's own data set, as its authors release it: photos, and conversations in sharegpt form.

A photo has several conversations (paper Sec. 3.3), in any .json or .jsonl file of the folder or of one below.
They are put together: the score from the answers that state one, attributes from those in the regular form.
The split is that of the file's name. The release does not say its score's range: records that do not tell
theirs are taken as 1-10, or 0-10 where a score is below 1.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realqa_cli.datasets.contents import Dataset, DatasetEntry, MediaKind
from realqa_cli.domain.parsing import labelled_score, read_attributes
from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io import sharegpt

RANGES = ([1, 10], [0, 10])

_SUFFIXES = frozenset({".json", ".jsonl"})
_SPLIT = re.compile(r"(?<![a-z])(train|val|test)", re.IGNORECASE)
_FOLDERS = ("images", "image", "data")


@dataclass
class _Photo:
    """What the conversations about one photo say."""

    name: str
    where: str
    kind: MediaKind
    present: bool
    mos: float | None = None
    mos_range: list[float] | None = None
    split: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def hear(self, record: Mapping[str, Any]) -> None:
        """Takes in one conversation."""
        for answer in sharegpt.answers(record):
            stated = labelled_score(answer)
            self.mos = stated if self.mos is None else self.mos
            for key, value in read_attributes(answer).items():
                known = self.attributes.get(key)
                parts = known if isinstance(known, dict) and isinstance(value, dict) else None
                self.attributes[key] = value if parts is None else {**parts, **value}
        if isinstance(record.get("mos"), int | float) and not isinstance(record["mos"], bool):
            self.mos = float(record["mos"])
        if isinstance(record.get("mos_range"), list):
            self.mos_range = record["mos_range"]


def read(place: Path) -> Dataset:
    """All photos of the conversations. Raises `UsageError`."""
    photos: dict[str, _Photo] = {}
    folder = place if place.is_dir() else place.parent
    for file in _files(place):
        for where, record in _conversations(file):
            for name in sharegpt.media(record)[:1]:
                photo = photos.setdefault(name, _photo(name, where, record, file, folder))
                photo.hear(record)
                photo.split = photo.split or _split(file)
    if not photos:
        what = "no conversations with images here: looked in *.json and *.jsonl, and one folder below"
        remedy = "give the folder of the release, or one of its files"
        raise UsageError(what, where=str(place), remedy=remedy)
    low = min((photo.mos for photo in photos.values() if photo.mos is not None), default=1)
    assumed = RANGES[0] if low >= 1 else RANGES[1]
    is_assumed = any(photo.mos is not None and photo.mos_range is None for photo in photos.values())
    note = f"realqa: the release states no range, scores are taken as {assumed[0]}-{assumed[1]}"
    return Dataset(
        "realqa",
        str(place),
        [_entry(photo, assumed) for photo in photos.values()],
        f"{folder} and {', '.join(f'{each}/' for each in _FOLDERS)}",
        found=False,
        notes=(note,) if is_assumed else (),
        no_split="the names of its files hold neither train nor test",
    )


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found = [*place.glob("*.json*"), *place.glob("*/*.json*")]
    return sorted(file for file in found if file.suffix.lower() in _SUFFIXES and file.is_file())


def _conversations(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, record) of a file whose first record is a conversation; other files are passed by.

    Raises `UsageError` for a bad record among conversations.
    """
    for i, (number, record) in enumerate(sharegpt.read_sharegpt(file)):
        if isinstance(record, dict) and (sharegpt.answers(record) or i):
            yield f"{file}:{number}", record
        elif i == 0:
            return
        else:
            assert isinstance(record, RecordError)
            raise UsageError(record.what, where=record.where, remedy="mend or remove it")


def _photo(name: str, where: str, record: Mapping[str, Any], file: Path, folder: Path) -> _Photo:
    folders = [file.parent, folder, *(folder / each for each in _FOLDERS), file.parent / "images"]
    path = sharegpt.locate_image(name, list(dict.fromkeys(folders)))
    kind: MediaKind = "video" if record.get("videos") or record.get("video") else "image"
    return _Photo(path or str(folder / name), where, kind, path is not None)


def _entry(photo: _Photo, assumed: list[int]) -> DatasetEntry:
    fields: dict[str, Any] = {}
    if photo.mos is not None:
        fields |= {"mos": photo.mos, "mos_range": photo.mos_range or assumed}
    if photo.split is not None:
        fields["split"] = photo.split
    return DatasetEntry(photo.name, photo.where, fields, photo.kind, photo.present, photo.attributes)


def _split(file: Path) -> str | None:
    found = _SPLIT.search(file.stem) or _SPLIT.search(file.parent.name)
    return found[1].lower() if found else None
