"""RealQA, the paper's own data set, as its authors release it: photos, and conversations in sharegpt form.

A photo has several conversations (paper Sec. 3.3). They are put together: the score from the answers that state
one, attributes from those in the regular form. The release does not state the range of its scores: it is the
narrowest of 1-10, 0-10 and 0-100 that holds nearly all of them, and a score outside stops the reader.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realqa_cli.datasets import release_files
from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.release_files import ReleaseConversation
from realqa_cli.domain.parsing import labelled_score, read_attributes
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError
from realqa_cli.io import sharegpt

RANGES = (Scale(1, 10), Scale(0, 10), Scale(0, 100))

_NEARLY_ALL = 0.95
"""Share of the scores that a range must hold: the rest are errors of the data."""


@dataclass
class _Photo:
    """What the conversations about one photo or video state.  scored_at: the record that states `mos`."""

    first: ReleaseConversation
    mos: float | None = None
    scored_at: str = ""
    mos_range: list[float] | None = None
    split: str | None = None
    contradictory: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)

    def add(self, conversation: ReleaseConversation) -> None:
        """Takes in one conversation; of two scores the first counts."""
        record = conversation.record
        self.split = self.split or conversation.split
        for answer in sharegpt.answers(record):
            self._add_score(labelled_score(answer), conversation.where)
            for key, value in read_attributes(answer).items():
                known = self.attributes.get(key)
                parts = known if isinstance(known, dict) and isinstance(value, dict) else None
                self.attributes[key] = value if parts is None else {**parts, **value}
        if isinstance(record.get("mos"), int | float) and not isinstance(record["mos"], bool):
            self.mos, self.scored_at = float(record["mos"]), conversation.where
        if isinstance(record.get("mos_range"), list):
            self.mos_range = record["mos_range"]

    def _add_score(self, score: float | None, where: str) -> None:
        if score is None:
            return
        if self.mos is None:
            self.mos, self.scored_at = score, where
        elif abs(score - self.mos) > 0.01:
            self.contradictory = True


def read_realqa(place: Path, subset: str | None = None) -> Dataset:
    """All photos of one set's conversations. Raises `UsageError`."""
    files = release_files.select_files(place, subset)
    folder = place if place.is_dir() else place.parent
    photos: dict[str, _Photo] = {}
    for conversation in release_files.conversations(files, folder):
        photos.setdefault(conversation.name, _Photo(conversation)).add(conversation)
    assumed = _range_of([p for p in photos.values() if p.mos is not None and p.mos_range is None])
    for photo in photos.values():
        _check(photo, assumed)
    looked_in = f"{folder} and {', '.join(f'{each}/' for each in release_files.FOLDERS)}"
    return Dataset(
        "realqa",
        str(place),
        [_entry(photo, assumed, folder) for photo in photos.values()],
        looked_in,
        found=False,
        notes=tuple(_notes(photos, assumed)),
        no_split="leave it out: the names of the set's files hold neither train nor test",
    )


def conversations_of(place: Path, dataset: Dataset, subset: str | None = None) -> Iterator[ReleaseConversation]:
    """The conversations about the entries of `dataset`, which `read` returned for the same place and subset."""
    folder = place if place.is_dir() else place.parent
    names = {entry.name for entry in dataset.entries}
    for conversation in release_files.conversations(release_files.select_files(place, subset), folder):
        if (conversation.path or str(folder / conversation.name)) in names:
            yield conversation


def _range_of(photos: Sequence[_Photo]) -> Scale | None:
    """The assumed range of scores that no record states; None where there are none."""
    scores = [photo.mos for photo in photos if photo.mos is not None]
    if not scores:
        return None
    holds = ((scale, sum(scale.low <= score <= scale.high for score in scores) / len(scores)) for scale in RANGES)
    return next((scale for scale, share in holds if share >= _NEARLY_ALL), RANGES[-1])


def _check(photo: _Photo, assumed: Scale | None) -> None:
    """Raises `UsageError` for a score outside its range."""
    bounds = photo.mos_range or assumed
    if photo.mos is None or bounds is None:
        return
    try:
        scale = Scale.of(bounds)
    except (ValueError, TypeError) as error:
        raise UsageError(f"mos_range: {error}", where=photo.scored_at, remedy="correct the record") from error
    if not scale.low <= photo.mos <= scale.high:
        how = "" if photo.mos_range else ", which nearly all other scores of the set lie in"
        what, remedy = (
            f"the score {photo.mos:g} is outside {scale}{how}",
            "correct the record, or state its `mos_range`",
        )
        raise UsageError(what, where=photo.scored_at, remedy=remedy)


def _notes(photos: Mapping[str, _Photo], assumed: Scale | None) -> Iterator[str]:
    if assumed is not None:
        yield f"realqa: the release states no range; its scores are taken as {assumed}"
    if contradictory := sum(photo.contradictory for photo in photos.values()):
        yield f"realqa: photos whose conversations state different scores, of which the first counts: {contradictory}"


def _entry(photo: _Photo, assumed: Scale | None, folder: Path) -> DatasetEntry:
    fields: dict[str, Any] = {}
    if photo.mos is not None:
        fields |= {"mos": photo.mos, "mos_range": photo.mos_range or [*map(int, assumed or ())]}
    if photo.split is not None:
        fields["split"] = photo.split
    first = photo.first
    name, present = first.path or str(folder / first.name), first.path is not None
    return DatasetEntry(name, first.where, fields, first.kind, present, photo.attributes)
