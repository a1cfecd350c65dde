"""How probable it is that one photo is better than another, from the distributions of their scores.

For two photos, P(A > B) = sum over a of p_A(a) (F_B(below a) + p_B(a) / 2), with half of a tie for each. A photo's
win rate is the mean of its P(A > B) over all other photos, the row mean of the table of all pairs. It needs no
table: P is linear in B's distribution, so the mixture of all distributions takes the place of B, and all win rates
cost as much as reading the distributions once.

A Bradley-Terry model fitted to the same table orders photos by the row sums too (they are its sufficient
statistics, and every pair is compared equally often), so a fit would give the same order.
"""

from collections.abc import Sequence

import numpy as np

from realqa_cli.steps.rank.candidates import UNKNOWN, Candidate, Floats

MOST_VALUES = 2048
"""Values on the common axis. Distributions over the same numerals need 401 or fewer; those that share no values,
such as normal ones, are rounded to so many equal steps."""

SHARPNESS_WEIGHT = 4.0
"""Log odds that a photo of a group is better, for each e-fold of detail that it has more than the other one."""

_LEAST = 1e-6  # no probability is closer to 0 or 1 before its log odds are taken
_BLOCK = 512  # photos that are compared at once with all of their group


class Comparisons:
    """Comparisons of some candidates, which are named by their index."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        axis = _Axis(candidates)
        self._probabilities = np.stack([axis.place(each) for each in candidates])
        self._known = np.array([each.source != UNKNOWN for each in candidates])
        # A photo without measurements has no log detail: differences with it are NaN, and count as no evidence.
        self._log_detail = np.array([np.log(max(each.detail, 1e-12)) if each.detail else np.nan for each in candidates])

    def win_rates(self) -> Floats:
        """Of each photo: the mean probability of being better than another one, 0 to 1; 0.5 for a single photo."""
        count = len(self._probabilities)
        if count == 1:
            return np.full(1, 0.5)
        shares = self._probabilities @ _below(self._probabilities.mean(axis=0, keepdims=True))[0]
        rates: Floats = (count * shares - 0.5) / (count - 1)  # without the comparison of a photo with itself
        return rates

    def better(self, first: int, second: int) -> float | None:
        """P(first > second) by the model alone; None where it does not report how certain it is of one of them."""
        if not (self._known[first] and self._known[second]):
            return None
        return float(self._model([first], [second])[0, 0])

    def better_in_group(self, first: int, second: int) -> float | None:
        """P(first > second) by the model and by sharpness; None where neither says anything."""
        if np.isnan(self._log_detail[[first, second]]).any():
            return self.better(first, second)
        return float(self._with_sharpness([first], [second])[0, 0])

    def rates_in_group(self, members: Sequence[int]) -> Floats:
        """As `win_rates`, among the members of a group, by `better_in_group`."""
        members = list(members)  # numpy reads a tuple as one index for each axis
        if len(members) == 1:
            return np.full(1, 0.5)
        blocks = [members[start : start + _BLOCK] for start in range(0, len(members), _BLOCK)]
        sums = [self._with_sharpness(block, members).sum(axis=1) for block in blocks]
        rates: Floats = (np.concatenate(sums) - 0.5) / (len(members) - 1)
        return rates

    def _model(self, rows: Sequence[int], columns: Sequence[int]) -> Floats:
        table: Floats = self._probabilities[rows] @ _below(self._probabilities[columns]).T
        known = self._known[rows][:, None] & self._known[columns][None, :]
        return np.where(known, np.clip(table, 0.0, 1.0), 0.5)

    def _with_sharpness(self, rows: Sequence[int], columns: Sequence[int]) -> Floats:
        table = np.clip(self._model(rows, columns), _LEAST, 1 - _LEAST)
        detail = self._log_detail[rows][:, None] - self._log_detail[columns][None, :]
        log_odds = np.log(table / (1 - table)) + SHARPNESS_WEIGHT * np.nan_to_num(detail)
        return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -500, 500))), dtype=np.float64)


class _Axis:
    """The common axis of all distributions."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        values = np.unique(np.concatenate([each.values for each in candidates]))
        self._rounded = len(values) > MOST_VALUES
        self._values = np.linspace(values[0], values[-1], MOST_VALUES) if self._rounded else values

    def place(self, candidate: Candidate) -> Floats:
        """The probabilities of a candidate on the axis."""
        if self._rounded:
            step = self._values[1] - self._values[0]
            index = np.rint((candidate.values - self._values[0]) / step).astype(int)
        else:
            index = np.searchsorted(self._values, candidate.values)
        placed = np.bincount(index, weights=candidate.probabilities, minlength=len(self._values))
        return placed.astype(np.float64)


def _below(probabilities: Floats) -> Floats:
    """For each value, the probability of a smaller one and half of its own; a row for each distribution."""
    below: Floats = np.cumsum(probabilities, axis=1) - probabilities / 2
    return below
