"""The ten attributes: what they are, how answers are read, which numbers stand for them."""

import pytest

from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, Attribute, exposure_quality


def test_there_are_ten_attributes_and_nine_are_scored() -> None:
    assert len(ATTRIBUTES) == 10
    assert [a.key for a in ATTRIBUTES.values() if not a.scored] == ["subject_background"]


def test_the_levels_hold_two_five_and_three_attributes_from_high_to_low() -> None:
    assert {level: len(members) for level, members in LEVELS.items()} == {"high": 2, "middle": 5, "low": 3}
    assert [a.level for a in ATTRIBUTES.values()] == ["high"] * 2 + ["middle"] * 5 + ["low"] * 3


@pytest.mark.parametrize("attribute", [a for a in ATTRIBUTES.values() if a.kind == "choice"], ids=lambda a: a.key)
def test_every_option_has_a_code_of_its_own_and_reads_back(attribute: Attribute) -> None:
    assert len(attribute.options) == len(attribute.codes) == len(set(attribute.codes))
    for option, code in zip(attribute.options, attribute.codes, strict=True):
        assert attribute.normalise(f"  {option.upper()} ") == option
        assert attribute.code(option) == code


def test_spellings_of_an_option_are_understood() -> None:
    assert ATTRIBUTES["saturation"].normalise("Medium saturation") == "medium"
    assert ATTRIBUTES["saturation"].code("ultra-high saturation") == 5
    long = "fully complete (no cuts or obstructions at all)"
    assert ATTRIBUTES["subject_integrity"].normalise(long) == "fully complete"
    assert ATTRIBUTES["level_shot"].code("Yes.") == 1


def test_ratings_are_whole_numbers_from_one_to_ten() -> None:
    composition = ATTRIBUTES["composition"]
    assert composition.code(7) == composition.code({"score": 7, "reason": "balanced"}) == composition.code(7.0) == 7
    for wrong in (0, 11, 7.5, True, "7", None, {"reason": "none"}):
        with pytest.raises(ValueError, match="composition"):
            composition.code(wrong)


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="very blurry, moderately blurry, moderately clear, very clear"):
        ATTRIBUTES["image_clarity"].code("sharp")


def test_proper_exposure_is_best_and_both_extremes_are_worst() -> None:
    assert [exposure_quality(option) for option in ATTRIBUTES["exposure"].options] == [0, 1, 2, 1, 0]
