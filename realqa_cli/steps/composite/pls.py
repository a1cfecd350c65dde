"""Partial least squares of one target on a few collinear columns: weights, intervals, number of components.

The attributes of a photo are correlated (a cluttered photo is rarely well composed), which makes the weights of
ordinary least squares unstable. Partial least squares (paper Sec. 1) regresses on the few directions of the
columns with the largest covariance with the target. The module works on arrays; scikit-learn fits the models.
"""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain import metrics

Floats = NDArray[np.float64]

FOLDS = 10
"""Folds of the cross-validation, or the number of groups if that is smaller."""
RULE = "the fewest components whose held-out error exceeds the least by at most one standard error"
"""The standard error is that of the difference fold by fold, because folds differ in difficulty."""


@dataclass(frozen=True)
class Validation:
    """Results of the cross-validation.

    mse_K: mean squared error with 1 to K components.  se_K: the standard error of its difference from the
    smallest one.  r2, srcc: of all held-out predictions with the chosen number of components; srcc is None
    if all predictions are equal.
    """

    folds: int
    mse_K: Floats
    se_K: Floats
    r2: float
    srcc: float | None


@dataclass(frozen=True)
class Fitted:
    """A linear model of P columns: prediction = intercept + columns · weights_P.

    standardised_P: change of the prediction, in standard deviations of the target, per standard deviation of
    the column.  low_P, high_P: the 95 % interval of standardised_P over bootstrap samples of groups, NaN without
    a bootstrap.  vip_P: variable importance in projection; its mean square is 1.  mean_P, std_P: mean and
    standard deviation of the imputed columns.
    """

    components: int
    intercept: float
    weights_P: Floats
    standardised_P: Floats
    low_P: Floats
    high_P: Floats
    vip_P: Floats
    mean_P: Floats
    std_P: Floats
    validation: Validation


def fit_pls(
    x_NP: Floats,
    y_N: Floats,
    groups: Sequence[Hashable],
    *,
    components: int | None = None,
    bootstrap: int = 200,
    seed: int = 0,
) -> Fitted:
    """Fit the model; the number of components is chosen by cross-validation unless it is given.

    x_NP: finite values, or NaN for a missing value, which the mean of its column replaces. No column is constant.
    groups: rows of one group are in the same fold, for example several labels of one photo.
    Raises ValueError for more components than the columns allow.
    """
    members = _members(groups)
    validation, chosen = _validate(x_NP, y_N, members, components, seed)
    mean_P = np.nanmean(x_NP, axis=0)
    full_NP = _imputed(x_NP, mean_P)
    lines = _pls(full_NP, y_N, chosen)
    std_P = full_NP.std(axis=0, ddof=1)
    unit_P = std_P / y_N.std(ddof=1)
    drawn_BP = _bootstrap(x_NP, y_N, members, chosen, bootstrap, seed) * unit_P
    low_P, high_P = (
        np.quantile(drawn_BP, (0.025, 0.975), axis=0) if len(drawn_BP) else np.full((2, len(mean_P)), np.nan)
    )
    return Fitted(
        chosen,
        float(lines.intercepts_K[-1]),
        lines.weights_KP[-1],
        lines.weights_KP[-1] * unit_P,
        low_P,
        high_P,
        lines.vip_P,
        mean_P,
        std_P,
        validation,
    )


def _members(groups: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """The rows of each group."""
    rows: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        rows.setdefault(group, []).append(i)
    return [np.array(found, dtype=np.intp) for found in rows.values()]


def _validate(
    x_NP: Floats, y_N: Floats, members: list[NDArray[np.intp]], components: int | None, seed: int
) -> tuple[Validation, int]:
    """Cross-validate all numbers of components. Returns the results and the chosen number."""
    folds = np.array_split(np.random.default_rng(seed).permutation(len(members)), min(FOLDS, len(members)))
    tests = [np.concatenate([members[i] for i in fold]) for fold in folds]
    trains = [np.setdiff1d(np.arange(len(y_N)), test) for test in tests]
    most = min(_rank(x_NP[train]) for train in trains)
    if components is not None and not 1 <= components <= most:
        raise ValueError(f"the labels allow 1 to {most} components, not {components}")
    if most < 1:
        raise ValueError("a part of the labels has no column that varies")
    predicted_KN, means_N = np.empty((most, len(y_N))), np.empty(len(y_N))
    for train, test in zip(trains, tests, strict=True):
        mean_P = _means(x_NP[train])
        lines = _pls(_imputed(x_NP[train], mean_P), y_N[train], most)
        predicted_KN[:, test] = lines.weights_KP @ _imputed(x_NP[test], mean_P).T + lines.intercepts_K[:, None]
        means_N[test] = y_N[train].mean()
    squares_KN = (predicted_KN - y_N) ** 2
    mse_KF = np.array([[squares_N[test].mean() for test in tests] for squares_N in squares_KN])
    mse_K = mse_KF.mean(axis=1)
    best = int(mse_K.argmin())
    se_K = (mse_KF - mse_KF[best]).std(axis=1, ddof=1) / np.sqrt(len(folds))
    chosen = components or int(np.flatnonzero(mse_K - mse_K[best] <= se_K)[0]) + 1
    r2 = 1 - squares_KN[chosen - 1].sum() / ((means_N - y_N) ** 2).sum()
    try:
        srcc = metrics.srcc(predicted_KN[chosen - 1], y_N)
    except ValueError:
        srcc = None
    return Validation(len(folds), mse_K, se_K, float(r2), srcc), chosen


def _means(x_NP: Floats) -> Floats:
    """The mean of the present values of each column; 0 for a column without any, which becomes constant."""
    present_NP = ~np.isnan(x_NP)
    sums_P: Floats = np.where(present_NP, x_NP, 0.0).sum(axis=0)
    mean_P: Floats = sums_P / np.maximum(present_NP.sum(axis=0), 1)
    return mean_P


def _imputed(x_NP: Floats, mean_P: Floats) -> Floats:
    full_NP: Floats = np.where(np.isnan(x_NP), mean_P, x_NP)
    return full_NP


def _rank(x_NP: Floats) -> int:
    """The largest number of components that the columns allow: their rank."""
    full_NP = _imputed(x_NP, _means(x_NP))
    std_P = full_NP.std(axis=0)
    scaled_NP = (full_NP - full_NP.mean(axis=0)) / np.where(std_P > 0, std_P, 1)
    return int(np.linalg.matrix_rank(scaled_NP.T @ scaled_NP, hermitian=True, rtol=1e-10))


@dataclass(frozen=True)
class _Lines:
    """Models with 1 to K components: prediction = intercept + columns · weights. vip_P is for all K components."""

    weights_KP: Floats
    intercepts_K: Floats
    vip_P: Floats


def _pls(x_NP: Floats, y_N: Floats, components: int) -> _Lines:
    """Fit once for all numbers of components: adding a component does not change the earlier ones."""
    from sklearn.cross_decomposition import PLSRegression

    mean_P, std_P = x_NP.mean(axis=0), x_NP.std(axis=0, ddof=1)
    std_P[std_P == 0] = 1  # a column that is constant in this fold gets the weight 0
    with warnings.catch_warnings():  # a target without noise needs fewer components, which is fine
        warnings.filterwarnings("ignore", message="y residual is constant", category=UserWarning)
        model = PLSRegression(n_components=components, scale=False).fit((x_NP - mean_P) / std_P, y_N)
    steps_PK = model.x_rotations_ * model.y_loadings_
    weights_KP = np.cumsum(steps_PK, axis=1).T / std_P
    return _Lines(weights_KP, y_N.mean() - weights_KP @ mean_P, _vip(model))


def _bootstrap(
    x_NP: Floats, y_N: Floats, members: list[NDArray[np.intp]], components: int, draws: int, seed: int
) -> Floats:
    """(B, P) weights of models fitted to groups drawn with replacement, without the draws that allow no fit."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        rows = np.concatenate([members[i] for i in random.integers(len(members), size=len(members))])
        drawn_NP = _imputed(x_NP[rows], _means(x_NP[rows]))
        if np.ptp(y_N[rows]) > 0 and _rank(drawn_NP) >= components:
            found.append(_pls(drawn_NP, y_N[rows], components).weights_KP[-1])
    return np.array(found).reshape(-1, x_NP.shape[1])


def _vip(model: Any) -> Floats:
    """VIP_j = sqrt(P · Σ_a SS_a w_ja² / Σ_a SS_a), SS_a the target's variation that component a explains."""
    weights_PK = model.x_weights_ / np.maximum(np.linalg.norm(model.x_weights_, axis=0), 1e-300)
    explained_K = np.ravel(model.y_loadings_) ** 2 * (model.x_scores_**2).sum(axis=0)
    vip_P: Floats = np.sqrt(len(weights_PK) * (weights_PK**2 @ explained_K) / explained_K.sum())
    return vip_P
