"""Presets give exactly the scores of a plain loop over transformers that asks as the authors' scripts do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from brute_force import photos
from PIL import Image
from plain_asking import PlainModel
from small_models import CORPUS, TEMPLATE, tokenizer, write

from realqa_cli import Scorer
from realqa_cli.models.presets import read_preset

FIVE = {"excellent": 5.0, "good": 4.0, "fair": 3.0, "poor": 2.0, "bad": 1.0}
RATE = "How would you rate the {} of this image?"
THOUGHT = "<think>It is sharp.</think>"
VISION = "<|vision_start|><|image_pad|><|vision_end|>"
NUMBERED = TEMPLATE.replace(VISION, "{% if add_vision_id %}Picture 1: {% endif %}" + VISION, 1)


def user(question: str, *, photo_last: bool = False) -> dict[str, Any]:
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    return {"role": "user", "content": parts[::-1] if photo_last else parts}


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen3_5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model whose tokenizer has the words and the codes as single tokens."""
    codes = [f"{first}{chr(97 + i)}\n" for first in "acde" for i in range(26)] * 4
    corpus = [*CORPUS, *(f"The quality of the image is {word}." for word in FIVE for _ in range(50)), *codes]
    words = tokenizer(vocabulary=900, corpus=corpus)
    return write(tmp_path_factory.mktemp("presets") / "model", request.param, words=words)


@pytest.fixture(scope="module")
def plain(folder: Path) -> PlainModel:
    return PlainModel(folder)


def scores(folder: Path, images: list[Image.Image], **settings: Any) -> list[float]:
    records = Scorer(str(folder), backend="hf", **settings).score(images)
    assert [record["error"] for record in records] == [None] * len(images)
    return [record["score"] for record in records]


@pytest.mark.parametrize(
    ("preset", "photo_last", "values"),
    [("q-align", True, FIVE), ("deqa", True, FIVE), ("q-realign", False, {w: (v - 1) / 4 for w, v in FIVE.items()})],
)
def test_words_are_weighted_as_by_the_authors(
    folder: Path, plain: PlainModel, preset: str, photo_last: bool, values: dict[str, float]
) -> None:
    images = photos()[:3]
    messages = [user(RATE.format("quality"), photo_last=photo_last)]
    expected = [plain.weighted(messages, each, "The quality of the image is", values, lead=" ") for each in images]
    assert np.ptp(expected) > 1e-3, "the model is to have preferences"
    assert scores(folder, images, preset=preset) == pytest.approx(expected, abs=1e-4)


def test_the_codes_of_unipercept_are_weighted_from_0_to_100(folder: Path, plain: PlainModel) -> None:
    preset = read_preset("unipercept")
    image = photos()[0]
    expected = plain.weighted([user(next(iter(preset.questions.values())).prompt)], image, "", preset.words)
    assert scores(folder, [image], preset="unipercept") == pytest.approx([expected], abs=1e-3)


def test_ones_own_question_words_and_start_of_the_answer_replace_the_presets(folder: Path, plain: PlainModel) -> None:
    image, words = photos()[1], {"good": 10.0, "bad": 0.0}
    expected = plain.weighted([user("Is it good?")], image, "It is", words, lead=" ")
    found = scores(folder, [image], prompt="Is it good?", prefix="It is ", levels=words)
    assert found == pytest.approx([expected], abs=1e-4)


def taught(folder: Path, answers: dict[str, str], **template: Any) -> Path:
    """The model after a few steps of training to answer the questions (a role's message each) so."""
    model = PlainModel(folder)
    optimizer = torch.optim.Adam(model.model.parameters(), lr=5e-3)
    for _ in range(45):
        for messages, answer in answers.items():
            inputs = model.inputs(json.loads(messages), photos()[0], answer + "<|im_end|>", **template)
            before = model.inputs(json.loads(messages), photos()[0], "", **template)["input_ids"].shape[1]
            labels = inputs["input_ids"].clone()
            labels[:, :before] = -100
            model.model(**inputs, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.model.save_pretrained(folder)
    return folder


def reasoner(folder: Path, preset: str, answer: str, **template: Any) -> tuple[Path, list[dict[str, Any]]]:
    own = read_preset(preset)
    system = [{"role": "system", "content": [{"type": "text", "text": own.system}]}] if own.system else []
    messages = [*system, user(own.questions["quality"].prompt, photo_last=own.photo == "last")]
    words = tokenizer(vocabulary=700, corpus=[*CORPUS, answer * 9, own.questions["quality"].prompt * 9])
    words.chat_template = NUMBERED
    write(folder, "qwen2_5_vl", words=words, gain=1.0)
    return taught(folder, {json.dumps(messages): answer}, **template), messages


@pytest.mark.parametrize(
    ("preset", "answer", "number", "template"),
    [
        ("visualquality-r1", THOUGHT + "<answer>4.2</answer>", "4.2", {"add_vision_id": True}),
        ("q-insight", THOUGHT + '<answer>{"rating": 3.75}</answer>', "3.75", {}),
    ],
)
def test_a_number_is_read_exactly_after_the_models_own_thought(
    tmp_path: Path, preset: str, answer: str, number: str, template: dict[str, Any]
) -> None:
    folder, messages = reasoner(tmp_path / "model", preset, answer, **template)
    plain, image, end = PlainModel(folder), photos()[0], read_preset(preset).questions["quality"].end
    written = plain.answer(messages, image, 80, **template)
    assert written == answer, "the model is to have learnt its answer"
    before = written.partition(number)[0]
    scorer = Scorer(str(folder), backend="hf", preset=preset, distribution=True)
    (record,) = scorer.score([image])
    assert (record["method"], record["decode"], record["mode"]) == ("think", "exact", float(number))
    assert record["text"] == before + number + end
    found = {value: share * record["mass"] for value, share in record["distribution"]}
    spellings = {4.2: ["4.2", "4.20"], 3.75: ["3.75"], 2.0: ["2", "2.0", "2.00"]}
    for value in (float(number), 2.0):
        logs = [plain.log_prob(messages, image, before, text + end, **template) for text in spellings[value]]
        assert found.get(value, 0.0) == pytest.approx(np.exp(logs).sum(), abs=1e-4)
    assert record["samples"] is None

    (greedy,) = Scorer(str(folder), backend="hf", preset=preset, decode="greedy").score([image])
    assert (greedy["score"], greedy["decode"], greedy["mass"]) == (float(number), "greedy", None)
    check_samples(folder, preset, image)


def check_samples(folder: Path, preset: str, image: Image.Image) -> None:
    """The record says how many thoughts were drawn, and the same seed gives the same score at any batch size."""
    settings: dict[str, Any] = {"backend": "hf", "preset": preset, "samples": 2, "seed": 5}
    alone = Scorer(str(folder), **settings, batch_size=1).score([image])[0]
    among = Scorer(str(folder), **settings, batch_size=2).score([photos()[1], image])[1]
    assert alone["samples"] == 2
    assert len(alone["thoughts"]) == 2
    assert among["thoughts"] == alone["thoughts"]
    assert among["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_an_answer_without_the_tag_is_an_error_and_never_a_made_up_score(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text(
        "method = 'think'\ntag = '<answer>'\nmax_tokens = 4\nnumerals = 'any'\n[questions.quality]\nprompt = 'How good?'\n"
    )
    (record,) = Scorer(str(folder), backend="hf", preset_file=file).score([photos()[0]])
    assert record["score"] is None
    assert record["error"]["type"] == "unparsed"
    assert "no number follows '<answer>'" in record["error"]["message"]
