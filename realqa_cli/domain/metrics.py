"""Agreement of scores with human opinion: SRCC, PLCC, KRCC, RMSE, accuracy, with bootstrap intervals.

Pure: every function takes two sequences of the same length; no record, no file. A metric without a value (fewer
than two pairs, a constant sequence, a number that is not finite) raises ValueError and is never a silent nan.
"""

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
Metric = Callable[[Any, Any], float]

NO_SPREAD = 1e-11
"""Relative spread under which a sequence counts as constant: below it, rounding decides a correlation."""


def srcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Spearman's rank correlation, ties by their mean rank (Spearman 1904): Pearson's r of the ranks."""
    a, b = _varied(predicted, truth)
    return _pearson(stats.rankdata(a), stats.rankdata(b))


def plcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Pearson's linear correlation, on the values as they are (see `fit_logistic` for VQEG's mapping)."""
    a, b = _varied(predicted, truth)
    return _pearson(a, b)


def _pearson(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()  # scipy's finds a p-value too: most of the time of a bootstrap
    return float(np.clip((a / np.linalg.norm(a)) @ (b / np.linalg.norm(b)), -1.0, 1.0))


def krcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Kendall's tau-b: concordant less discordant pairs, corrected for ties (Kendall 1945)."""
    a, b = _varied(predicted, truth)
    return float(stats.kendalltau(a, b, variant="b").statistic)


def rmse(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Root of the mean squared difference, in the unit of the scale that both sequences share."""
    a, b = _pairs(predicted, truth)
    return float(np.sqrt(np.mean((a - b) ** 2)))


def accuracy(predicted: Sequence[Hashable], truth: Sequence[Hashable]) -> float:
    """Share of equal pairs, 0 to 1; for classes of any type with equality."""
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} truths")
    if len(truth) == 0:
        raise ValueError("accuracy of no pairs has no value")
    return sum(a == b for a, b in zip(predicted, truth, strict=True)) / len(truth)


def within_one(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Share of pairs whose codes differ by one or less, 0 to 1; for ordered classes."""
    a, b = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} predictions for {len(b)} truths")
    if len(b) == 0:
        raise ValueError("agreement of no pairs has no value")
    return float(np.mean(np.abs(a - b) <= 1))


def pair_accuracy(p_a_better: ArrayLike, share_a: ArrayLike) -> float:
    """Share of pairs whose better photo, by P(A > B), is that of most people, 0 to 1; P(A > B) = 0.5 counts by half.

    Pairs that people call equal (a share of 0.5) have no better photo and must be left out.
    """
    p, share = np.asarray(p_a_better, dtype=np.float64), np.asarray(share_a, dtype=np.float64)
    if len(p) == 0:
        raise ValueError("accuracy of no pairs has no value")
    if (share == 0.5).any():
        raise ValueError("pairs that people call equal have no better photo")
    return float(np.mean((1 + np.sign(p - 0.5) * np.sign(share - 0.5)) / 2))


LEAST_PAIR_PROBABILITY = 1e-6
"""Bound of P(A > B) and P(B > A) in `pair_log_loss`, so that one certain error does not make it infinite."""


def pair_log_loss(p_a_better: ArrayLike, share_a: ArrayLike) -> float:
    """Mean cross-entropy of P(A > B) with the share of people who prefer A, in nats; ln 2 = 0.693 for a coin."""
    p, share = np.asarray(p_a_better, dtype=np.float64), np.asarray(share_a, dtype=np.float64)
    if len(p) == 0:
        raise ValueError("log-loss of no pairs has no value")
    p = np.clip(p, LEAST_PAIR_PROBABILITY, 1 - LEAST_PAIR_PROBABILITY)
    return float(-np.mean(share * np.log(p) + (1 - share) * np.log(1 - p)))


METRICS: dict[str, Metric] = {"srcc": srcc, "plcc": plcc, "krcc": krcc, "rmse": rmse, "accuracy": accuracy}


@dataclass(frozen=True)
class MetricEstimate:
    """A value on all pairs, and the percentile interval of its bootstrap distribution.

    `n` counts pairs; `resamples` those in which the metric had a value. For a difference, `p` is the
    two-sided bootstrap p-value of "no difference", else None.
    """

    value: float
    low: float
    high: float
    n: int
    resamples: int
    p: float | None = None


def bootstrap(
    metric: Metric,
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> MetricEstimate:
    """`metric` with its percentile bootstrap interval (Efron 1979); the same seed gives the same interval.

    With `groups` (a label for each pair, the source video of a frame for example) whole groups are drawn,
    because pairs of one group are not independent. A resample in which the metric has no value, a constant
    one say, is left out; where that happens to more than half of them, ValueError.
    """
    a, b = np.asarray(predicted), np.asarray(truth)
    value = metric(a, b)
    drawn = _resample(lambda i: metric(a[i], b[i]), len(b), resamples, seed, groups)
    return _estimate(value, drawn, level, len(b))


def bootstrap_difference(
    metric: Metric,
    ours: ArrayLike,
    theirs: ArrayLike,
    truth: ArrayLike,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> MetricEstimate:
    """`metric(ours) - metric(theirs)`, both against `truth` on the same resampled pairs.

    Pairing removes the spread that both share, so the interval is narrower than two apart would suggest.
    `p` counts the resamples on the far side of zero, twice, with one added to each count so that it is
    never 0 (Davison and Hinkley 1997, Eq. 4.11).
    """
    a, b, t = np.asarray(ours), np.asarray(theirs), np.asarray(truth)
    value = metric(a, t) - metric(b, t)
    drawn = _resample(lambda i: metric(a[i], t[i]) - metric(b[i], t[i]), len(t), resamples, seed, groups)
    beyond = min(np.sum(drawn <= 0), np.sum(drawn >= 0))
    p = min(1.0, 2 * (float(beyond) + 1) / (len(drawn) + 1))
    return _estimate(value, drawn, level, len(t), p)


def fit_logistic(predicted: ArrayLike, truth: ArrayLike, *, parameters: int = 5) -> Callable[[ArrayLike], Floats]:
    """The least-squares logistic map from predictions to MOS, to be applied before PLCC and RMSE.

    4 parameters: the monotone logistic of VQEG's FR-TV Phase II report (2003),
    `b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))`. 5 parameters: the same step with a linear term (Sheikh,
    Sabir and Bovik 2006, Eq. 14-15), `b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5`; it need not be
    monotone. A fit that does not converge is a ValueError.
    """
    if parameters not in (4, 5):
        raise ValueError(f"the logistic fit has 4 or 5 parameters, not {parameters}")
    x, y = _varied(predicted, truth)
    if len(x) <= parameters:
        raise ValueError(f"a fit of {parameters} parameters needs more than {parameters} pairs, not {len(x)}")
    centre, spread = x.mean(), x.std()  # fitted on standardised predictions: one start serves every scale
    sign = 1.0 if stats.spearmanr(x, y).statistic >= 0 else -1.0
    if parameters == 4:
        curve: Callable[..., Floats] = _logistic4
        low, high = y.min(), y.max()
        start = [high, low, 0.0, 1.0] if sign > 0 else [low, high, 0.0, 1.0]
    else:
        curve, start = _logistic5, [float(np.ptp(y)), sign, 0.0, 0.0, float(y.mean())]
    try:
        with warnings.catch_warnings():  # of a covariance that cannot be estimated and is not used
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            best, _ = optimize.curve_fit(curve, (x - centre) / spread, y, p0=start, maxfev=20_000)
    except RuntimeError as error:
        raise ValueError(f"the logistic fit of {len(x)} pairs does not converge") from error
    return lambda values: curve((np.asarray(values, dtype=np.float64) - centre) / spread, *best)


def _logistic4(x: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    return b2 + (b1 - b2) * _sigmoid((x - b3) / max(abs(b4), 1e-9))


def _logistic5(x: Floats, b1: float, b2: float, b3: float, b4: float, b5: float) -> Floats:
    return b1 * (_sigmoid(b2 * (x - b3)) - 0.5) + b4 * x + b5


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))  # by tanh: never overflows


def _pairs(predicted: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError("predictions and truth are two flat sequences")
    if len(a) != len(b):
        raise ValueError(f"{len(a)} predictions for {len(b)} truths")
    if len(a) < 2:
        raise ValueError(f"agreement needs two pairs or more, not {len(a)}")
    for name, values in (("predictions", a), ("truth", b)):
        if not np.isfinite(values).all():
            raise ValueError(f"the {name} hold {int((~np.isfinite(values)).sum())} values that are not finite")
    return a, b


def _varied(predicted: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _pairs(predicted, truth)
    for name, values in (("predictions are", a), ("truth is", b)):
        if np.linalg.norm(values - values.mean()) <= NO_SPREAD * abs(values.mean()):
            raise ValueError(f"the {name} constant, and agreement with a constant has no value")
    return a, b


def _resample(
    value_of: Callable[[NDArray[np.intp]], float],
    n: int,
    resamples: int,
    seed: int,
    groups: Sequence[Hashable] | None,
) -> Floats:
    """`value_of(indices)` on `resamples` draws with replacement, of pairs or of whole groups."""
    if resamples < 1:
        raise ValueError(f"a bootstrap needs one resample or more, not {resamples}")
    members = _members(n, groups)
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        drawn = generator.integers(len(members), size=len(members))
        indices = drawn if groups is None else np.concatenate([members[i] for i in drawn])
        try:
            values.append(value_of(indices))
        except ValueError:  # constant by chance: counted below
            continue
    if 2 * len(values) < resamples:
        raise ValueError(f"too few or too equal pairs for a bootstrap ({n} pairs, {len(members)} drawn at a time)")
    return np.asarray(values)


def _members(n: int, groups: Sequence[Hashable] | None) -> Sequence[NDArray[np.intp]]:
    if groups is None:
        return [np.asarray([i]) for i in range(n)]
    if len(groups) != n:
        raise ValueError(f"{len(groups)} group labels for {n} pairs")
    found: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        found.setdefault(group, []).append(i)
    return [np.asarray(indices) for indices in found.values()]


def _estimate(value: float, drawn: Floats, level: float, n: int, p: float | None = None) -> MetricEstimate:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return MetricEstimate(float(value), float(low), float(high), n, len(drawn), p)
