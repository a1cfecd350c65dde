"""The step `realqa eval`: reads predictions and yields one record per metric, with interval and counts.

SRCC and PLCC are the paper's metrics (Sec. 4.1); intervals are percentiles of a bootstrap over images. A
metric without a value is a record too, with `value` null and a `reason`. RMSE is in the unit of the MOS: a
score is mapped affinely from its `scale` to `mos_range`; it is used unchanged if a record lacks one of them.

Rows come from `io.labels`; `attribute_table` measures attributes (Tab. 1).
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realqa_cli.domain import metrics
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.io.labels import LabelIndex, LabelRow
from realqa_cli.steps.evaluate.predictions import PredictionRow, PredictionSet

SCORE_METRICS = ("srcc", "plcc", "krcc", "rmse")
ATTRIBUTE_METRICS = ("srcc", "plcc", "krcc", "accuracy")
FITS = ("none", "logistic")
FIT_PARAMETERS = 4
"""Parameters of the logistic fit. The function is monotone, so it cannot correct a wrong order."""

Floats = NDArray[np.float64]
MetricLine = dict[str, Any]


@dataclass(frozen=True)
class EvalSettings:
    """What is measured.

    metric: names, or "all".  bootstrap: resamples of the intervals, 0 for none.  fit: before PLCC and RMSE.
    groups: field whose equal values are drawn together, a source video for example.
    """

    metric: Sequence[str] = ("all",)
    attributes: bool = False
    bootstrap: int = 1000
    fit: str = "none"
    groups: str | None = None
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for unknown metrics and for contradictory settings."""
        known = ATTRIBUTE_METRICS if self.attributes else SCORE_METRICS
        for name in self.metric:
            if name not in (*known, "all"):
                remedy = f"use some of: {', '.join(known)}, all"
                if name == "accuracy":
                    remedy = "add --attributes: scores have no classes"
                raise UsageError(f"no metric {name!r} here", where="--metric", remedy=remedy)
        if self.fit not in FITS:
            raise UsageError(f"unknown value {self.fit!r}", where="--fit", remedy="use none or logistic")
        if self.attributes and self.fit != "none":
            raise UsageError("is for scores", where="--fit", remedy="leave out --fit or --attributes")
        if self.bootstrap < 0:
            raise UsageError(f"must be 0 or more, not {self.bootstrap}", where="--bootstrap")

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics to report, each once."""
        every = ("srcc", "plcc", "accuracy") if self.attributes else SCORE_METRICS
        return tuple(dict.fromkeys(n for name in self.metric for n in (every if name == "all" else [name])))


def evaluate(sample: PredictionSet, settings: EvalSettings) -> Iterator[MetricLine]:
    """Yield one record per metric."""
    pairs = sample.pairs
    mos, groups = truth(pairs), group_labels([pair.row for pair in pairs], settings.groups)
    for name in settings.names:
        metric, given, how = _metric(name, pairs, settings)
        counts: MetricLine = {
            "n": len(pairs),
            "unparsed": sample.count("unparsed"),
            "missing": sample.count("missing"),
        }
        if sample.repeated:
            counts["repeated"] = sample.repeated
        yield {"metric": name, **estimate_metric(metric, given, mos, settings, groups), **counts, **how}


def compare_predictions(
    ours: PredictionSet, theirs: PredictionSet, name: str, settings: EvalSettings
) -> Iterator[MetricLine]:
    """Yield one record per metric with its difference, ours - theirs, on the images that both files have.

    `value` is the difference and `ci95` its interval, `ours` and `theirs` are the two values, and `p` is the
    two-sided p-value of a paired bootstrap. `name` is the name of the other file.
    """
    couples, unparsed, missing = _couples(ours, theirs, name)
    left, right = [a for a, _ in couples], [b for _, b in couples]
    mos, groups = truth(left), group_labels([a.row for a in left], settings.groups)
    counts = {"n": len(couples), "unparsed": unparsed, "missing": missing, "compared_with": name}
    for metric_name in settings.names:
        metric, a, how = _metric(metric_name, left, settings)
        _, b, _ = _metric(metric_name, right, settings)
        line: MetricLine = {"value": None, "ci95": None, "ours": None, "theirs": None, "p": None}
        try:
            line |= {"ours": metric(a, mos), "theirs": metric(b, mos)}
            line["value"] = line["ours"] - line["theirs"]
            if settings.bootstrap:
                found = metrics.bootstrap_difference(
                    metric, a, b, mos, resamples=settings.bootstrap, seed=settings.seed, groups=groups
                )
                line |= {"ci95": [found.low, found.high], "p": found.p}
        except ValueError as error:
            line["reason"] = str(error)
        yield {"metric": metric_name, **line, **counts, **how}


def estimate_metric(
    metric: metrics.Metric,
    given: ArrayLike,
    truth: ArrayLike,
    settings: EvalSettings,
    groups: Sequence[Hashable] | None = None,
) -> MetricLine:
    """`value` and `ci95` of a metric; both are None, with a `reason`, if the metric is undefined."""
    line: MetricLine = {"value": None, "ci95": None}
    try:
        line["value"] = metric(given, truth)
        if settings.bootstrap:
            found = metrics.bootstrap(
                metric, given, truth, resamples=settings.bootstrap, seed=settings.seed, groups=groups
            )
            line["ci95"] = [found.low, found.high]
    except ValueError as error:
        line["reason"] = str(error)
    return line


def truth(pairs: Sequence[PredictionRow]) -> Floats:
    """(N,) MOS."""
    return np.array([pair.mos for pair in pairs], dtype=np.float64)


def on_mos_range(pairs: Sequence[PredictionRow]) -> tuple[Floats, str]:
    """(N,) scores in the unit of the MOS, and a description of how they were mapped."""
    scores = np.array([pair.score for pair in pairs], dtype=np.float64)
    scale, mos_range = (pairs[0].scale, pairs[0].mos_range) if pairs else (None, None)
    if scale is None or mos_range is None or scale == mos_range:
        return scores, "score, not mapped"
    return mos_range.from_scale(scores, scale), f"score from {scale} to {mos_range}, affinely"


def group_labels(rows: Sequence[LabelRow], field: str | None) -> list[Hashable] | None:
    """The value of `field` in each row. Raises UsageError for a row without it."""
    if field is None:
        return None
    for row in rows:
        if not isinstance(row.record.get(field), str | int | float):
            raise UsageError(f"no field {field!r} to group by", where=row.where, remedy="check --groups")
    return [row.record[field] for row in rows]


def _metric(
    name: str, pairs: Sequence[PredictionRow], settings: EvalSettings
) -> tuple[metrics.Metric, Floats, MetricLine]:
    """The metric, the scores to pass to it, and further fields of its record."""
    scores, how = on_mos_range(pairs)
    metric: Callable[[Any, Any], float] = metrics.METRICS[name]
    if name in ("plcc", "rmse") and settings.fit == "logistic":
        return _fitted(metric), scores, {"fit": f"logistic, {FIT_PARAMETERS} parameters"}
    if name == "rmse":
        return metric, scores, {"unit": how}
    return metric, scores, {}


def _fitted(metric: metrics.Metric) -> metrics.Metric:
    """The metric after a logistic fit, which is repeated for every resample."""

    def fitted(given: ArrayLike, truth: ArrayLike) -> float:
        return metric(metrics.fit_logistic(given, truth, parameters=FIT_PARAMETERS)(given), truth)

    return fitted


def _couples(
    ours: PredictionSet, theirs: PredictionSet, name: str
) -> tuple[list[tuple[PredictionRow, PredictionRow]], int, int]:
    """Pairs of usable predictions of the same image; counts of images unparsed, and missing, in either file."""
    couples: list[tuple[PredictionRow, PredictionRow]] = []
    unparsed = missing = 0
    for a, b in _matched(ours, theirs, name):
        problems = {side.problem if side else "missing" for side in (a, b)}
        unparsed += "unparsed" in problems
        missing += "missing" in problems and "unparsed" not in problems
        if a and b and problems == {""}:
            if a.mos is not None and b.mos is not None and abs(a.mos - b.mos) > 1e-9:
                what = f"the MOS of {b.row.name} is {b.mos:g} here and {a.mos:g} in {a.row.where}"
                raise UsageError(what, where=b.row.where, remedy="compare predictions of the same data set")
            couples.append((a, b))
    return couples, unparsed, missing


def _matched(
    ours: PredictionSet, theirs: PredictionSet, name: str
) -> Iterator[tuple[PredictionRow | None, PredictionRow | None]]:
    """Every image of either file. Rows without image names, as in the release, are matched by position."""
    rows = [side.row for sample in (ours, theirs) for side in sample.predictions]
    if all(row.path is None for row in rows):
        if len(ours.predictions) != len(theirs.predictions):
            raise UsageError("the rows have no image names, and the files differ in their number of rows", where=name)
        yield from zip(ours.predictions, theirs.predictions, strict=True)
        return
    join = LabelIndex((side.row for side in theirs.predictions), name=name)
    others = {side.row.where: side for side in theirs.predictions}
    for a in ours.predictions:
        try:
            yield a, others.pop(join.find(a.row).where, None)
        except ItemError:
            yield a, others.pop(next((w for w, b in others.items() if b.row.path == a.row.path), ""), None)
    yield from ((None, b) for b in others.values())
