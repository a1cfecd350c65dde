"""The questions about attributes that a model met in training are those that labelling asks."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_datasets import photo
from process import Realqa
from small_models import write
from small_training import _one_thread  # noqa: F401  (pytest finds the fixture by its name)

from realqa_cli.decoding.attribute_form import AttributeQuestion, questions_of
from realqa_cli.domain import prompts
from realqa_cli.domain.parsing import granularity_of, topic_of
from realqa_cli.inference.teacher_forcing.attribute_questions import attribute_questions, slots_described
from realqa_cli.inference.teacher_forcing.conversations import read_conversations
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.self_label.self_label import LabelSettings, SelfLabeler

WHOLE = "List the image attributes, please."
HIGH = "What about composition and appeal?"
CLUTTER = "Is the subject (a {thing}) cluttered?"
MIX = "1.1 Composition Score: 6, 1.2 Eye-Catching Score: 5\n3.1 Image Clarity: very clear, 3.2 Exposure: overexposed."
SETS = {
    "mix": [(WHOLE, MIX)],
    "levels": [(HIGH, "1.1 Composition Score: 6, 1.2 Eye-Catching Score: 5."), ("And light?", "3.1 Exposure: low, 3.2 Image Clarity: very clear.")],
    "attributes": [
        (CLUTTER.format(thing="cat"), "Subject Clutter: cluttered."),
        (CLUTTER.format(thing="bed"), "Subject Clutter: uncluttered."),
        ("Is it sharp?", "Image Clarity: very clear."),
    ],
}  # fmt: skip


def release(folder: Path, exchanges: list[tuple[str, str]]) -> Path:
    """A release whose questions are not ours, with one conversation that states a score."""
    photo(folder / "images" / "a.jpg")
    lines: list[dict[str, Any]] = [
        {
            "messages": [
                {"role": "user", "content": f"<image>{question}"},
                {"role": "assistant", "content": answer},
            ],
            "images": ["images/a.jpg"],
        }
        for question, answer in [*exchanges, (prompts.DIRECT_QUESTION, "The score of this image is 6.59.")]
    ]
    (folder / "realqa_train.json").write_text(json.dumps(lines))
    return folder


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mix", {"mix": WHOLE}),
        ("levels", {"high": HIGH, "low": "And light?"}),
        ("attributes", {"subject_clutter": "Is the subject cluttered?", "image_clarity": "Is it sharp?"}),
    ],
)
def test_a_model_trained_on_the_release_is_asked_its_questions(
    kind: str, expected: dict[str, str], realqa_here: Realqa, tmp_path: Path
) -> None:
    data = release(tmp_path / "RealQA", SETS[kind])
    built = tmp_path / "cold-start.jsonl"
    ran = realqa_here("build-cot", data, "--dataset", "realqa", "--stage", "attributes", "-o", built)
    assert f"{len(SETS[kind])} {kind}" in ran.err
    base, trained = write(tmp_path / "base"), tmp_path / "trained"
    small = ("--max-steps", "1", "--device", "cpu", "--lora-rank", "2", "--min-pixels", "3136", "--max-pixels", "7056")
    assert realqa_here("train", built, "--model", base, "--output", trained, *small).code == 0
    config = json.loads((trained / "realqa.json").read_text())
    assert config["questions"] == expected
    labeller = SelfLabeler(LabelSettings(model=str(trained)))
    asked = labeller.manifest.settings["prompt"]["question"]
    assert ([asked] if isinstance(asked, str) else sorted(asked)) == sorted(expected.values())
    ran = realqa_here("self-label", data / "images", "--model", trained)
    (record,) = ran.records
    described = {"mix": {"composition", "eye_catching", "image_clarity", "exposure"}}
    described |= {"levels": described["mix"], "attributes": {"subject_clutter", "image_clarity"}}
    assert set(record["attributes"]) == set(record["confidence"]) == described[kind]


def test_training_on_the_release_itself_learns_the_same(tmp_path: Path) -> None:
    data = release(tmp_path / "RealQA", SETS["mix"])
    conversations = read_conversations([data / "realqa_train.json"])
    assert attribute_questions(conversations) == {"mix": WHOLE}
    assert slots_described(conversations) == (
        "composition.score", "eye_catching.score", "image_clarity", "exposure",
    )  # fmt: skip


def test_one_question_for_all_is_preferred_and_levels_must_cover_the_form() -> None:
    form = ("composition.score", "eye_catching.score", "exposure")
    both = ScorerConfig(questions={"mix": WHOLE, "high": HIGH, "low": "And light?"})
    assert questions_of(both, form) == [AttributeQuestion(WHOLE, form)]
    levels = ScorerConfig(questions={"high": HIGH, "low": "And light?"})
    assert [one.text for one in questions_of(levels, form)] == [HIGH, "And light?"]
    part = ScorerConfig(questions={"high": HIGH})
    assert questions_of(part, form) == [AttributeQuestion(prompts.MIX_QUESTION, form)]
    single = ScorerConfig(questions={"composition": "Good?", "eye_catching": "Catchy?", "exposure": "Bright?"})
    (first, *_) = questions_of(single, form)
    assert first == AttributeQuestion("Good?", ("composition.score",), numbered=False)
    assert first.form[0] == "Composition Score: "
    assert questions_of(None, form) == [AttributeQuestion(prompts.MIX_QUESTION, form)]


@pytest.mark.parametrize(
    ("attributes", "topic", "granularity"),
    [
        ([], None, "attributes"),
        (["exposure"], "exposure", "attributes"),
        (["exposure", "saturation"], "low", "levels"),
        (["exposure", "composition"], "mix", "mix"),
    ],
)
def test_the_topic_of_an_answer(attributes: list[str], topic: str | None, granularity: str) -> None:
    assert topic_of(attributes) == topic
    assert granularity_of(topic) == granularity
