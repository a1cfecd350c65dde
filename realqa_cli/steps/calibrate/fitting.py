"""Fits a calibration: the curve, its conformal interval, and what both are worth on labels that were held out.

Split-conformal intervals (Papadopoulos et al. 2002; Lei et al. 2018): the curve is fitted on two thirds of the
photos, and the half-width of the interval is the quantile of its absolute errors on the others. Photos like the
labelled ones then have their label in the interval with at least the requested probability, whatever the curve
and the errors look like. Knows arrays.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain import metrics
from realqa_cli.steps.calibrate.curves import FITS, Curve, Floats

FOLDS = 10
"""Folds of the cross-validation."""
CURVE_SHARE = 2 / 3
"""Share of the photos on which the curve is fitted."""

_Rows = NDArray[np.intp]


@dataclass(frozen=True)
class FittedCurve:
    """half_width: of the interval, in points of the labels.  held_out: photos that it was found on."""

    curve: Curve
    half_width: float
    held_out: int


@dataclass(frozen=True)
class CurveValidation:
    """Held-out figures over `FOLDS` folds, each with the whole procedure.

    rmse: by fit.  coverage: share of held-out labels in their interval, by fit.  width: mean width of these
    intervals, by fit, in points of the labels.  srcc: of the scores with the labels; None if it is not defined.
    """

    rmse: dict[str, float]
    coverage: dict[str, float]
    width: dict[str, float]
    srcc: float | None


def least_photos(coverage: float) -> int:
    """The number of photos from which an interval of this coverage exists."""
    held_out = math.ceil(coverage / (1 - coverage) - 1e-9)
    return math.ceil(held_out / (1 - CURVE_SHARE))


def fit_curve(
    name: str,
    scores_N: Floats,
    labels_N: Floats,
    groups: Sequence[Hashable],
    bounds: tuple[float, float],
    *,
    coverage: float,
    seed: int,
) -> FittedCurve:
    """The curve of the fit `name` with its interval. groups: rows of one photo, which are not parted.

    Raises ValueError if there are too few photos for the coverage.
    """
    members = _members(groups)
    order = np.random.default_rng(seed).permutation(len(members))
    cut = round(CURVE_SHARE * len(members))
    train, rest = (np.concatenate([members[i] for i in part]) for part in (order[:cut], order[cut:]))
    curve = FITS[name](scores_N[train], labels_N[train], bounds)
    errors = np.sort(np.abs(labels_N[rest] - curve(scores_N[rest])))
    rank = math.ceil((len(errors) + 1) * coverage - 1e-9)
    if rank > len(errors):
        raise ValueError(f"too few photos for intervals of {coverage:.0%}: {len(members)}")
    return FittedCurve(curve, float(errors[rank - 1]), len(errors))


def validate_curves(
    names: Sequence[str],
    scores_N: Floats,
    labels_N: Floats,
    groups: Sequence[Hashable],
    bounds: tuple[float, float],
    *,
    coverage: float,
    seed: int,
) -> CurveValidation:
    """Cross-validates the fits. Raises ValueError as `fit_curve`."""
    members = _members(groups)
    folds = np.array_split(np.random.default_rng(seed).permutation(len(members)), FOLDS)
    errors = {name: np.empty(len(labels_N)) for name in names}
    inside = {name: np.empty(len(labels_N), dtype=bool) for name in names}
    widths = {name: np.empty(len(labels_N)) for name in names}
    for fold in folds:
        test = np.concatenate([members[i] for i in fold])
        train = np.setdiff1d(np.arange(len(labels_N)), test)
        kept = [groups[i] for i in train]
        for name in names:
            found = fit_curve(name, scores_N[train], labels_N[train], kept, bounds, coverage=coverage, seed=seed)
            expected = found.curve(scores_N[test])
            low, high = interval_of(expected, found.half_width, bounds)
            errors[name][test] = expected - labels_N[test]
            inside[name][test] = (low <= labels_N[test]) & (labels_N[test] <= high)
            widths[name][test] = high - low
    try:
        srcc = metrics.srcc(scores_N, labels_N)
    except ValueError:
        srcc = None
    return CurveValidation(
        rmse={name: float(np.sqrt(np.mean(each**2))) for name, each in errors.items()},
        coverage={name: float(each.mean()) for name, each in inside.items()},
        width={name: float(each.mean()) for name, each in widths.items()},
        srcc=srcc,
    )


def interval_of(expected: Floats, half_width: float, bounds: tuple[float, float]) -> tuple[Floats, Floats]:
    """(low, high) of the intervals, within the bounds of the labels."""
    low, high = np.clip(expected - half_width, *bounds), np.clip(expected + half_width, *bounds)
    return np.asarray(low), np.asarray(high)


def _members(groups: Sequence[Hashable]) -> list[_Rows]:
    """The rows of each group, in the order of their first row."""
    rows: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        rows.setdefault(group, []).append(index)
    return [np.array(found, dtype=np.intp) for found in rows.values()]
