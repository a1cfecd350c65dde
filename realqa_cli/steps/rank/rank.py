"""The step `realqa rank`: scored photos in, a ranking out: groups, the order in them and over all, what to keep.

Over all, photos are ordered by their win rate (comparisons.py). Within a group, which holds photos of one scene,
sharpness at full resolution counts as well, because a slight miss of the focus is invisible at the size at which
the model looks at photos. The two orders agree: the places that a group has over all go to its members in the
order within the group.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from realqa_cli import __version__
from realqa_cli.domain.standing import DECIDED
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.io.manifest import Manifest, versions
from realqa_cli.io.records import ScoreRecord, error_line
from realqa_cli.io.summary_records import RankRecord
from realqa_cli.media.measurements import VERSION
from realqa_cli.steps.rank import comparisons, grouping
from realqa_cli.steps.rank.candidates import Candidate, sources_of
from realqa_cli.steps.rank.comparisons import Comparisons
from realqa_cli.steps.rank.grouping import PhotoGroup, group_photos
from realqa_cli.steps.rank.stars import StarRule

_RANK_FIELDS = ("group", "group_size", "group_kind", "rank", "rank_in_group", "win_rate", "p_better_than_next")
_EARLIER = frozenset({*_RANK_FIELDS, "decided", "keep", "stars", "companions"})


@dataclass(frozen=True)
class RankSettings:
    """keep: photos of each group that are kept.  stars: how stars are given; None gives none."""

    keep: int = 1
    stars: StarRule | None = None

    def check(self) -> None:
        """Raises UsageError."""
        if self.keep < 1:
            raise UsageError(f"must be at least 1, not {self.keep}", where="--keep")


@dataclass(frozen=True)
class Place:
    """The place of a photo in the ranking, with fields as in `RankRecord`. group: from 1, that of the best photo."""

    group: int
    group_size: int
    group_kind: str
    rank: int
    rank_in_group: int
    win_rate: float
    p_better_than_next: float | None
    keep: bool

    @property
    def decided(self) -> bool | None:
        """Whether the photo is better than the next one with a probability of at least `DECIDED`."""
        return None if self.p_better_than_next is None else self.p_better_than_next >= DECIDED


@dataclass(frozen=True)
class _Subject:
    """A score record as the input of a rank record."""

    name: str
    kind: Literal["image", "video"]
    fields: Mapping[str, Any]


def rank_manifest(candidates: Sequence[Candidate], settings: RankSettings) -> Manifest:
    """What the ranking depends on, the runs of the scores included."""
    runs = {str(each.record["run"]) for each in candidates if each.record.get("run")}
    return Manifest(
        "rank",
        {
            "scores": sorted(runs),
            "probabilities": sources_of(candidates),
            "keep": settings.keep,
            "stars": None if settings.stars is None else settings.stars.as_json(),
            "decided": DECIDED,
            "sharpness_weight": comparisons.SHARPNESS_WEIGHT,
            "duplicates": {"bits": grouping.DUPLICATE_BITS, "correlation": grouping.DUPLICATE_CORRELATION},
            "bursts": {
                "seconds": grouping.BURST_SECONDS,
                "bits": grouping.BURST_BITS,
                "correlation": grouping.BURST_CORRELATION,
                "sure_correlation": grouping.BURST_SURE_CORRELATION,
            },
            "measured": VERSION,
        },
        {**versions("imagehash", "numpy", "pillow", "scipy"), "realqa": __version__},
    )


def rank_records(
    candidates: Sequence[Candidate], settings: RankSettings, *, run: str, companions: Mapping[str, Sequence[Path]]
) -> Iterator[dict[str, Any]]:
    """One JSON-ready `RankRecord` for each candidate, the best first.

    run: the id of the manifest.  companions: the other files of a photograph, by the name of the photo.
    """
    if not candidates:
        return
    places = rank_photos(candidates, settings.keep)
    ranks = [place.rank for place in places]
    stars = settings.stars.stars([each.score for each in candidates], ranks) if settings.stars else [None] * len(ranks)
    for index in sorted(range(len(ranks)), key=ranks.__getitem__):
        candidate, place = candidates[index], places[index]
        own: dict[str, Any] = {**vars(place), "decided": place.decided}
        if settings.stars is not None:
            own["stars"] = stars[index]
        yield _record(candidate, own, run, [str(path) for path in companions.get(candidate.name, ())])


def rank_photos(candidates: Sequence[Candidate], keep: int) -> list[Place]:
    """The place of each candidate, in the order of the candidates."""
    compared = Comparisons(candidates)
    rates = compared.win_rates()

    def by_rate(index: int) -> tuple[float, float, int]:
        return -float(rates[index]), -candidates[index].score, index

    places = {index: place for place, index in enumerate(sorted(range(len(candidates)), key=by_rate), 1)}
    ranked: list[tuple[PhotoGroup, list[int], list[int]]] = []
    for group in group_photos(candidates):
        within = dict(zip(group.members, compared.rates_in_group(group.members), strict=True))
        order = sorted(group.members, key=lambda index: (-float(within[index]), by_rate(index)))
        ranked.append((group, order, sorted(places[index] for index in group.members)))
    ranked.sort(key=lambda each: each[2][0])
    at_rank = {rank: index for _, order, ranks in ranked for index, rank in zip(order, ranks, strict=True)}
    found: dict[int, Place] = {}
    for number, (group, order, ranks) in enumerate(ranked, 1):
        for position, (index, rank) in enumerate(zip(order, ranks, strict=True), 1):
            if position < len(order):
                better = compared.better_in_group(index, order[position])
            else:
                following = at_rank.get(rank + 1)
                better = None if following is None else compared.better(index, following)
            rate = float(rates[index])
            found[index] = Place(number, len(order), group.kind, rank, position, rate, better, position <= keep)
    return [found[index] for index in range(len(candidates))]


def _record(candidate: Candidate, own: Mapping[str, Any], run: str, companions: list[str]) -> dict[str, Any]:
    record = candidate.record
    is_earlier = all(field in record for field in _RANK_FIELDS)  # the record of an earlier ranking
    dropped = {"image", "video", "error", "score", "sharpness", "taken", "run", *(_EARLIER if is_earlier else ())}
    subject = _Subject(
        candidate.name,
        "image" if record.get("video") is None else "video",
        {key: value for key, value in record.items() if key not in dropped},
    )
    return RankRecord.of(
        subject,
        **own,
        score=candidate.score,
        sharpness=candidate.sharpness,
        taken=candidate.taken_text,
        companions=companions,
        run=run,
    ).to_line()


def failed_record(record: Mapping[str, Any], error: ItemError, settings: RankSettings) -> dict[str, Any]:
    """The record of an item without a place, from its score record or its input: the fields of people pass through."""
    subject = _Subject(
        str(record.get("image") or record.get("video")),
        "image" if record.get("video") is None else "video",
        {key: value for key, value in record.items() if key not in (ScoreRecord.model_fields.keys() | _EARLIER)},
    )
    optional = ("stars",) if settings.stars is not None else ()
    return error_line(subject, error, content=record.get("content"), instead_of=RankRecord, optional=optional)
