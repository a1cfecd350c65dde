"""Stars: one to five, by shares of the ranked photos or by thresholds of the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import isfinite

from realqa_cli.errors import UsageError

MOST_STARS = 5
_OPTION = "--stars"
_REMEDY = (
    "give five shares in percent from one star to five, such as 10,20,40,20,10, or four scores, such as 2,3,3.5,4.2"
)


@dataclass(frozen=True)
class StarRule:
    """Exactly one of the two.

    shares: percent of the photos with one to five stars.  thresholds: the least score for two to five stars.
    """

    shares: tuple[float, ...] | None = None
    thresholds: tuple[float, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> "StarRule":
        """Reads `10,20,40,20,10` or `2,3,3.5,4.2`. Raises UsageError."""
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError as error:
            raise UsageError(f"{text!r} is not a list of numbers", where=_OPTION, remedy=_REMEDY) from error
        if len(numbers) == MOST_STARS and min(numbers) >= 0 and abs(sum(numbers) - 100) < 0.01:
            return cls(shares=numbers)
        ascending = all(isfinite(number) for number in numbers) and all(low < high for low, high in pairwise(numbers))
        if len(numbers) == MOST_STARS - 1 and ascending:
            return cls(thresholds=numbers)
        what = f"{text!r} is neither five shares that sum to 100 nor four ascending scores"
        raise UsageError(what, where=_OPTION, remedy=_REMEDY)

    def stars(self, scores: Sequence[float], ranks: Sequence[int]) -> list[int]:
        """Of each photo. ranks: from 1, the best, to the number of photos."""
        if self.thresholds is not None:
            return [1 + sum(score >= threshold for threshold in self.thresholds) for score in scores]
        assert self.shares is not None
        from_best = [round(share * len(ranks) / 100) for share in accumulate(reversed(self.shares))]
        return [MOST_STARS - sum(rank > last for last in from_best[:-1]) for rank in ranks]

    def as_json(self) -> dict[str, list[float]]:
        """For the manifest."""
        return {"shares": [*self.shares]} if self.shares is not None else {"thresholds": [*(self.thresholds or ())]}


DEFAULT_STARS = StarRule(shares=(10, 20, 40, 20, 10))
