"""Asking on about the same photos: the same answers as from scratch, and only new text is run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from brute_force import direct_prompts, load, photos
from made_clips import clip
from made_videos import picture
from PIL import Image
from small_models import write

from realqa_cli import models
from realqa_cli.backends.base import Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.decoding.prefix_cache import PrefixCache
from realqa_cli.decoding.slots import FilledForm, fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.prompts import SLOTS, arrange, regular_form
from realqa_cli.media.video import VisualInput

CHOICES = arrange(key for key, slot in SLOTS.items() if not slot.free)
KINDS = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava", "qwen2_vl-merging", "llava-merging", "realqa-tiny"]
CLOSE = 1e-5


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    if request.param == "realqa-tiny":  # few pixels: the arithmetic is the same
        return load(models.path("realqa-tiny"), min_pixels=56 * 56, max_pixels=140 * 140)
    family, _, merging = request.param.partition("-")
    folder = write(tmp_path_factory.mktemp("recall") / request.param, family, merges_digits=bool(merging))
    return load(folder)


def attributes(backend: Any, images: list[Image.Image]) -> list[FilledForm]:
    questions = [Prompt.about(image, prompts.MIX_QUESTION) for image in images]
    return fill_form(backend, questions, regular_form(CHOICES), prompts.REGULAR_END)


def assert_alike(found: list[FilledForm], expected: list[FilledForm]) -> None:
    assert [answer.text for answer in found] == [answer.text for answer in expected]
    for one, other in zip(found, expected, strict=True):
        for key, filled in one.slots.items():
            assert filled.confidence == pytest.approx(other.slots[key].confidence, abs=CLOSE)


def test_a_batch_gets_the_labels_that_it_gets_without_a_memory(backend: HFBackend) -> None:
    memory = backend.prefix_cache()
    assert isinstance(memory, PrefixCache)
    assert_alike(attributes(memory, photos()[:4]), attributes(backend, photos()[:4]))


def test_every_probability_is_the_one_from_scratch(backend: HFBackend) -> None:
    """Another question, a longer answer, a shorter one, other photos, and the first again."""
    texts, (first, second, *others) = numerals(2, 1, 5), direct_prompts(photos()[:4])
    cot = [Prompt(prompts.COT_REGULAR_QUESTION, prompt.images, "1.2 Exposure: high") for prompt in (first, second)]
    longer = [replace(prompt, prefix=prompt.prefix + more) for prompt, more in zip(cot, (", and", ""), strict=True)]
    memory = backend.prefix_cache()
    for prompt in ([first, second], cot, longer, cot, others, [first, second], [second, first], [second]):
        found = np.exp(memory.log_probs(prompt, texts, "."))
        assert np.abs(found - np.exp(backend.log_probs(prompt, texts, "."))).max() < CLOSE


def test_forced_text_that_merges_with_what_follows_is_read_again(backend: HFBackend) -> None:
    """After "3" and "3.", and after numbers of other lengths in the same batch."""
    memory, both = backend.prefix_cache(), direct_prompts(photos()[:2])
    for ends in (("", ""), ("3", "3"), ("3.", "3."), ("3", "12.4"), ("3.98, ", "4"), ("", "4.")):
        prompt = [replace(prompt, prefix=prompt.prefix + end) for prompt, end in zip(both, ends, strict=True)]
        found = np.exp(memory.log_probs(prompt, ["1", "2", "9"], "x"))
        assert np.abs(found - np.exp(backend.log_probs(prompt, ["1", "2", "9"], "x"))).max() < CLOSE


@pytest.fixture
def qwen(tmp_path: Path) -> HFBackend:
    return load(write(tmp_path / "model"))


class Counted:
    """The sizes of what goes through a model."""

    def __init__(self, backend: HFBackend) -> None:
        self.tokens: list[int] = []
        self.photos = 0
        model = backend.model
        model.register_forward_pre_hook(self._text, with_kwargs=True)
        model.model.visual.register_forward_pre_hook(self._seen)

    def _text(self, module: Any, arguments: Any, named: dict[str, Any]) -> None:
        self.tokens.append(named["input_ids"].shape[1])

    def _seen(self, module: Any, arguments: Any) -> None:
        self.photos += 1


def test_photos_and_the_question_go_through_the_model_once(qwen: HFBackend) -> None:
    counted = Counted(qwen)
    attributes(qwen.prefix_cache(), photos()[:3])
    first, *others = counted.tokens
    assert counted.photos == 1
    assert len(others) == len(CHOICES) - 1
    assert max(others) < first


def test_a_second_question_about_a_photo_costs_the_question(qwen: HFBackend) -> None:
    counted, memory = Counted(qwen), qwen.prefix_cache()
    picture_of_noise = photos()[2]
    memory.log_probs([Prompt(prompts.DIRECT_QUESTION, (picture_of_noise,))], ["yes", "no"], ".")
    memory.log_probs([Prompt(prompts.COT_REGULAR_QUESTION, (picture_of_noise,))], ["yes", "no"], ".")
    assert counted.photos == 1
    (words,) = qwen.tokens([prompts.COT_REGULAR_QUESTION])
    assert counted.tokens[1] <= len(words) + 20


def test_after_a_failure_it_starts_again_from_nothing(qwen: HFBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, both = qwen.prefix_cache(), direct_prompts(photos()[:2])
    expected = qwen.log_probs(both, ["1", "2"], ".")
    memory.log_probs(both, ["1", "2"], ".")
    with monkeypatch.context() as patch:
        patch.setattr(qwen.model, "forward", _fails)
        with pytest.raises(torch.OutOfMemoryError):
            memory.log_probs([replace(prompt, prefix=prompt.prefix + "more") for prompt in both], ["1", "2"], ".")
    assert np.abs(memory.log_probs(both, ["1", "2"], ".") - expected).max() < CLOSE


def _fails(*_: Any, **__: Any) -> Iterator[None]:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_videos_are_remembered_too(qwen: HFBackend) -> None:
    visual_inputs: list[VisualInput] = [clip(4), picture(1), clip(24, pace=10)]
    questions = [Prompt.about(visual_input, prompts.MIX_QUESTION) for visual_input in visual_inputs]
    form = regular_form(CHOICES)
    found = fill_form(qwen.prefix_cache(), questions, form, prompts.REGULAR_END)
    assert_alike(found, fill_form(qwen, questions, form, prompts.REGULAR_END))


def test_free_text_is_what_the_backend_writes(qwen: HFBackend) -> None:
    form = regular_form(("composition.reason", "composition.score"))
    questions = [Prompt.about(photo, prompts.MIX_QUESTION) for photo in photos()[:2]]
    found = fill_form(qwen.prefix_cache(), questions, form, prompts.REGULAR_END)
    expected = fill_form(qwen, questions, form, prompts.REGULAR_END)
    assert [answer.text for answer in found] == [answer.text for answer in expected]


def test_a_model_whose_attention_takes_no_mask_has_none(qwen: HFBackend, monkeypatch: Any) -> None:
    monkeypatch.setattr(qwen, "takes_mask", lambda: False)
    assert qwen.prefix_cache() is qwen


def test_the_bundled_model_labels_the_sample_photos_as_before(photo_files: list[Path]) -> None:
    tiny = load(models.path("realqa-tiny"), max_pixels=50_176)
    samples = [Image.open(file).convert("RGB") for file in photo_files[:4]]
    assert_alike(attributes(tiny.prefix_cache(), samples), attributes(tiny, samples))
