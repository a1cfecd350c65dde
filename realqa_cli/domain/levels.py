"""The five levels of Q-Align: a word in place of a number. The paper's baseline in Tab. 7, 8 and 10.

A level covers one of five equal intervals between the smallest and the largest MOS of the training set (Q-Align's
division), the bounds. When a model is read out, the words are five values spread evenly from the lower to the upper
bound, weighted by their probabilities.

Pure: no model, no file; the sentence around the word is in `prompts`.
"""

import math
from collections.abc import Sequence

from realqa_cli.domain.scales import Scale

WORDS = ("excellent", "good", "fair", "poor", "bad")
"""From the best to the worst."""


def bounds_of(scores: Sequence[float]) -> Scale:
    """The bounds of the levels of a training set: its smallest and largest score. Raises ValueError."""
    return Scale.of((min(scores), max(scores)))


def word_of(score: float, bounds: Scale) -> str:
    """The level of a score; a score on the border of two intervals belongs to the lower one.

    Scores outside the bounds belong to the outermost levels.
    """
    interval = math.ceil(bounds.share(score) * len(WORDS) - 1e-9)  # 4.2 of 1-5 is 4.000000000000001 fifths
    return WORDS[len(WORDS) - min(max(interval, 1), len(WORDS))]


def level_values(bounds: Scale) -> tuple[float, ...]:
    """The value of each of the `WORDS`, in their order: 5, 4, 3, 2, 1 for the bounds 1-5."""
    last = len(WORDS) - 1
    return tuple(bounds.at((last - i) / last) for i in range(len(WORDS)))
