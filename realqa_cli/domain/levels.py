"""The five levels of Q-Align: words instead of numbers for a score. The paper's baseline in Tab. 7, 8 and 10.

A level stands for one of five equal intervals of the scale. Read out, the levels are five values that are
spread evenly over the scale, its ends included (5, 4, 3, 2, 1 on a scale of 1-5), weighed by probability.

Pure vocabulary: knows no model and no file; the sentence around the word is in `prompts`.
"""

import math

from realqa_cli.domain.scales import Scale

WORDS = ("excellent", "good", "fair", "poor", "bad")
"""From the best to the worst."""


def word_of(score: float, scale: Scale) -> str:
    """The level of a score on the scale; a score between two intervals is in the lower one.

    Scores outside the scale, as rounding makes them, count as its ends.
    """
    interval = math.ceil(scale.share(score) * len(WORDS) - 1e-9)  # 4.2 of 1-5 is 4.000000000000001 fifths
    return WORDS[len(WORDS) - min(max(interval, 1), len(WORDS))]


def level_values(scale: Scale) -> tuple[float, ...]:
    """What each of the words stands for on the scale, in their order."""
    last = len(WORDS) - 1
    return tuple(scale.at((last - i) / last) for i in range(len(WORDS)))
