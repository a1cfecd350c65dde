"""Numerals, the token trie over any tokenizer, and the score distribution."""

import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import tokenizer

from realqa_cli.domain.numerals import (
    ScoreDistribution,
    TokenTrie,
    numerals,
    short_numerals,
    token_trie,
    write,
)

PROMPT = "assistant\nThe score of this image is "


def test_three_digits_from_one_to_five_give_401_numerals() -> None:
    texts = numerals(3, 1, 5)
    assert (len(texts), texts[0], texts[1], texts[-1]) == (401, "1.00", "1.01", "5.00")


def test_fewer_digits_give_fewer_numerals() -> None:
    assert numerals(1, 1, 5) == ["1", "2", "3", "4", "5"]
    assert numerals(2, 1, 1.2) == ["1.0", "1.1", "1.2"]


def test_a_scale_that_ends_at_ten_is_served_up_to_nine_point_nine_nine() -> None:
    assert numerals(3, 1, 10)[-1] == "9.99"


@pytest.mark.parametrize(("digits", "low", "high"), [(0, 1, 5), (4, 1, 5), (3, 0, 100), (3, 5, 1), (1, 1.2, 1.8)])
def test_what_cannot_be_written_is_refused(digits: int, low: float, high: float) -> None:
    with pytest.raises(ValueError, match=r"digits|scale"):
        numerals(digits, low, high)


@given(st.floats(0, 10), st.sampled_from([1, 2, 3]))
def test_a_written_score_is_the_nearest_numeral_and_has_exactly_m_digits(value: float, digits: int) -> None:
    text = write(value, digits)
    assert len(text.replace(".", "")) == digits
    nearest = Decimal(repr(value)).quantize(Decimal(1).scaleb(1 - digits), ROUND_HALF_UP)
    assert Decimal(text) == nearest or (nearest == 10 and set(text) <= {"9", "."})


def test_halves_are_rounded_as_people_read_them() -> None:
    assert [write(v, 3) for v in (2.675, 3.984, 4.0)] == ["2.68", "3.98", "4.00"]
    assert [write(3.98, digits) for digits in (1, 2, 3)] == ["4", "4.0", "3.98"]


def test_short_numerals_have_no_trailing_zeros() -> None:
    texts = short_numerals(1, 5)
    assert len(texts) == len(set(texts)) == 401
    assert {"3.9", "4.0", "3.98"} <= set(texts)
    assert "3.90" not in texts


class TestTrieOverTokenizers:
    def encode(self, **kind: bool) -> Callable[[list[str]], list[list[int]]]:
        words: Any = tokenizer(**kind)  # type: ignore[arg-type]
        return lambda texts: words(texts, add_special_tokens=False)["input_ids"]

    def test_with_one_token_a_digit_the_inner_nodes_are_those_that_scoring_needs(self) -> None:
        prompt, trie = token_trie(self.encode(), PROMPT, numerals(3, 1, 5), ".")
        assert prompt == self.encode()([PROMPT])[0]
        # five first digits, five points, forty second digits below 5 and one (0) at 5
        assert len(trie.inner) == 5 + 5 + 41
        assert (len(trie.paths), trie.height) == (401, 4)

    def test_a_digit_merging_tokenizer_gets_a_trie_of_its_own_tokens(self) -> None:
        encode = self.encode(merges_digits=True)
        texts = numerals(3, 1, 5)
        assert len({len(ids) for ids in encode([PROMPT + text for text in texts])}) > 1, (
            "the tokenizer is to merge digits"
        )
        prompt, trie = token_trie(encode, PROMPT, texts, ".")
        for text, path in zip(texts, trie.paths, strict=True):
            written = prompt + [trie.tokens[node] for node in path]
            assert written == encode([PROMPT + text + "."])[0][: len(written)]

    @pytest.mark.parametrize("merges_digits", [False, True])
    @pytest.mark.parametrize(
        "texts", [numerals(1, 1, 5), numerals(2, 1, 5), numerals(3, 1, 9.99), short_numerals(1, 5)]
    )
    def test_no_path_begins_another_one(self, texts: list[str], merges_digits: bool) -> None:
        _, trie = token_trie(self.encode(merges_digits=merges_digits), PROMPT, texts, ".")
        ends = {path[-1] for path in trie.paths}
        assert len(ends) == len(texts)
        assert not ends & set(trie.inner)

    def test_numerals_of_different_length_carry_their_terminator(self) -> None:
        encode = self.encode()
        _, trie = token_trie(encode, PROMPT, ["3.9", "3.98"], ".")
        assert [trie.tokens[path[-1]] for path in trie.paths] == encode(["."])[0] * 2

    def test_a_blank_that_merges_into_the_number_belongs_to_the_path(self) -> None:
        def encode(texts: list[str]) -> list[list[int]]:  # " 3" is one token, a lone " " another
            return [[hash(piece) for piece in re.findall(r" \d|.", text)] for text in texts]

        prompt, trie = token_trie(encode, "is ", ["3.9", "4.1"], ".")
        assert [prompt] == encode(["is"])
        assert [[trie.tokens[trie.paths[0][0]]]] == encode([" 3"])

    def test_words_that_begin_one_another_are_distinguished_by_what_follows(self) -> None:
        encode = self.encode()
        _, trie = token_trie(encode, "Saturation: ", ["low", "low saturation", "lower"], ",")
        assert len(set(trie.paths)) == 3

    def test_equal_continuations_are_refused(self) -> None:
        with pytest.raises(ValueError, match="not distinguishable"):
            token_trie(self.encode(), PROMPT, ["3.9", "3.9"], ".")


def test_a_trie_knows_its_nodes_from_the_top_down() -> None:
    trie = TokenTrie.from_sequences([[7, 1], [7, 2, 5], [8]])
    assert trie.depths == (0, 1, 1, 2, 2, 3)
    assert trie.inner == (1, 4)
    assert [[trie.tokens[n] for n in path] for path in trie.paths] == [[7, 1], [7, 2, 5], [8]]
    assert trie.ancestors(5) == [4, 1]


def distribution(weights: dict[str, float], mass: float = 1.0) -> ScoreDistribution:
    total = sum(weights.values())
    with np.errstate(divide="ignore"):
        return ScoreDistribution.from_log_probs(list(weights), np.log(np.array([*weights.values()]) / total * mass))


class TestDistribution:
    def test_the_mean_is_that_of_the_joint_and_not_of_the_digits(self) -> None:
        assert distribution({"3.99": 0.5, "4.00": 0.5}).mean == pytest.approx(3.995)

    def test_mass_is_what_the_model_gave_before_renormalising(self) -> None:
        found = distribution({"1.0": 3, "2.0": 1}, mass=0.4)
        assert found.mass == pytest.approx(0.4)
        assert found.probs.sum() == pytest.approx(1)

    def test_the_mode_is_the_most_likely_numeral_as_written(self) -> None:
        found = distribution({"4.00": 0.2, "3.90": 0.5, "1.00": 0.3})
        assert (found.mode, found.mode_text) == (3.9, "3.90")

    def test_the_central_interval_leaves_five_percent_on_either_side(self) -> None:
        assert distribution({f"{n / 100:.2f}": 1.0 for n in range(100, 200)}).interval() == (1.04, 1.94)

    def test_tiny_probabilities_do_not_vanish_in_the_sum(self) -> None:
        found = ScoreDistribution.from_log_probs(["1", "2"], np.array([-900.0, -900.0]))
        assert found.mean == pytest.approx(1.5)
        assert found.mass == 0.0

    @pytest.mark.parametrize("logs", [[math.nan, 0.0], [-math.inf, -math.inf]])
    def test_a_model_without_an_answer_is_an_error_and_not_a_number(self, logs: list[float]) -> None:
        with pytest.raises(ValueError, match="model gives"):
            ScoreDistribution.from_log_probs(["1", "2"], np.array(logs))

    @given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=40), st.data())
    def test_prob_greater_counts_ties_by_half(self, weights: list[float], data: st.DataObject) -> None:
        texts = [f"{n / 10:.1f}" for n in range(len(weights))]
        others = data.draw(st.lists(st.floats(1e-6, 1), min_size=len(weights), max_size=len(weights)))
        a, b = (
            distribution(dict(zip(texts, weights, strict=True))),
            distribution(dict(zip(texts, others, strict=True))),
        )
        outer = np.outer(a.probs, b.probs)
        assert a.prob_greater(b) == pytest.approx(np.tril(outer, -1).sum() + np.trace(outer) / 2)
        assert a.prob_greater(a) == pytest.approx(0.5)
        assert a.prob_greater(b) + b.prob_greater(a) == pytest.approx(1)

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=60).filter(any))
    def test_moments_and_quantiles_stay_within_the_scale(self, weights: list[float]) -> None:
        found = distribution({f"{1 + n / 10:.1f}": w for n, w in enumerate(weights)})
        low, high = found.interval()
        assert found.values[0] <= low <= found.quantile(0.5) <= high <= found.values[-1]
        assert found.values[0] - 1e-9 <= found.mean <= found.values[-1] + 1e-9
        assert sum(p for _, p in found.pairs()) == pytest.approx(1, abs=1e-4)
