"""Contestants that do the same work, in turn, round after round, so that a busy moment hits all of them.

Reported are medians, over the rounds, of ratios within a round.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """Seconds of each contestant in each round."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Seconds."""
        return statistics.median(self.seconds[name])

    def ratio(self, slow: str, fast: str, scale: float = 1.0) -> float:
        """How many times `fast` is as fast as `slow`; `scale` where it had so many times the work."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        return statistics.median(scale * one / other for one, other in pairs)

    def spread(self, slow: str, fast: str) -> tuple[float, float]:
        """The least and the greatest of the rounds' ratios."""
        ratios = [a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True)]
        return min(ratios), max(ratios)


def side_by_side(contestants: Mapping[str, Work], rounds: int, what: str) -> Timed:
    """Runs each once unmeasured, then all of them in turn, in the other direction every second round."""
    for work in contestants.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 == 0 else reversed(names):
            begin = time.perf_counter()
            contestants[name]()
            seconds[name].append(time.perf_counter() - begin)
        print(f"{what}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return Timed(seconds)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """As Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
