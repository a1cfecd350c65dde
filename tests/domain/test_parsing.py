"""Answers are read back as they were written, by us and by the paper's release, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_attributes import FULL
from made_datasets import REGULAR

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.parsing import read_attributes, stated_score
from realqa_cli.domain.prompts import Order


@pytest.mark.parametrize("order", ["high-first", "low-first"])
@pytest.mark.parametrize(
    "end", [prompts.REGULAR_END, "\nThe final score is <6.59>.", " The final score is <6.59>.<|im_end|>"]
)
def test_the_attributes_of_a_regular_form_are_those_that_it_was_made_of(order: Order, end: str) -> None:
    texts = prompts.slot_texts(FULL)
    answer = prompts.fill(prompts.regular_form(prompts.arrange(texts, order)), texts) + end
    assert prompts.slot_texts(read_attributes(answer)) == texts


def test_one_attribute_alone_is_read_with_and_without_its_number() -> None:
    assert read_attributes("Image Clarity: very clear.") == {"image_clarity": "very clear"}
    assert read_attributes("3.3 saturation : Medium saturation") == {"saturation": "medium"}
    assert read_attributes("Composition Reason: a line, and a point. 1.2 Composition Score: 7.") == {
        "composition": {"reason": "a line, and a point", "score": 7}
    }


def test_numbers_may_follow_a_blank_alone_and_reasons_may_hold_commas_and_colons() -> None:
    found = read_attributes(REGULAR)
    assert found["composition"] == {"reason": "the bed, seen from the side, fills the frame", "score": 7}
    assert found["subject_integrity"] == "fully complete"
    assert read_attributes(
        "1.1 Reason for Composition Score: two things: light, and shade, 1.2 Composition Score: 7"
    ) == {"composition": {"reason": "two things: light, and shade", "score": 7}}


def test_what_is_not_a_value_stays_as_it_is_so_that_it_counts_as_unparsed() -> None:
    assert read_attributes("2.5 Level Shot: perhaps, 2.3 Subject Clutter: ") == {"level_shot": "perhaps"}
    assert read_attributes("1.2 Composition Score: high") == {"composition": {"score": "high"}}
    with pytest.raises(ValueError, match="not a whole number"):
        ATTRIBUTES["composition"].code({"score": "high"})


@pytest.mark.parametrize(
    "text", ["", "I like this image.", "The score of this image is 3.98.", None, 3, ["Level Shot: yes"]]
)
def test_other_texts_tell_no_attributes(text: object) -> None:
    assert read_attributes(text) == {}


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    assert isinstance(read_attributes(f"Level Shot: {text} Exposure: {text}"), dict)


def test_attributes_in_thoughts_do_not_count() -> None:
    answer = "3.1 Image Clarity: very blurry. No.</think>3.1 Image Clarity: very clear"
    assert read_attributes(answer) == {"image_clarity": "very clear"}


def test_a_score_out_of_another_maximum_says_so() -> None:
    assert stated_score("The score of this image is 4 / 10.") == (4.0, 10.0)
    assert stated_score("The score of this image is 4.20 out of 5.") == (4.2, 5.0)
    assert stated_score("The score of this image is 4.20.") == (4.2, None)
