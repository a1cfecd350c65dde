"""Comparisons of distributions, the order that follows, and stars."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from realqa_cli.errors import RecordError, UsageError
from realqa_cli.steps.rank.candidates import Candidate, candidate_of
from realqa_cli.steps.rank.comparisons import Comparisons
from realqa_cli.steps.rank.rank import rank_photos
from realqa_cli.steps.rank.stars import StarRule


def scored(name: str, pairs: list[list[float]], **measured: Any) -> Candidate:
    mean = sum(value * p for value, p in pairs)
    return candidate_of({"image": name, "score": mean, "std": 0.5, "distribution": pairs, **measured})


def by_hand(first: Candidate, second: Candidate) -> float:
    """P(first > second) pair by pair."""
    return sum(
        float(p * q) * (1.0 if a > b else 0.5 if a == b else 0.0)
        for a, p in zip(first.values, first.probabilities, strict=True)
        for b, q in zip(second.values, second.probabilities, strict=True)
    )


distributions = (
    st.lists(st.integers(0, 20), min_size=8, max_size=8)
    .filter(any)
    .map(lambda weights: [[1 + i / 2, w / sum(weights)] for i, w in enumerate(weights)])
)


@given(st.lists(distributions, min_size=2, max_size=6))
def test_win_rates_are_the_row_means_of_the_exact_table_of_pairs(tables: list[list[list[float]]]) -> None:
    candidates = [scored(f"{i}.jpg", table) for i, table in enumerate(tables)]
    compared = Comparisons(candidates)
    for i, rate in enumerate(compared.win_rates()):
        others = [by_hand(candidates[i], other) for j, other in enumerate(candidates) if j != i]
        assert rate == pytest.approx(np.mean(others), abs=1e-9)
        for j, other in enumerate(candidates):
            assert compared.better(i, j) == pytest.approx(by_hand(candidates[i], other), abs=1e-9)


def test_win_rates_order_photos_as_a_fitted_bradley_terry_model_does() -> None:
    numbers = np.random.default_rng(3)
    candidates = [scored(f"{i}.jpg", [[v, p] for v, p in enumerate(numbers.dirichlet(np.ones(9)))]) for i in range(12)]
    compared = Comparisons(candidates)
    table = np.array([[compared.better(i, j) for j in range(12)] for i in range(12)])

    def loss(strengths: Any) -> float:
        return float(-(table * np.log(1 / (1 + np.exp(strengths[None, :] - strengths[:, None])))).sum())

    fitted = minimize(loss, np.zeros(12), tol=1e-10).x
    assert list(np.argsort(fitted)) == list(np.argsort(compared.win_rates()))


def test_without_a_distribution_the_normal_one_of_mean_and_deviation_is_used() -> None:
    first = candidate_of({"image": "a.jpg", "score": 3.5, "std": 0.6})
    second = candidate_of({"image": "b.jpg", "score": 3.0, "std": 0.4})
    expected = norm.cdf(0.5 / np.hypot(0.6, 0.4))
    assert Comparisons([first, second]).better(0, 1) == pytest.approx(expected, abs=2e-3)


def test_many_different_values_are_rounded_to_a_common_axis() -> None:
    numbers = np.random.default_rng(1)
    candidates = [
        candidate_of({"image": f"{i}.jpg", "score": score, "std": 0.3})
        for i, score in enumerate(numbers.uniform(1, 5, 40))
    ]
    compared = Comparisons(candidates)
    expected = norm.cdf((candidates[0].score - candidates[1].score) / np.hypot(0.3, 0.3))
    assert compared.better(0, 1) == pytest.approx(expected, abs=5e-3)
    ranks = [place.rank for place in rank_photos(candidates, 1)]
    assert np.argsort(ranks).tolist() == np.argsort([-each.score for each in candidates]).tolist()


def test_scores_without_uncertainty_order_photos_and_decide_nothing() -> None:
    candidates = [candidate_of({"image": f"{score}.jpg", "score": score, "std": None}) for score in (2.0, 4.0, 3.0)]
    places = rank_photos(candidates, 1)
    assert [place.rank for place in places] == [3, 1, 2]
    assert {place.p_better_than_next for place in places} == {None}
    assert {place.decided for place in places} == {None}


def test_one_photo_has_a_place_and_nothing_to_compare_it_with() -> None:
    (place,) = rank_photos([scored("a.jpg", [[3.0, 1.0]])], 1)
    assert (place.rank, place.group, place.keep, place.win_rate, place.p_better_than_next) == (1, 1, True, 0.5, None)


@pytest.mark.parametrize(
    "record",
    [
        {"score": "good"},
        {"score": 3.0, "std": -1},
        {"score": 3.0, "distribution": [[3.0, 0.2]]},
        {"score": 3.0, "distribution": [[3.0]]},
        {"score": 3.0, "distribution": "3"},
        {"score": 3.0, "distribution": [[3.0, -0.5], [2.0, 1.5]]},
        {"score": 3.0, "std": 1.0, "measured": {"sharpness": 1}},
        {
            "score": 3.0,
            "std": 1.0,
            "measured": {"sharpness": 1, "pixels": [1, 1], "taken": None, "phash": "", "thumbnail": ""},
        },
    ],
)
def test_a_damaged_score_is_an_error_with_a_remedy(record: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=r"a.jpg: cannot be ranked by this record: .*; score it again"):
        candidate_of({"image": "a.jpg", **record})


def test_stars_by_shares_are_given_from_the_best() -> None:
    stars = StarRule.parse("10,20,40,20,10").stars([0.0] * 20, range(1, 21))
    assert stars == [5] * 2 + [4] * 4 + [3] * 8 + [2] * 4 + [1] * 2
    assert StarRule.parse("10,20,40,20,10").stars([3.0], [1]) == [3]
    assert StarRule.parse("0,0,0,0,100").stars([3.0] * 3, [2, 1, 3]) == [5, 5, 5]


def test_stars_by_thresholds_depend_on_the_score_alone() -> None:
    scores = [1.9, 2.0, 3.2, 3.5, 4.2, 5.0]
    assert StarRule.parse("2,3,3.5,4.2").stars(scores, range(1, 7)) == [1, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("text", ["", "1,2", "10,20,40,20,20", "3,2,3.5,4", "a,b,c,d", "1,2,3,nan", "-10,20,60,20,10"])
def test_other_lists_of_stars_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--stars"):
        StarRule.parse(text)
