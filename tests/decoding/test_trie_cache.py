"""Tries that are made once for texts that end alike: the same as when they are made for every text."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import tokenizer

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions
from realqa_cli.decoding.trie_cache import TrieCache
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals, token_trie

Encode = Callable[[list[str]], list[list[int]]]


def small(**kind: bool) -> Encode:
    words: Any = tokenizer(**kind)  # type: ignore[arg-type]
    return lambda texts: words(texts, add_special_tokens=False)["input_ids"]


def bundled() -> Encode:
    backend: Any = backends.load("onnx", models.find("realqa-tiny"), LoadOptions())
    encode: Encode = backend.processor.encode
    return encode


def from_the_end(texts: list[str]) -> list[list[int]]:
    """A tokenizer that no text can be cut for: pairs of characters, counted from the end."""
    return [[hash(pair) for pair in re.findall(r"..?", text[::-1])][::-1] for text in texts]


def with_a_first_blank(texts: list[str]) -> list[list[int]]:
    """As sentencepiece has it: a text's first word gets a blank too."""
    return [[hash(word) for word in re.findall(r"\s?\w+|.", " " + text)] for text in texts]


ENCODES = [small(), small(merges_digits=True), bundled(), from_the_end, with_a_first_blank]
ENDS = [", 3.3 Saturation: medium\nThe final score is <", "The score of this image is ", "<", "is <\n\n"]
starts = st.lists(st.sampled_from(["low", "score: 6,", "high", "\n3.1", "2.4", "<|im_end|>"]), max_size=6)


@given(st.lists(starts, min_size=3, max_size=5), st.sampled_from(ENDS), st.sampled_from(ENCODES))
def test_every_text_gets_the_trie_that_is_its_own(texts: list[list[str]], end: str, encode: Encode) -> None:
    tries, scores = TrieCache(encode), numerals(2, 1, 5)
    for words in texts:
        text = " ".join([*words, end])
        ids, merging, trie = tries(text, scores, ">")
        assert ([*ids], trie) == token_trie(encode, text, scores, ">")
        assert len(ids) + merging == len(encode([text])[0])


def test_after_two_chains_of_thought_no_numeral_is_tokenised_again() -> None:
    counted: list[int] = []

    def encode(texts: list[str]) -> list[list[int]]:
        counted.append(len(texts))
        return real(texts)

    real, tries = bundled(), TrieCache(encode)
    for score in range(1, 7):
        text = f"1.2 Composition Score: {score}, 3.3 Saturation: medium saturation\n{prompts.FINAL_PREFIX}"
        tries(text, numerals(3, 1, 5), ">")
    assert max(counted) == 401
    assert counted[-4:] == [3] * 4


def test_the_same_text_is_not_even_tokenised() -> None:
    def encode(texts: list[str]) -> list[list[int]]:
        asked.extend(texts)
        return [[*text.encode()] for text in texts]

    asked: list[str] = []
    tries = TrieCache(encode)
    first = tries("The score is ", ["1", "2"], ".")
    before = len(asked)
    assert tries("The score is ", ["1", "2"], ".") == first
    assert len(asked) == before


def test_continuations_that_cannot_be_distinguished_are_refused() -> None:
    with pytest.raises(ValueError, match="not distinguishable"):
        TrieCache(small())("The score is ", ["3.9", "3.9"], ".")
