"""Partial least squares: the model is scikit-learn's for every number of components, and the one that theory defines."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression

from realqa_cli.steps.composite.pls import Fitted, fit_pls

Floats = NDArray[np.float64]

ROWS, COLUMNS = 90, 6


def _independent(random: np.random.Generator) -> Floats:
    return random.normal(size=(ROWS, COLUMNS)) * (1, 10, 0.1, 3, 1, 1) + 5


def _nearly_collinear(random: np.random.Generator) -> Floats:
    return random.normal(size=(ROWS, 1)) + 0.05 * random.normal(size=(ROWS, COLUMNS))


def _collinear(random: np.random.Generator) -> Floats:
    x_NP = random.normal(size=(ROWS, COLUMNS))
    x_NP[:, 4] = 2 * x_NP[:, 0] - 1
    x_NP[:, 5] = x_NP[:, 1] + x_NP[:, 2]
    return x_NP


def _with_constants(random: np.random.Generator) -> Floats:
    x_NP = random.normal(size=(ROWS, COLUMNS))
    x_NP[:, 1], x_NP[:, 4] = 3.0, 0.0
    return x_NP


def _of_classes(random: np.random.Generator) -> Floats:
    return random.integers(1, 4, size=(ROWS, COLUMNS)).astype(np.float64)


KINDS = {
    "independent columns of different units": (_independent, 6),
    "nearly collinear columns": (_nearly_collinear, 6),
    "collinear columns": (_collinear, 4),
    "constant columns": (_with_constants, 4),
    "classes": (_of_classes, 6),
}
"""A maker of columns by its name, with the number of components that the columns allow."""
CASES = [(kind, components) for kind, (_, most) in KINDS.items() for components in range(1, most + 1)]


def sample(kind: str) -> tuple[Floats, Floats]:
    """(columns, target)."""
    random = np.random.default_rng(7)
    x_NP = KINDS[kind][0](random)
    y_N = x_NP @ np.array([0.5, 0.1, -1.0, 0.3, 0.2, 0.0]) + random.normal(size=ROWS)
    return x_NP, y_N


def fitted(x_NP: Floats, y_N: Floats, components: int) -> Fitted:
    return fit_pls(x_NP, y_N, range(len(y_N)), components=components, bootstrap=0)


@pytest.mark.parametrize(("kind", "components"), CASES)
def test_weights_and_intercept_are_those_of_scikit_learn(kind: str, components: int) -> None:
    x_NP, y_N = sample(kind)
    ours, theirs = fitted(x_NP, y_N, components), PLSRegression(n_components=components).fit(x_NP, y_N)
    np.testing.assert_allclose(ours.weights_P, np.ravel(theirs.coef_), rtol=1e-10, atol=1e-10)
    predicted_N = ours.intercept + x_NP @ ours.weights_P
    np.testing.assert_allclose(predicted_N, np.ravel(theirs.predict(x_NP)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("kind", "components"), CASES)
def test_the_model_is_least_squares_within_the_krylov_space_of_the_covariances(kind: str, components: int) -> None:
    """K components span s, Cs, ..., C^(K-1)s, where C is the columns' correlation and s their covariance with y."""
    x_NP, y_N = sample(kind)
    deviation_P = x_NP.std(axis=0, ddof=1)
    z_NP = (x_NP - x_NP.mean(axis=0)) / np.where(deviation_P > 0, deviation_P, 1)
    directions = [z_NP.T @ (y_N - y_N.mean())]
    for _ in range(components - 1):
        next_P = z_NP.T @ (z_NP @ directions[-1])
        for known_P in directions * 2:  # orthogonal to the earlier ones, twice for precision
            next_P = next_P - known_P * (known_P @ next_P) / (known_P @ known_P)
        directions.append(next_P / np.linalg.norm(next_P))
    within_NK = z_NP @ np.column_stack([one / np.linalg.norm(one) for one in directions])
    factors_K = np.linalg.lstsq(within_NK, y_N - y_N.mean(), rcond=None)[0]
    expected_N = y_N.mean() + within_NK @ factors_K
    ours = fitted(x_NP, y_N, components)
    np.testing.assert_allclose(ours.intercept + x_NP @ ours.weights_P, expected_N, rtol=1e-7, atol=1e-7)


def test_a_constant_column_has_the_weight_zero() -> None:
    x_NP, y_N = sample("constant columns")
    ours = fitted(x_NP, y_N, 3)
    assert ours.weights_P[[1, 4]].tolist() == [0, 0]
    assert ours.standardised_P[[1, 4]].tolist() == [0, 0]
    assert np.isfinite([ours.vip_P, ours.mean_P, ours.std_P]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_more_components_than_the_columns_allow_are_refused(kind: str) -> None:
    x_NP, y_N = sample(kind)
    most = KINDS[kind][1]
    with pytest.raises(ValueError, match=rf"the labels allow 1 to {most} components, not {most + 1}"):
        fitted(x_NP, y_N, most + 1)
