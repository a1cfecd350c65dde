"""The step `realqa sort-probe`: can a model sort decimals? Paper Sec. 4.5, App. A and Tab. 3.

A model that cannot sort scores can hardly predict them. Each trial gives it random decimals, as text alone, and
requests them from low to high. The metrics are averaged over the trials: accuracy (share of positions that are
right), recall (share of the given numbers that the answer holds) and hallucination (share of the answer's numbers
that were not given). Recall and hallucination are reported by membership, as the paper's words define them, and by
multiset, where a number that comes twice is two.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from realqa_cli import __version__
from realqa_cli.backends.base import Prompt
from realqa_cli.domain.parsing import read_list
from realqa_cli.domain.prompts import sort_question
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.io.manifest import Manifest
from realqa_cli.steps.sort_probe.text_models import TextModel

LOW, HIGH = 1, 10


@dataclass(frozen=True)
class ProbeSettings:
    """numbers: in one trial.  decimals: the largest number of digits after the point, 0 to 3."""

    trials: int = 200
    numbers: int = 10
    decimals: int = 3
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for a value out of range."""
        for name, low, high in (("trials", 1, 10**6), ("numbers", 2, 1000), ("decimals", 0, 3)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"must be from {low} to {high}", where=f"--{name}")

    @property
    def max_new_tokens(self) -> int:
        """Enough for the list, digit by digit, twice, and for some prose."""
        return 128 + 16 * self.numbers


@dataclass(frozen=True)
class TrialScore:
    """The metrics of one trial, 0 to 1."""

    accuracy: float
    recall: float
    hallucination: float
    recall_multiset: float
    hallucination_multiset: float

    @classmethod
    def of(cls, answered: Sequence[float] | None, given: Sequence[float]) -> Self:
        """The metrics of an answer's numbers; for None, an answer without a list, all are 0."""
        if not answered:
            return cls(0.0, 0.0, 0.0, 0.0, 0.0)
        right = sum(a == b for a, b in zip(answered, sorted(given), strict=False))
        held = sum(number in set(answered) for number in given)
        invented = sum(number not in set(given) for number in answered)
        common = (Counter(answered) & Counter(given)).total()
        return cls(
            accuracy=right / len(given),
            recall=held / len(given),
            hallucination=invented / len(answered),
            recall_multiset=common / len(given),
            hallucination_multiset=1 - common / len(answered),
        )


METRICS = tuple(field.name for field in fields(TrialScore))


def trial_numbers(settings: ProbeSettings) -> Iterator[tuple[str, ...]]:
    """The numbers of each trial as texts. Those of a trial do not depend on the number of trials.

    The number of decimals is drawn first, from 0 to `settings.decimals`, then the number, uniformly from 1 to 10.
    It is written as Python prints it ("3.0", "8.88"), as in the paper's examples. Numbers can repeat.
    """
    draw = random.Random(settings.seed)
    for _ in range(settings.trials):
        yield tuple(_decimal(draw, settings.decimals) for _ in range(settings.numbers))


def _decimal(draw: random.Random, most: int) -> str:
    unit = 10 ** draw.randint(0, most)
    return str(draw.randint(LOW * unit, HIGH * unit) / unit)


class Probe:
    """The probe of one model.  kept: transcripts of an earlier run by trial, which are not sent again."""

    def __init__(self, model: TextModel, settings: ProbeSettings) -> None:
        """Sends nothing yet. Raises UsageError."""
        settings.check()
        self.model, self.settings = model, settings
        self.manifest = probe_manifest(model, settings)
        self.kept: dict[int, Mapping[str, Any]] = {}
        self.unparsed_example: str | None = None

    def resume(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Takes over the transcripts of this probe from an earlier run; failed trials are tried again."""
        ours = (line for line in lines if line.get("run") == self.manifest.run and line.get("error") is None)
        self.kept = {line["trial"]: line for line in ours}

    def transcripts(self) -> Iterator[dict[str, Any]]:
        """A record for each trial, in order: its numbers, prompt, answer, the list that was read, and its metrics."""
        trials = list(enumerate(trial_numbers(self.settings)))
        batch = (Prompt(sort_question(given)) for trial, given in trials if trial not in self.kept)
        answers = self.model.outcomes(batch, self.settings.max_new_tokens)
        for trial, given in trials:
            kept = self.kept.get(trial)
            yield dict(kept) if kept is not None else self._record(trial, given, next(answers))

    def _record(self, trial: int, given: Sequence[str], outcome: str | ItemError) -> dict[str, Any]:
        start = {"model": self.model.name, "trial": trial, "prompt": sort_question(given)}
        if isinstance(outcome, ItemError):
            return {**start, "error": outcome.as_field(), "run": self.manifest.run}
        numbers = [float(number) for number in given]
        read = read_list(outcome, numbers)
        score = TrialScore.of(read, numbers)
        return {**start, "answer": outcome, "read": read, **vars(score), "run": self.manifest.run}

    def record(self, transcripts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The model's row of Tab. 3: means over the trials with an answer, and counts of all.

        An answer without a list counts, with all metrics 0, and is counted as unparsed; a trial without an answer
        does not count. `unparsed_example` is then the first answer without a list.
        """
        sums, counts = dict.fromkeys(METRICS, 0.0), Counter[str]()
        for one in transcripts:
            if one.get("error") is not None:
                counts["failed"] += 1
                continue
            counts["answered"] += 1
            if one["read"] is None:
                counts["unparsed"] += 1
                self.unparsed_example = self.unparsed_example or one["answer"]
            for name in METRICS:
                sums[name] += one[name]
        answered = counts["answered"]
        means = {name: total / answered if answered else None for name, total in sums.items()}
        counted = {"trials": self.settings.trials, "unparsed": counts["unparsed"], "failed": counts["failed"]}
        return {"model": self.model.name, **means, **counted, "run": self.manifest.run}


def probe_manifest(model: TextModel, settings: ProbeSettings) -> Manifest:
    """The manifest behind the `run` of a probe."""
    drawn = {"numbers": settings.numbers, "decimals": settings.decimals, "seed": settings.seed, "drawing": 2}
    return Manifest(
        "sort-probe",
        {
            **model.settings,
            "prompt": sort_question(["..."]),
            **drawn,
            "max_new_tokens": settings.max_new_tokens,
        },
        {"model": model.name, **model.environment, "realqa": __version__},
    )
