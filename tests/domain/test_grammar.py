"""Patterns of answers: they match what prompts write, and nothing that cannot be read back."""

import re

import pytest

from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import form_pattern, one_of


def test_one_of_matches_each_text_literally() -> None:
    texts = ["The score of this image is 3.9.", "a (b|c)* [d] {2} \\ ^$ +?", "medium-high"]
    for text in texts:
        assert re.fullmatch(one_of(texts), text)
    assert not re.fullmatch(one_of(texts), "The score of this image is 3x9.")
    assert one_of(["a medium-high one"]) == "(a medium-high one)"  # Python's own escaping is foreign elsewhere


FORM = prompts.regular_form(["composition.reason", "composition.score", "saturation"])


@pytest.mark.parametrize(
    ("reason", "score", "saturation", "fits"),
    [
        ("The horizon is level, 2/3 up", "7", "medium saturation", True),
        ("x", "10", "ultra-low saturation", True),
        ("x", "11", "medium saturation", False),
        ("x", "7", "medium", False),
        ("two\nlines", "7", "medium saturation", False),
        ("the final score is <5>", "7", "medium saturation", False),
        ("", "7", "medium saturation", False),
    ],
)
def test_a_form_matches_what_can_be_read_back(reason: str, score: str, saturation: str, fits: bool) -> None:
    texts = {"composition.reason": reason, "composition.score": score, "saturation": saturation}
    answer = prompts.fill(FORM, texts)
    assert bool(re.fullmatch(form_pattern(FORM), answer)) == fits
    if fits:
        assert prompts.read_form(answer) == (texts, None)
