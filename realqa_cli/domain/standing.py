"""Where a score is among others: percentiles, a reference distribution, a word, and the difference that decides.

Pure: no model, no file.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import NormalDist, median

from realqa_cli.domain.levels import word_of
from realqa_cli.domain.scales import Scale

DECIDED = 0.75
"""P(A > B) from which one of two photos is called better. On 6,670 pairs of LIVE In the Wild, people agreed with the
bundled model in 76 % of the pairs with a P(A > B) of 0.75 to 0.8, and in 86 % of all pairs from 0.75."""


class ScoreRanks:
    """The scores of a run, for their percentiles."""

    def __init__(self, scores: Iterable[float] = ()) -> None:
        self._scores = array("d", scores)
        self._sorted = False

    def add(self, score: float) -> None:
        """Take a score into account."""
        self._scores.append(score)
        self._sorted = False

    def __len__(self) -> int:
        return len(self._scores)

    def percentile(self, score: float) -> float:
        """The percentage of scores below this one, equal ones counted by half: 0 to 100. Needs one score or more."""
        if not self._sorted:
            self._scores = array("d", sorted(self._scores))
            self._sorted = True
        below, up_to = bisect_left(self._scores, score), bisect_right(self._scores, score)
        return 50 * (below + up_to) / len(self._scores)


class ReferenceScores:
    """A distribution of scores, given by its quantiles at equal distances from 0 to 100 %.

    photos: how many photos were scored.  source: which photos.
    """

    def __init__(self, quantiles: Sequence[float], *, photos: int, source: str) -> None:
        """Raises ValueError for quantiles that fall."""
        if len(quantiles) < 2 or any(a > b for a, b in pairwise(quantiles)):
            raise ValueError("quantiles do not fall, and there are two or more")
        self.quantiles, self.photos, self.source = tuple(quantiles), photos, source

    def percentile(self, score: float) -> float:
        """The percentage of the reference photos with a lower score, interpolated: 0 to 100."""
        low, high = bisect_left(self.quantiles, score), bisect_right(self.quantiles, score)
        last = len(self.quantiles) - 1
        if low != high:  # on one or several equal quantiles
            return 100 * (low + high - 1) / 2 / last
        if low == 0 or low > last:
            return 0.0 if low == 0 else 100.0
        before, after = self.quantiles[low - 1], self.quantiles[low]
        return 100 * (low - 1 + (score - before) / (after - before)) / last


def score_word(score: float, scale: Scale) -> str:
    """bad, poor, fair, good or excellent: the fifth of the scale that the score is in."""
    return word_of(score, scale)


def undecided_difference(deviations: Iterable[float]) -> float | None:
    """The difference of two scores below which neither photo is better with a probability of `DECIDED`.

    deviations: the standard deviations of the scores' distributions, in points of the scale. The difference is that
    of two normal distributions with their median. None without deviations.
    """
    known = [*deviations]
    if not known:
        return None
    return float(NormalDist().inv_cdf(DECIDED) * 2**0.5 * median(known))
