"""The chain of thought in prose: it holds every value, follows the levels, and is not a template."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_attributes import FULL, labels

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS
from realqa_cli.domain.prompts import slot_texts
from realqa_cli.steps.build_cot import phrasing
from realqa_cli.steps.build_cot.critique import compose, lost

numerals = st.integers(100, 499).map(lambda n: f"{n / 100:.2f}")


@given(labels, numerals, st.sampled_from(["high-first", "low-first"]), st.text(max_size=5))
def test_the_text_holds_every_value_and_ends_with_the_score(
    label: dict[str, Any], numeral: str, order: Any, seed: str
) -> None:
    texts = slot_texts(label)
    text = compose(texts, numeral, order=order, seed=seed)
    assert lost(text, texts, numeral) == []
    assert text.endswith(f"The final score is <{numeral}>.")
    assert re.findall("<([^<>]*)>", text) == [numeral]
    assert "{" not in re.sub(r"[^\x20-\x7e]", "", text) or any("{" in value for value in texts.values())
    for key, value in texts.items():
        if prompts.SLOTS[key].free and not key.endswith(".reason"):
            assert value.lower() in text.lower()


@given(labels, numerals)
def test_a_text_about_other_values_is_noticed(label: dict[str, Any], numeral: str) -> None:
    label = {key: value for key, value in label.items() if ATTRIBUTES[key].kind == "choice"}
    texts = slot_texts(label)
    text = compose(texts, numeral)
    for key in texts:
        for option in ATTRIBUTES[key].options:
            phrase = ATTRIBUTES[key].phrase(option)
            if list(texts.values()).count(phrase) < 1:
                assert lost(text, texts | {key: phrase}, numeral), (key, phrase, text)
    assert lost(text, texts, "5.00") == ["final score 5.00"]


def test_a_class_inside_a_longer_one_does_not_count() -> None:
    end = prompts.final_sentence("3.98")
    texts = {"subject_clutter": "cluttered", "level_shot": "yes", "composition.score": "7"}
    said = f"It is moderately cluttered, uncluttered, not a level shot, 7.5, 17, 4/7 and 7/10. {end}"
    assert lost(said, texts, "3.98") == ["cluttered", "a level shot"]
    assert lost(f"The subject is cluttered in a level shot, 1 out of 7. {end}", texts, "3.98") == ["7"]
    twice = texts | {"background_clutter": "cluttered"}
    assert "cluttered" in lost(f"Cluttered, a level shot, 7. {end}", twice, "3.98")


def test_levels_come_in_their_order() -> None:
    texts = slot_texts(FULL)
    for order, names in (("high-first", ["high", "middle", "low"]), ("low-first", ["low", "middle", "high"])):
        for seed in map(str, range(20)):
            text = compose(texts, "3.98", order=order, seed=seed)  # type: ignore[arg-type]
            places = {
                "high": text.index("7"),
                "middle": text.index("fully complete"),
                "low": text.index("medium saturation"),
            }
            assert sorted(places, key=places.__getitem__) == names


def test_the_same_seed_gives_the_same_text_and_other_seeds_give_others() -> None:
    texts = slot_texts(FULL)
    assert compose(texts, "3.98", seed="1") == compose(dict(reversed(texts.items())), "3.98", seed="1")
    made = {compose(texts, "3.98", seed=str(seed)) for seed in range(300)}
    assert len(made) == 300
    sentences = {sentence for text in made for sentence in re.split(r"(?<=\.) ", text)}
    assert len(sentences) > 400


def test_there_are_dozens_of_clauses_for_every_level() -> None:
    for level, members in LEVELS.items():
        patterns = [
            pattern
            for attribute in members
            for name, group in (phrasing.CLASSES | phrasing.SCORES).items()
            if name.partition(".")[0] == attribute.key
            for pattern in group
        ]
        assert len(patterns) >= 24, level
        assert len(set(patterns)) >= len(patterns) - 6  # image and exposure share "the photo is ..."


@given(labels, numerals, st.text(max_size=3))
def test_sentences_begin_with_capitals_and_have_no_loose_ends(label: dict[str, Any], numeral: str, seed: str) -> None:
    for value in label.values():
        if isinstance(value, dict):
            for part in ("reason", "subject", "background"):
                value.pop(part, None)
    text = compose(slot_texts(label), numeral, seed=seed)
    for sentence in re.split(r"(?<=\.) ", text):
        assert re.match(r"[A-Z]", sentence), text
        assert sentence.endswith("."), text
    for flaw in ("  ", "..", " ,", ",,", ": .", " a u", " an m", " an c", "{", "}", " is is "):
        assert flaw not in text


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("The horizon is straight.", "horizon is straight"),
        ("balance", "balance"),
        ("Good! Nice light.", "Good! Nice light"),
    ],
)
def test_reasons_of_any_form_are_put_next_to_their_score(reason: str, expected: str) -> None:
    texts = slot_texts({"composition": {"score": 7, "reason": reason}})
    for seed in map(str, range(30)):
        text = compose(texts, "3.98", seed=seed)
        assert expected in text
        assert ".." not in text
        assert "!." not in text


def test_a_video_is_called_a_video() -> None:
    texts = slot_texts(FULL)
    for seed in map(str, range(30)):
        text = compose(texts, "3.98", subject="video", seed=seed)
        assert not re.search(r"\b(image|photo|picture)\b", text)
