"""The step `realqa compare` by scores: P(A > B) from the exact distributions of both, each photo scored once.

Pairs are yielded in order, each as soon as both of its photos have a score. model_choice.py asks the model itself.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from realqa_cli import __version__
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.standing import DECIDED
from realqa_cli.errors import ItemError, RecordError
from realqa_cli.inference.inputs import FinishedByContent
from realqa_cli.inference.ray import RecordSource
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.pair_record import PairRecord, pair_error_line
from realqa_cli.io.pairs import PhotoPair
from realqa_cli.io.score_store import ScoreStore
from realqa_cli.io.sources import Item

PairDone = Callable[[PhotoPair, str | None, str | None], bool]
"""`done(pair, content of A, content of B)`: whether the output has this pair already."""


@dataclass(frozen=True)
class ScoredPhoto:
    """A photo's score with its distribution, or the error of its record; content: the id of its bytes."""

    name: str
    content: str | None = None
    score: float | None = None
    std: float | None = None
    distribution: ScoreDistribution | None = None
    error: ItemError | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "ScoredPhoto":
        """From a score record. Never raises for the photo."""
        name, content = str(record.get("image") or record.get("video")), record.get("content")
        if record.get("distribution") is None:
            remedy = "use --method direct, cot or levels"
            error = RecordError("its score has no distribution", type="record", where=name, remedy=remedy)
            return cls(name, content, error=error)
        try:
            found = ScoreDistribution.from_pairs(record["distribution"])
        except (TypeError, ValueError) as flaw:
            return cls(name, content, error=RecordError(f"its record: {flaw}", type="record", where=name))
        return cls(name, content, record["score"], record["std"], found)


def compare_manifest(scoring: Manifest) -> Manifest:
    """The manifest of comparisons by the scores of a run."""
    settings = {"by": "distribution", "decided": DECIDED, "scores": dict(scoring.settings)}
    return Manifest("compare", settings, {**scoring.environment, "realqa": __version__})


def single_items(pairs: Sequence[PhotoPair]) -> list[Item]:
    """Each photo of the pairs once, in the order of its first pair."""
    found: dict[str, Item] = {}
    for pair in pairs:
        for item in (pair.a, pair.b):
            found.setdefault(_identity(item), item)
    return [replace(item, index=index) for index, item in enumerate(found.values())]


class ScoreComparer:
    """Compares pairs by the scores of their photos; a photo in many pairs is scored once.

    store: keeps the scores.  run: the id of the manifest of the comparisons.
    """

    def __init__(self, pairs: Sequence[PhotoPair], store: ScoreStore[ScoredPhoto], run: str) -> None:
        self._waiting, self._store, self._run = deque(pairs), store, run
        self._items = single_items(pairs)
        self._identities = {item.name: _identity(item) for item in self._items}
        self._known: dict[str, ScoredPhoto] = {}
        self._noted = self._noted_failures = 0

    def records(self, source: RecordSource, done: PairDone = lambda pair, a, b: False) -> Iterator[dict[str, Any]]:
        """Yields one JSON-ready record for each pair that is not done, in order."""
        for record in source.records(self._items, done=FinishedByContent(self._store.done)):
            self._store.take(record)
            self._note_scores()
            yield from self._ready(done)
        self._note_scores()  # those of an earlier run
        yield from self._ready(done)

    def _note_scores(self) -> None:
        for scored in self._store.scored[self._noted :]:
            self._known[self._identities[scored.name]] = scored
        for record, error in self._store.failed[self._noted_failures :]:
            name = str(record.get("image") or record.get("video"))
            self._known[self._identities[name]] = ScoredPhoto(name, record.get("content"), error=error)
        self._noted, self._noted_failures = len(self._store.scored), len(self._store.failed)

    def _ready(self, done: PairDone) -> Iterator[dict[str, Any]]:
        """The records of the first pairs whose photos are both known."""
        while self._waiting:
            pair = self._waiting[0]
            a, b = (self._known.get(_identity(item)) for item in (pair.a, pair.b))
            if a is None or b is None:
                return
            self._waiting.popleft()
            if not done(pair, a.content, b.content):
                yield self._record(pair, a, b)

    def _record(self, pair: PhotoPair, a: ScoredPhoto, b: ScoredPhoto) -> dict[str, Any]:
        error = a.error or b.error
        if error is not None or a.distribution is None or b.distribution is None:
            return pair_error_line(pair, error or ItemError("has no distribution"), "distribution")
        scores = {"score_a": a.score, "score_b": b.score, "std_a": a.std, "std_b": b.std}
        contents = {"content_a": a.content, "content_b": b.content}
        p_a_better = a.distribution.prob_greater(b.distribution)
        return PairRecord.of_pair(pair, p_a_better, by="distribution", **scores, run=self._run, **contents).to_line()


def _identity(item: Item) -> str:
    """What makes two items the same photo: the file, whatever path leads to it."""
    return item.name if item.path is None else os.path.realpath(item.path)
