"""Agreement of comparisons with people: accuracy and log-loss of P(A > B), of records of `realqa compare`.

People's choice is `choice` (a, b or tie) or `share_a`, the share of people who prefer A, of which more than a half is
a choice of A. Pairs that people call equal count in the log-loss, with a share of 0.5, and not in the accuracy; a
P(A > B) of exactly 0.5 counts by half in the accuracy. Each row is one judgement, so a pair that several people judged
counts as often. No row is dropped: a row without a usable probability is unparsed, one without people's choice or with
an error is missing, unless another row has the result for the pair.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from realqa_cli.domain import metrics
from realqa_cli.domain.pairs import decision_margin, people_share
from realqa_cli.errors import RecordError, UsageError
from realqa_cli.io.pairs import PhotoPair
from realqa_cli.steps.evaluate.evaluate import EvalSettings, MetricLine, estimate_metric
from realqa_cli.steps.evaluate.predictions import Problem

PAIR_METRICS = ("pair_accuracy", "pair_accuracy_decided", "pair_log_loss")


@dataclass(frozen=True)
class JudgedPair:
    """A row's P(A > B) and the share of people who prefer A, as far as they are known; else the `problem`."""

    pair: PhotoPair
    p_a_better: float = float("nan")
    share_a: float = float("nan")
    problem: Problem = ""

    @property
    def is_tie(self) -> bool:
        """Whether people call both equal."""
        return self.share_a == 0.5


@dataclass(frozen=True)
class JudgedPairs:
    """The judgements of a file; repeated: rows of a pair that a later run replaced."""

    judged: tuple[JudgedPair, ...]
    repeated: int = 0

    def count(self, problem: Problem) -> int:
        """How many pairs have this problem."""
        return sum(each.problem == problem for each in self.judged)


def check_pair_metrics(settings: EvalSettings) -> None:
    """Raises UsageError for metrics and options that are not for pairs."""
    for name in settings.metric:
        if name not in (*PAIR_METRICS, "all"):
            remedy = f"use some of: {', '.join(PAIR_METRICS)}, all"
            raise UsageError(f"no metric {name!r} of pairs", where="--metric", remedy=remedy)
    if settings.fit != "none":
        raise UsageError("is for scores", where="--fit", remedy="leave out --fit or --pairs")
    if settings.bootstrap < 0:
        raise UsageError(f"must be 0 or more, not {settings.bootstrap}", where="--bootstrap")


def judge_pairs(pairs: Iterable[PhotoPair]) -> JudgedPairs:
    """All judgements with what is known about them; of a pair that several runs compared, those of the last run."""
    rows = [*pairs]
    last_run = {_key(row): row.fields.get("run") for row in rows if row.fields.get("error") is None}
    kept, repeated = [], 0
    for row in rows:
        failed, key = row.fields.get("error") is not None, _key(row)
        if key not in last_run or (not failed and row.fields.get("run") == last_run[key]):
            kept.append(judge_pair(row))
        else:
            repeated += not failed
    return JudgedPairs(tuple(kept), repeated)


def _key(pair: PhotoPair) -> tuple[str, str]:
    return pair.a.name, pair.b.name


def judge_pair(pair: PhotoPair) -> JudgedPair:
    """What a row says about its pair."""
    fields = pair.fields
    if fields.get("error") is not None:
        return JudgedPair(pair, problem="missing")
    if isinstance(pair.error, RecordError):
        return JudgedPair(pair, problem="unparsed")
    p_a_better = fields.get("p_a_better")
    if p_a_better is None:
        return JudgedPair(pair, problem="missing")
    if isinstance(p_a_better, bool) or not isinstance(p_a_better, int | float) or not 0 <= p_a_better <= 1:
        return JudgedPair(pair, problem="unparsed")
    try:
        share = people_share(fields)
    except ValueError:
        return JudgedPair(pair, problem="unparsed")
    if share is None:
        return JudgedPair(pair, problem="missing")
    return JudgedPair(pair, float(p_a_better), share)


def measure_pairs(judged: JudgedPairs, settings: EvalSettings) -> Iterator[MetricLine]:
    """Yield one record per metric."""
    usable = [each for each in judged.judged if not each.problem]
    counts: MetricLine = {"unparsed": judged.count("unparsed"), "missing": judged.count("missing")}
    counts["ties"] = sum(each.is_tie for each in usable)
    if judged.repeated:
        counts["repeated"] = judged.repeated
    names = dict.fromkeys(n for name in settings.metric for n in (PAIR_METRICS if name == "all" else (name,)))
    for name in names:
        metric, belongs = _MEASURED[name]
        pairs = [each for each in usable if belongs(each)]
        groups = None if settings.groups is None else [_group(each.pair, settings.groups) for each in pairs]
        given, truth = (np.array([getattr(each, key) for each in pairs]) for key in ("p_a_better", "share_a"))
        yield {"metric": name, **estimate_metric(metric, given, truth, settings, groups), "n": len(pairs), **counts}


def _group(pair: PhotoPair, field: str) -> str | int | float:
    value = pair.fields.get(field)
    if not isinstance(value, str | int | float):
        raise UsageError(f"no field {field!r} to group by", where=pair.where, remedy="check --groups")
    return value


def _is_decided(pair: JudgedPair) -> bool:
    return not pair.is_tie and decision_margin(pair.p_a_better) >= 0


_MEASURED: dict[str, tuple[metrics.Metric, Callable[[JudgedPair], bool]]] = {
    "pair_accuracy": (metrics.pair_accuracy, lambda pair: not pair.is_tie),
    "pair_accuracy_decided": (metrics.pair_accuracy, _is_decided),
    "pair_log_loss": (metrics.pair_log_loss, lambda pair: True),
}
"""The metrics, and the pairs that each of them is computed on."""
