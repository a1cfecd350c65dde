"""Q-Align's levels: which word stands for a score, and what the words come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.domain import levels
from realqa_cli.domain.scales import Scale

SCALES = st.sampled_from([Scale(1, 5), Scale(1, 10), Scale(0, 10), Scale(0, 100)])


@pytest.mark.parametrize(
    ("score", "word"),
    [
        (1.0, "bad"),
        (1.8, "bad"),  # a score between two intervals is in the lower one
        (1.81, "poor"),
        (2.6, "poor"),
        (3.0, "fair"),
        (3.4, "fair"),
        (3.41, "good"),
        (4.2, "good"),
        (4.21, "excellent"),
        (5.0, "excellent"),
        (5.2, "excellent"),
        (0.9, "bad"),
    ],
)
def test_five_equal_intervals_have_a_word_each(score: float, word: str) -> None:
    assert levels.word_of(score, Scale(1, 5)) == word


def test_the_words_are_five_to_one_on_a_scale_of_five() -> None:
    assert levels.level_values(Scale(1, 5)) == (5, 4, 3, 2, 1)
    assert levels.level_values(Scale(0, 1)) == (1, 0.75, 0.5, 0.25, 0)


@given(SCALES, st.floats(0, 1), st.floats(0, 1))
def test_a_better_score_never_has_a_worse_word(scale: Scale, one: float, two: float) -> None:
    a, b = map(scale.at, sorted((one, two)))
    rank = levels.WORDS.index
    assert rank(levels.word_of(a, scale)) >= rank(levels.word_of(b, scale))


@given(SCALES, st.floats(0, 1))
def test_a_word_means_a_value_near_the_score(scale: Scale, share: float) -> None:
    score = scale.at(share)
    value = dict(zip(levels.WORDS, levels.level_values(scale), strict=True))[levels.word_of(score, scale)]
    assert abs(value - score) <= 0.2 * scale.width + 1e-6
