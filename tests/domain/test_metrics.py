"""The metrics against SciPy, known values, and the properties that define them."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from realqa_cli.domain import metrics

FUNCTIONS = {
    "srcc": lambda a, b: stats.spearmanr(a, b).statistic,
    "plcc": lambda a, b: stats.pearsonr(a, b).statistic,
    "krcc": lambda a, b: stats.kendalltau(a, b).statistic,
}
grades = st.lists(st.tuples(st.integers(100, 500), st.integers(100, 500)), min_size=3, max_size=40)


def noisy_scores(n: int = 200, noise: float = 0.4, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.uniform(1, 5, n)
    return truth + generator.normal(0, noise, n), truth


def split(pairs: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    a, b = [x / 100 for x, _ in pairs], [y / 100 for _, y in pairs]
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    return a, b


@pytest.mark.parametrize("name", FUNCTIONS)
@given(pairs=grades)
def test_correlations_agree_with_scipy(name: str, pairs: list[tuple[int, int]]) -> None:
    a, b = split(pairs)
    assert metrics.METRICS[name](a, b) == pytest.approx(FUNCTIONS[name](a, b), abs=1e-12)


@pytest.mark.parametrize("name", ["srcc", "krcc"])
@given(pairs=grades)
def test_rank_correlations_see_only_the_order(name: str, pairs: list[tuple[int, int]]) -> None:
    a, b = split(pairs)
    metric = metrics.METRICS[name]
    assert metric([3 * x**3 + 7 for x in a], b) == pytest.approx(metric(a, b), abs=1e-12)
    assert metric([-x for x in a], b) == pytest.approx(-metric(a, b), abs=1e-12)


@pytest.mark.parametrize("name", ["srcc", "plcc", "krcc", "rmse"])
@given(pairs=grades, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_and_of_the_two_sides_does_not_matter(
    name: str, pairs: list[Any], shuffle: random.Random
) -> None:
    a, b = split(pairs)
    metric, value = metrics.METRICS[name], metrics.METRICS[name](a, b)
    order = list(range(len(a)))
    shuffle.shuffle(order)
    assert metric([a[i] for i in order], [b[i] for i in order]) == pytest.approx(value, abs=1e-9)
    assert metric(b, a) == pytest.approx(value, abs=1e-9)


@given(pairs=grades, slope=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_plcc_ignores_a_rising_straight_line(pairs: list[Any], slope: float, offset: float) -> None:
    a, b = split(pairs)
    assert metrics.plcc([slope * x + offset for x in a], b) == pytest.approx(metrics.plcc(a, b), abs=1e-6)


def test_known_values() -> None:
    # Ranks 1..5 against 2 1 4 3 5: squared differences sum to 4, 1 - 6*4/(5*24) = 0.8; 2 of 10 pairs discord.
    assert metrics.srcc([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    assert metrics.krcc([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.6)
    assert metrics.srcc([1, 10, 100], [1, 2, 3]) == pytest.approx(1.0)
    assert metrics.rmse([1, 2, 3], [2, 2, 5]) == pytest.approx((5 / 3) ** 0.5)
    assert metrics.accuracy(["low", "high", "high"], ["low", "low", "high"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["srcc", "plcc", "krcc", "rmse"])
@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ([1], [1], "two pairs or more, not 1"),
        ([], [], "two pairs or more, not 0"),
        ([1, 2, 3], [1, 2], "3 predictions for 2 truths"),
        ([1, float("nan"), 3], [1, 2, 3], "predictions hold 1 values that are not finite"),
        ([1, 2, 3], [1, 2, float("inf")], "truth hold 1 values that are not finite"),
        ([[1, 2]], [[1, 2]], "two flat sequences"),
    ],
)
def test_what_has_no_value_says_so(name: str, a: list[Any], b: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        metrics.METRICS[name](a, b)


@pytest.mark.parametrize("name", ["srcc", "plcc", "krcc"])
@pytest.mark.parametrize("constant", [[3, 3, 3], [0, 0, 0], [0.1 + 0.2, 0.3, 0.3]])
def test_a_constant_has_no_correlation(name: str, constant: list[float]) -> None:
    with pytest.raises(ValueError, match="predictions are constant"):
        metrics.METRICS[name](constant, [1, 2, 3])
    with pytest.raises(ValueError, match="truth is constant"):
        metrics.METRICS[name]([1, 2, 3], constant)


def test_accuracy_of_nothing_has_no_value() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        metrics.accuracy([], [])
    with pytest.raises(ValueError, match="1 predictions for 2 truths"):
        metrics.accuracy(["a"], ["a", "b"])


def test_the_bootstrap_repeats_with_its_seed_and_moves_with_another() -> None:
    a, b = noisy_scores()
    once, again = (metrics.bootstrap(metrics.srcc, a, b, resamples=200, seed=3) for _ in range(2))
    other = metrics.bootstrap(metrics.srcc, a, b, resamples=200, seed=4)
    assert once == again
    assert (once.low, once.high) != (other.low, other.high)
    assert once.low < once.value < once.high
    assert (once.n, once.resamples, once.p) == (200, 200, None)


def test_the_bootstrap_interval_agrees_with_scipys_percentile_method() -> None:
    a, b = noisy_scores()
    ours = metrics.bootstrap(metrics.plcc, a, b, resamples=2000)
    theirs = stats.bootstrap(
        (a, b), metrics.plcc, paired=True, vectorized=False, n_resamples=2000, method="percentile", rng=5
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.004)
    assert ours.high == pytest.approx(theirs.high, abs=0.004)


def test_whole_groups_are_drawn_so_copies_of_a_pair_do_not_narrow_the_interval() -> None:
    a, b = noisy_scores(40)
    alone = metrics.bootstrap(metrics.srcc, a, b, resamples=400)
    copies_a, copies_b, groups = np.repeat(a, 10), np.repeat(b, 10), np.repeat(np.arange(40), 10).tolist()
    pretended = metrics.bootstrap(metrics.srcc, copies_a, copies_b, resamples=400)
    grouped = metrics.bootstrap(metrics.srcc, copies_a, copies_b, resamples=400, groups=groups)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    assert pretended.high - pretended.low < 0.6 * (grouped.high - grouped.low)


def test_a_bootstrap_without_enough_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="too few or too equal"):
        metrics.bootstrap(metrics.srcc, [2, 1, 1, 1, 1, 1, 1, 1], [1, 2, 1, 1, 1, 1, 1, 1])
    with pytest.raises(ValueError, match="2 group labels for 3 pairs"):
        metrics.bootstrap(metrics.srcc, [1, 2, 3], [1, 3, 2], groups=[0, 1])
    with pytest.raises(ValueError, match="one resample or more"):
        metrics.bootstrap(metrics.srcc, [1, 2, 3], [1, 3, 2], resamples=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.bootstrap(metrics.rmse, [1, 2, 3], [1, 3, 2], level=95)


def test_the_bootstrap_takes_classes_too() -> None:
    found = metrics.bootstrap(metrics.accuracy, ["yes", "no"] * 20, ["yes"] * 40, resamples=200)
    assert found.value == 0.5
    assert 0.2 < found.low < 0.5 < found.high < 0.8


def test_a_paired_difference_sees_the_better_of_two_and_not_a_difference_that_is_none() -> None:
    good, truth = noisy_scores(300, noise=0.3, seed=1)
    worse = good + np.random.default_rng(9).normal(0, 0.6, 300)
    found = metrics.bootstrap_difference(metrics.srcc, good, worse, truth, resamples=300)
    assert found.value == pytest.approx(metrics.srcc(good, truth) - metrics.srcc(worse, truth))
    assert 0 < found.low < found.value < found.high
    assert found.p == pytest.approx(2 / 301)
    same = metrics.bootstrap_difference(metrics.srcc, good, good, truth, resamples=300)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


@pytest.mark.parametrize("parameters", [4, 5])
@pytest.mark.parametrize("direction", [1, -1])
def test_the_logistic_fit_finds_a_logistic_again(parameters: int, direction: int) -> None:
    x = np.linspace(0, 100, 80)
    mos = 1 + 4 / (1 + np.exp(-direction * (x - 60) / 9))
    mapped = metrics.fit_logistic(x, mos, parameters=parameters)
    assert metrics.rmse(mapped(x), mos) < 1e-4
    assert metrics.plcc(mapped(x), mos) > abs(metrics.plcc(x, mos))


def test_the_four_parameter_fit_keeps_the_order() -> None:
    a, b = noisy_scores(noise=0.8)
    mapped = metrics.fit_logistic(a, b, parameters=4)
    assert metrics.srcc(mapped(a), b) == pytest.approx(metrics.srcc(a, b), abs=1e-9)
    assert metrics.rmse(mapped(a), b) <= metrics.rmse(a, b)


def test_a_fit_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="4 or 5 parameters, not 3"):
        metrics.fit_logistic([1, 2, 3], [1, 2, 3], parameters=3)
    with pytest.raises(ValueError, match="more than 5 pairs, not 5"):
        metrics.fit_logistic([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
