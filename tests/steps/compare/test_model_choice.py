"""The model's own choice between two photos equals that of a plain loop over transformers, in both orders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import photos
from PIL import Image
from plain_asking import PlainModel
from small_models import CORPUS, NAMED, tokenizer, write

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.domain.prompts import PAIR_CHOICES, PAIR_QUESTION
from realqa_cli.errors import ItemError, ModelError
from realqa_cli.io.pairs import PhotoPair, pair_of_paths
from realqa_cli.steps.compare.model_choice import ChoiceSettings, ModelComparer, choice_fields

SENTENCE = "The image with the better quality is the {} image."


def files(folder: Path) -> list[str]:
    names = []
    for i, image in enumerate(photos()[:4]):
        names.append(str(folder / f"{i}.png"))
        image.save(names[-1])
    return names


def small(folder: Path, family: str) -> Path:
    corpus = [*CORPUS, *(SENTENCE.format(word) for word in PAIR_CHOICES for _ in range(50))]
    named: dict[str, Any] = {"model_specific_special_tokens": NAMED[family]} if family in NAMED else {}
    return write(folder, family, words=tokenizer(vocabulary=900, corpus=corpus, **named))


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("choice") / "model", request.param)


def compared(folder: Path, pairs: list[PhotoPair], **settings: Any) -> list[dict[str, Any]]:
    return [*ModelComparer(ChoiceSettings(model=str(folder), **settings)).records(pairs)]


def test_the_probabilities_are_those_of_a_plain_loop(folder: Path, tmp_path: Path) -> None:
    names, plain = files(tmp_path), PlainModel(folder)
    pairs = [pair_of_paths(names[i], names[j]) for i, j in ((0, 1), (2, 3), (3, 0))]
    for pair, record in zip(pairs, compared(folder, pairs), strict=True):
        assert record["error"] is None
        a, b = (Image.open(name) for name in (pair.a.name, pair.b.name))
        orders = [
            plain.choice(order, PAIR_QUESTION.text, PAIR_QUESTION.prefix, [*PAIR_CHOICES], PAIR_QUESTION.end)
            for order in ([a, b], [b, a])
        ]
        first = [np.exp(one) / (np.exp(one) + np.exp(two)) for one, two in orders]
        assert record["p_a_shown_first"] == pytest.approx(first[0], abs=1e-3)
        assert record["p_a_shown_second"] == pytest.approx(1 - first[1], abs=1e-3)
        assert record["p_a_better"] == pytest.approx((first[0] + 1 - first[1]) / 2, abs=1e-3)
        assert record["position_bias"] == pytest.approx((first[0] + first[1]) / 2 - 0.5, abs=1e-3)
        assert record["mass"] == pytest.approx(np.mean([np.exp(order).sum() for order in orders]), abs=1e-3)


def test_exchanged_photos_have_the_exchanged_probability_and_the_same_bias(folder: Path, tmp_path: Path) -> None:
    names = files(tmp_path)
    one, other = compared(folder, [pair_of_paths(names[0], names[1]), pair_of_paths(names[1], names[0])], batch_size=1)
    assert one["p_a_better"] == pytest.approx(1 - other["p_a_better"], abs=1e-5)
    assert one["position_bias"] == pytest.approx(other["position_bias"], abs=1e-5)


def test_a_photo_that_cannot_be_opened_is_an_error_of_its_pair_alone(folder: Path, tmp_path: Path) -> None:
    names = files(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    pairs = [pair_of_paths(names[0], str(tmp_path / "broken.png")), pair_of_paths(names[0], names[1])]
    broken, sound = compared(folder, pairs)
    assert broken["error"]["type"] == "unsupported"
    assert broken.keys() == sound.keys()
    assert broken["p_a_better"] is None
    assert sound["error"] is None


@pytest.mark.parametrize("family", ["qwen3_5", "internvl", "llava_onevision", "gemma3"])
def test_other_families_of_several_photos_see_both(family: str, tmp_path: Path) -> None:
    """The choice is that of one plain pass over the whole text, and depends on each of the photos."""
    names = files(tmp_path)
    pairs = [pair_of_paths(names[0], names[1]), pair_of_paths(names[0], names[2]), pair_of_paths(names[3], names[1])]
    records = compared(small(tmp_path / "model", family), pairs, batch_size=1)
    assert [record["error"] for record in records] == [None] * 3
    assert len({record["p_a_shown_first"] for record in records}) == 3


def test_the_backend_without_torch_chooses_as_the_other_one() -> None:
    source = models.find("realqa-tiny")
    pair = tuple(photos()[:2])
    prompts = [Prompt(PAIR_QUESTION.text, order, PAIR_QUESTION.prefix) for order in (pair, pair[::-1])]
    found = [
        backends.load(name, source, LoadOptions(max_pixels=20_000)).log_probs(prompts, [*PAIR_CHOICES], " image.")
        for name in ("onnx", "hf")
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_a_model_of_one_photo_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="takes one photo in a question"):
        ModelComparer(ChoiceSettings(model=str(small(tmp_path / "model", "llava"))))


def test_the_bundled_model_says_that_it_was_trained_on_one_photo() -> None:
    with pytest.raises(ModelError, match="trained on questions about one photo"):
        ModelComparer(ChoiceSettings())


def test_choices_of_probability_zero_are_an_error() -> None:
    nothing = np.array([[-1.0, -2.0], [-np.inf, -np.inf]])
    with pytest.raises(ItemError, match="the probability zero"):
        choice_fields(nothing)
    p_a_better, _ = choice_fields(np.array([[-1.0, -np.inf], [-np.inf, -3.0]]))
    assert p_a_better == pytest.approx(1)
