"""Counts and their nouns agree in number."""

import pytest

from realqa_cli.domain.wording import plural


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 photos"), (1, "1 photo"), (2, "2 photos"), (12345, "12,345 photos")]
)
def test_a_noun_is_in_the_number_of_its_count(count: int, text: str) -> None:
    assert plural(count, "photo") == text


def test_an_irregular_plural_is_given() -> None:
    assert [plural(count, "reply", "replies") for count in (1, 2)] == ["1 reply", "2 replies"]
