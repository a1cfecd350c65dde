"""The words: questions, answers, and the regular form that training writes and decoding forces."""

import pytest

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.prompts import SLOTS, Slot, arrange, fill, regular_form


def test_the_papers_questions_and_answers_are_word_for_word() -> None:
    assert prompts.DIRECT_QUESTION == "Rate the aesthetics and quality of this image briefly."
    assert prompts.direct_answer("3.99") == "The score of this image is 3.99."
    assert prompts.final_sentence("6.59") == "The final score is <6.59>."


def test_an_image_becomes_a_video_in_every_text() -> None:
    assert prompts.about(prompts.COT_QUESTION, "video") == "Rate the aesthetics and quality of this video step by step."
    assert prompts.direct_answer("3.99", "video") == "The score of this video is 3.99."


def test_every_attribute_has_its_slots_and_a_question_with_its_options() -> None:
    assert {slot.attribute.key for slot in SLOTS.values()} == set(ATTRIBUTES)
    question = prompts.attribute_question(ATTRIBUTES["saturation"])
    assert "ultra-low saturation, low saturation" in question
    assert len({prompts.attribute_question(a) for a in ATTRIBUTES.values()}) == 10


@pytest.mark.parametrize(
    ("key", "question"),
    [
        ("composition", "How good is the composition of this image? Rate it from 1 to 10."),
        ("eye_catching", "How eye-catching is this image? Rate it from 1 to 10."),
        ("subject_integrity", "How complete is the subject of this image (a dog): incomplete, partially complete or fully"
         " complete?"),
        ("subject_clutter", "How cluttered is the subject of this image (a dog): cluttered, moderately cluttered or"
         " uncluttered?"),
        ("background_clutter", "How cluttered is the background of this image (an image of the sea): cluttered, moderately"
         " cluttered or uncluttered?"),
        ("level_shot", "Is this image level? Answer yes or no."),
        ("image_clarity", "How clear is this image: very blurry, moderately blurry, moderately clear or very clear?"),
        ("exposure", "How is this image exposed: overexposed, slightly overexposed, properly exposed, slightly underexposed"
         " or underexposed?"),
        ("saturation", "How saturated are the colors of this image: ultra-low saturation, low saturation, medium"
         " saturation, high saturation or ultra-high saturation?"),
    ],
)  # fmt: skip
def test_the_nine_single_questions_are_plain_english_about_the_photo(key: str, question: str) -> None:
    texts = {"subject_background.subject": "a dog", "subject_background.background": "an image of the sea"}
    assert prompts.attribute_question(ATTRIBUTES[key], texts) == question
    assert "(" not in prompts.attribute_question(ATTRIBUTES[key])
    video = prompts.attribute_question(ATTRIBUTES[key], texts, "video")
    assert "this video" in video
    assert ("(an image of the sea)" in video) == (key == "background_clutter"), "the label's words stay as they are"


def test_options_of_a_slot_stand_for_the_values_of_records() -> None:
    assert SLOTS["composition.score"].options == {str(n): n for n in range(1, 11)}
    assert SLOTS["saturation"].options["medium saturation"] == "medium"
    assert SLOTS["composition.reason"].options == {}


def test_the_regular_form_reads_like_the_papers() -> None:
    texts = {key: (next(iter(slot.options), "words")) for key, slot in SLOTS.items()}
    text = fill(regular_form(tuple(SLOTS)), texts)
    first, second, third = text.split("\n")
    assert first.startswith(
        "1.1 Reason for Composition Score: words, 1.2 Composition Score: 1, 1.3 Reason for Eye-Catching"
    )
    assert second.endswith("2.6 Level Shot: yes")
    assert third == "3.1 Image Clarity: very blurry, 3.2 Exposure: overexposed, 3.3 Saturation: ultra-low saturation"


def test_items_keep_their_numbers_where_others_are_left_out() -> None:
    form = regular_form(arrange(["exposure", "composition.score", "eye_catching.score"]))
    assert [part for part in form if isinstance(part, str)] == [
        "1.2 Composition Score: ",
        ", 1.4 Eye-Catching Score: ",
        "\n2.2 Exposure: ",
    ]
    assert [part.key for part in form if isinstance(part, Slot)] == [
        "composition.score",
        "eye_catching.score",
        "exposure",
    ]


def test_the_order_of_levels_can_be_reversed() -> None:
    assert arrange(["composition.score", "level_shot", "exposure"], "low-first") == (
        "exposure",
        "level_shot",
        "composition.score",
    )


def test_an_unknown_slot_is_refused() -> None:
    with pytest.raises(KeyError):
        arrange(["sharpness"])
