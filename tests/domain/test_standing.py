"""Percentiles, the reference distribution, words, and the difference that is not decided."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.scales import Scale
from realqa_cli.domain.standing import DECIDED, ReferenceScores, ScoreRanks, score_word, undecided_difference

SCORES = st.lists(st.integers(10, 50).map(lambda tenths: tenths / 10), min_size=1, max_size=30)


@given(SCORES)
def test_percentiles_are_those_of_scipy(scores: list[float]) -> None:
    ranks = ScoreRanks(scores)
    for score in scores:
        assert ranks.percentile(score) == pytest.approx(stats.percentileofscore(scores, score, kind="mean"))


def test_scores_can_be_added_after_a_percentile_was_read() -> None:
    ranks = ScoreRanks([1.0, 2.0])
    assert ranks.percentile(2.0) == 75
    ranks.add(0.5)
    assert ranks.percentile(2.0) == pytest.approx(250 / 3)


def test_the_reference_interpolates_between_its_quantiles() -> None:
    reference = ReferenceScores([1.0, 2.0, 2.0, 4.0, 5.0], photos=100, source="made")
    assert [reference.percentile(score) for score in (0.5, 1.0, 1.5, 3.0, 4.5, 5.0, 6.0)] == [
        0, 0, 12.5, 62.5, 87.5, 100, 100,
    ]  # fmt: skip
    assert reference.percentile(2.0) == 37.5
    with pytest.raises(ValueError, match="do not fall"):
        ReferenceScores([2.0, 1.0], photos=1, source="made")


@given(st.floats(0, 6), st.floats(0, 6))
def test_a_higher_score_has_no_lower_reference_percentile(a: float, b: float) -> None:
    reference = ReferenceScores([1.0, 1.5, 3.0, 3.0, 4.0, 5.0], photos=100, source="made")
    low, high = sorted((a, b))
    assert reference.percentile(low) <= reference.percentile(high)


def test_the_words_are_the_fifths_of_the_scale() -> None:
    words = [score_word(score, Scale(1, 5)) for score in (1.0, 1.9, 2.5, 3.0, 3.9, 4.9)]
    assert words == ["bad", "poor", "poor", "fair", "good", "excellent"]
    assert [score_word(score, Scale(0, 10)) for score in (1, 3, 5, 7, 9)] == [
        "bad", "poor", "fair", "good", "excellent",
    ]  # fmt: skip


def test_at_the_undecided_difference_the_better_photo_is_better_with_the_probability_of_a_decision() -> None:
    difference = undecided_difference([0.5, 0.5, 0.5])
    assert difference is not None
    numerals = [f"{value:.2f}" for value in np.arange(0, 10, 0.01)]
    values = np.array([float(text) for text in numerals])

    def around(mean: float) -> ScoreDistribution:
        return ScoreDistribution.from_log_probs(numerals, stats.norm.logpdf(values, mean, 0.5))

    assert around(4 + difference).prob_greater(around(4)) == pytest.approx(DECIDED, abs=0.002)
    assert undecided_difference([]) is None
