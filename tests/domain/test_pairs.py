"""Pairs of photos: the decision, and what people chose."""

import pytest

from realqa_cli.domain.pairs import better_side, decision_margin, people_share


@pytest.mark.parametrize(
    ("p_a_better", "better"), [(0.75, "a"), (0.749, None), (0.5, None), (0.251, None), (0.25, "b"), (1.0, "a")]
)
def test_a_pair_is_decided_from_a_probability_of_three_quarters(p_a_better: float, better: str | None) -> None:
    assert better_side(p_a_better) == better
    assert (decision_margin(p_a_better) >= 0) == (better is not None)
    assert decision_margin(p_a_better) == pytest.approx(max(p_a_better, 1 - p_a_better) - 0.75)


@pytest.mark.parametrize(
    ("fields", "share"),
    [
        ({"choice": "a"}, 1.0),
        ({"choice": " Left "}, 1.0),
        ({"choice": "second"}, 0.0),
        ({"choice": "TIE"}, 0.5),
        ({"share_a": 0.3, "choice": "a"}, 0.3),
        ({"share_a": None, "choice": ""}, None),
        ({}, None),
    ],
)
def test_peoples_choice_is_a_word_or_a_share(fields: dict[str, object], share: float | None) -> None:
    assert people_share(fields) == share


@pytest.mark.parametrize("fields", [{"choice": "1"}, {"choice": "perhaps"}, {"share_a": 1.2}, {"share_a": "most"}])
def test_a_choice_that_is_not_clear_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"choice is|share_a is"):
        people_share(fields)
