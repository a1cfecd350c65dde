"""Monotone curves from scores to labels: isotonic regression, and a logistic curve between two bounds.

Knows arrays; scikit-learn does the fitting.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = NDArray[np.float64]
Finite = Annotated[float, Field(allow_inf_nan=False)]

_WEAK = 1e4  # inverse strength of the regularization of the logistic curve: next to none


class IsotonicCurve(BaseModel):
    """Piecewise linear through the points (scores, labels), constant outside of them."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["isotonic"] = "isotonic"
    scores: tuple[Finite, ...]
    labels: tuple[Finite, ...]

    @model_validator(mode="after")
    def _check(self) -> "IsotonicCurve":
        if len(self.scores) != len(self.labels) or not self.scores or (np.diff(self.scores) < 0).any():
            raise ValueError("the points of the curve do not ascend")
        return self

    def __call__(self, scores: Floats) -> Floats:
        """The labels expected for some scores."""
        return np.asarray(np.interp(scores, self.scores, self.labels))


class LogisticCurve(BaseModel):
    """low + (high - low) / (1 + exp(-(slope · score + intercept)))."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["logistic"] = "logistic"
    slope: Finite
    intercept: Finite
    low: Finite
    high: Finite

    def __call__(self, scores: Floats) -> Floats:
        """The labels expected for some scores."""
        return np.asarray(
            self.low + (self.high - self.low) * 0.5 * (1 + np.tanh((self.slope * scores + self.intercept) / 2))
        )


Curve = IsotonicCurve | LogisticCurve
Fit = Callable[[Floats, Floats, tuple[float, float]], Curve]


def fit_isotonic(scores_N: Floats, labels_N: Floats, bounds: tuple[float, float]) -> IsotonicCurve:
    """The non-decreasing curve with the least squared error, within the bounds."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=bounds[0], y_max=bounds[1], out_of_bounds="clip").fit(scores_N, labels_N)
    return IsotonicCurve(scores=tuple(model.X_thresholds_.tolist()), labels=tuple(model.y_thresholds_.tolist()))


def fit_logistic_curve(scores_N: Floats, labels_N: Floats, bounds: tuple[float, float]) -> LogisticCurve:
    """The logistic curve with the least cross-entropy of the labels as shares of the bounds."""
    from sklearn.linear_model import LogisticRegression

    low, high = bounds
    share_N = np.clip((labels_N - low) / (high - low), 0, 1)
    center, spread = float(scores_N.mean()), float(scores_N.std()) or 1.0
    x_2N = np.concatenate([scores_N, scores_N])[:, None]
    is_high_2N = np.repeat([1, 0], len(scores_N))
    weights_2N = np.concatenate([share_N, 1 - share_N])
    used = weights_2N > 0
    model = LogisticRegression(C=_WEAK, tol=1e-8, max_iter=1000)
    model.fit((x_2N[used] - center) / spread, is_high_2N[used], sample_weight=weights_2N[used])
    slope = float(model.coef_[0, 0]) / spread
    return LogisticCurve(slope=slope, intercept=float(model.intercept_[0]) - slope * center, low=low, high=high)


FITS: dict[str, Fit] = {"logistic": fit_logistic_curve, "isotonic": fit_isotonic}
"""The fits by name. Of equally good ones the first is chosen."""
