"""Slots: answers that cannot be malformed, chosen as plain forward passes would choose."""

from collections.abc import Sequence

import numpy as np
import pytest
from brute_force import brute_force, photos
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_models import write

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import Backend, LoadOptions, Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.decoding.slots import fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.numerals import Floats
from realqa_cli.domain.prompts import SLOTS, arrange, regular_form

CHOICES = arrange(key for key, slot in SLOTS.items() if not slot.free)


class Scripted(Backend):
    """A backend that prefers what the script says, by slot label, and records the prefixes."""

    def __init__(self, script: dict[str, str], written: str = "") -> None:
        self.script, self.written = script, written
        self.prefixes: list[str] = []

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        self.prefixes += [prompt.prefix for prompt in batch]
        label = batch[0].prefix.rsplit(": ", 1)[0].rsplit(" ", 1)[-1]
        wanted = self.script.get(label, continuations[0])
        return np.log(
            [[0.6 if text == wanted else 0.4 / (len(continuations) - 1) for text in continuations]] * len(batch)
        )

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        return [prompt.prefix + self.written + (stop or "") + " and more" for prompt in batch]

    def settings(self) -> dict[str, object]:
        return {}

    def environment(self) -> dict[str, object]:
        return {}


def test_fixed_text_is_forced_and_slots_hold_the_likeliest_option() -> None:
    backend = Scripted({"Exposure": "underexposed", "Saturation": "high saturation"})
    (answer,) = fill_form(backend, [Prompt("?")], regular_form(("exposure", "saturation")), ".")
    assert answer.text == "1.2 Exposure: underexposed, 1.3 Saturation: high saturation"
    assert answer.slots["saturation"].value == "high"
    assert answer.slots["saturation"].confidence == pytest.approx(0.6)


def test_each_slot_sees_what_was_chosen_before_it() -> None:
    backend = Scripted({"Exposure": "underexposed"})
    fill_form(backend, [Prompt("?", prefix="So: ")], regular_form(("exposure", "saturation")), ".")
    assert backend.prefixes == ["So: 1.2 Exposure: ", "So: 1.2 Exposure: underexposed, 1.3 Saturation: "]


def test_free_text_ends_where_the_form_goes_on() -> None:
    backend = Scripted({}, written="calm \n lines")
    (answer,) = fill_form(backend, [Prompt("?")], regular_form(("composition.reason", "composition.score")), ".")
    assert answer.text == "1.1 Reason for Composition Score: calm lines, 1.2 Composition Score: 1"
    assert answer.slots["composition.reason"].confidence is None


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    folder = write(tmp_path_factory.mktemp("slots") / "model")
    found = backends.load("hf", models.find(str(folder)), LoadOptions())
    assert isinstance(found, HFBackend)
    return found


def test_every_choice_is_that_of_plain_forward_passes_over_whole_options(backend: HFBackend) -> None:
    prompt = Prompt(prompts.MIX_QUESTION, (photos()[0],))
    (answer,) = fill_form(backend, [prompt], regular_form(CHOICES), prompts.REGULAR_END)
    prefix = ""
    for part in regular_form(CHOICES):
        if isinstance(part, str):
            prefix += part
            continue
        # "1" begins "10": both are weighed with what follows them
        end = "," if part.key == "composition.score" else "\n" if part.key == "eye_catching.score" else ""
        plain = brute_force(
            backend, Prompt(prompt.question, prompt.images, prefix), [text + end for text in part.options]
        )
        chosen = answer.slots[part.key]
        probs = np.exp(plain) / np.exp(plain).sum()
        median = int((np.cumsum(probs) < 0.5).sum())
        index = median if part.attribute.kind == "rating" and probs.max() < 0.5 else int(np.argmax(probs))
        assert chosen.text == [*part.options][index]
        assert chosen.confidence == pytest.approx(probs[index], abs=1e-4)
        prefix += chosen.text
    assert answer.text == prefix


def test_a_batch_is_labelled_as_its_photos_are_alone(backend: HFBackend) -> None:
    batch = [Prompt(prompts.MIX_QUESTION, (photo,)) for photo in photos()[:4]]
    form = regular_form(CHOICES)
    together = fill_form(backend, batch, form, prompts.REGULAR_END)
    alone = [fill_form(backend, [prompt], form, prompts.REGULAR_END)[0] for prompt in batch]
    assert [answer.text for answer in together] == [answer.text for answer in alone]


@given(seed=st.integers(0, 2**16), height=st.integers(28, 160), width=st.integers(28, 160))
@settings(max_examples=12, deadline=None)
def test_no_weights_and_no_photo_can_malform_an_answer(backend: HFBackend, seed: int, height: int, width: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    head = backend.model.get_output_embeddings().weight
    kept = head.detach().clone()
    with torch.no_grad():
        head.normal_(0, 2, generator=generator)
    try:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        prompt = Prompt(prompts.MIX_QUESTION, (Image.fromarray(pixels),))
        (answer,) = fill_form(backend, [prompt], regular_form(CHOICES), prompts.REGULAR_END)
    finally:
        with torch.no_grad():
            head.copy_(kept)
    assert tuple(answer.slots) == CHOICES
    for key, filled in answer.slots.items():
        attribute = ATTRIBUTES[key.partition(".")[0]]
        assert attribute.code(filled.value) == attribute.code(
            filled.text if attribute.kind == "choice" else int(filled.text)
        )
        assert 0 < (filled.confidence or 0) <= 1


class Spread(Scripted):
    """Gives the ten ratings these probabilities."""

    def __init__(self, *probs: float) -> None:
        super().__init__({})
        self.probs = probs

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        return np.log(np.array([self.probs] * len(batch)) * 0.5)


@pytest.mark.parametrize(
    ("probs", "rating", "confidence"),
    [
        ((0.19, 0.01, 0.01, 0.01, 0.1, 0.16, 0.18, 0.18, 0.08, 0.08), 7, 0.18),
        ((0.6, 0.01, 0.01, 0.01, 0.1, 0.05, 0.05, 0.05, 0.06, 0.06), 1, 0.6),
    ],
)
def test_a_rating_without_a_majority_is_the_median(probs: tuple[float, ...], rating: int, confidence: float) -> None:
    (answer,) = fill_form(Spread(*probs), [Prompt("?")], regular_form(("composition.score",)), ".")
    assert answer.slots["composition.score"].value == rating
    assert answer.slots["composition.score"].confidence == pytest.approx(confidence)
