"""Videos through the Qwen-VL families: pairs of frames, tokens of time, and the same exactness as for photos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_clips import clip
from made_videos import picture
from PIL import Image
from small_models import write

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.prompts import DIRECT_END, DIRECT_PREFIX, DIRECT_QUESTION
from realqa_cli.media.video import Clip, VisualInput

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "realqa-tiny"]
TEXTS = numerals(2, 1, 5)


@pytest.fixture(scope="module", params=FAMILIES)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    if request.param == "realqa-tiny":  # few pixels: the arithmetic is the same
        return load(models.path("realqa-tiny"), min_pixels=56 * 56, max_pixels=140 * 140)
    return load(write(tmp_path_factory.mktemp("models") / request.param, request.param))


def load(folder: Path, **loading: Any) -> HFBackend:
    found = backends.load("hf", models.find(str(folder)), LoadOptions(**loading))
    assert isinstance(found, HFBackend)
    return found


def prompt_about(visual_input: VisualInput) -> Prompt:
    return Prompt.about(visual_input, DIRECT_QUESTION, DIRECT_PREFIX)


def log_probs(backend: HFBackend, *visual_inputs: VisualInput) -> np.ndarray:
    return backend.log_probs([prompt_about(visual_input) for visual_input in visual_inputs], TEXTS, DIRECT_END)


def plain(backend: HFBackend, visual_input: VisualInput, texts: list[str], *, own_positions: bool) -> np.ndarray:
    """Each continuation's log-probability from one plain forward pass over the whole text.

    own_positions: whether the model finds the positions of the tokens by itself.
    """
    prompt = prompt_about(visual_input)
    videos = int(prompt.video is not None)
    rendered = backend.processor.render(prompt.question, 1 - videos, videos) + prompt.prefix
    (bare,) = backend.processor.encode([rendered])
    found = []
    for text in texts:
        batch = backend.processor.batch([rendered + text], [prompt.visual_inputs])
        inputs: dict[str, Any] = dict(batch.inputs) | {"mm_token_type_ids": batch.token_types_B_T}
        if not own_positions:
            inputs["position_ids"] = batch.positions
        elif backend.model.config.model_type == "qwen2_5_vl" and isinstance(visual_input, Clip):
            inputs["second_per_grid_ts"] = [2 * visual_input.pace]
        with torch.inference_mode():
            logits = backend.model(input_ids=batch.ids_B_T, attention_mask=batch.mask_B_T.long(), **inputs).logits
        each = torch.log_softmax(logits[0, :-1].double(), dim=-1).gather(1, batch.ids_B_T[0, 1:, None])[:, 0]
        (whole,) = backend.processor.encode([rendered + text])
        assert whole[: len(bare)] == bare
        found.append(float(each[len(bare) - len(whole) :].sum()))
    return np.array(found)


@pytest.mark.parametrize("frames", [1, 3, 4])
def test_every_numeral_has_the_probability_of_plain_forward_passes(backend: HFBackend, frames: int) -> None:
    film = clip(frames, pace=0.1)  # short enough that no model's text begins before the film's end
    exact = dict(zip(TEXTS, log_probs(backend, film)[0], strict=True))
    expected = plain(backend, film, TEXTS[::6], own_positions=True)
    assert np.ptp(expected) > 1, "the model is to have preferences"
    assert np.abs(expected - [exact[text] for text in TEXTS[::6]]).max() < 1e-3


def test_so_it_has_after_a_film_that_is_longer_than_it_is_wide(backend: HFBackend) -> None:
    film = clip(24, pace=10)
    exact = dict(zip(TEXTS, log_probs(backend, film)[0], strict=True))
    expected = plain(backend, film, TEXTS[::6], own_positions=False)
    assert np.abs(expected - [exact[text] for text in TEXTS[::6]]).max() < 1e-3


def test_text_begins_after_all_of_the_film(backend: HFBackend) -> None:
    film = clip(24, pace=10)
    batch = backend.processor.batch([backend.processor.render(DIRECT_QUESTION, 0, 1)] * 2, [[film], [clip(2)]])
    assert batch.token_types_B_T is not None
    for row in range(2):
        shown = batch.token_types_B_T[row] == 2
        last = int(shown.nonzero().max())
        after = batch.positions[:, row, last + 1 :]
        assert int(after.min()) == int(batch.positions[:, row, : last + 1].max()) + 1
        assert (after.diff(dim=-1) == 1).all()


def test_seconds_reach_the_models_that_know_of_time(backend: HFBackend) -> None:
    quick, slow = log_probs(backend, clip(8, pace=0.25), clip(8, pace=2))
    knows = backend.model.config.model_type != "qwen2_vl"
    assert (np.abs(quick - slow).max() > 1e-3) == knows


def test_photos_and_films_in_one_batch_get_what_they_get_alone(backend: HFBackend) -> None:
    visual_inputs: list[VisualInput] = [
        clip(4),
        picture(1),
        clip(7, size=(64, 96)),
        picture(2, (90, 200)),
        clip(1),
        clip(4, seed=3),
    ]
    together = log_probs(backend, *visual_inputs)
    alone = np.concatenate([log_probs(backend, visual_input) for visual_input in visual_inputs])
    assert np.abs(together - alone).max() < 1e-4
    assert np.ptp(together, axis=0).max() > 1e-3, "different films are to get different answers"


def test_the_order_of_the_frames_counts(backend: HFBackend) -> None:
    film = clip(6)
    backwards = Clip(film.frames[::-1], film.times, film.seconds, film.decoded)
    forth, back = log_probs(backend, film, backwards)
    assert np.abs(forth - back).max() > 1e-4


def test_an_odd_last_frame_is_repeated(backend: HFBackend) -> None:
    film = clip(3)
    even = Clip((*film.frames, film.frames[-1]), (*film.times, film.times[-1]), film.seconds, 4)
    patches = [backend.processor.batch([backend.processor.render("", 0, 1)], [[each]]).inputs for each in (film, even)]
    for one, other in zip(patches[0].values(), patches[1].values(), strict=True):
        assert torch.equal(one, other)


def test_the_cached_way_gives_what_the_one_pass_gives(backend: HFBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    visual_inputs = clip(24, pace=10), picture(1), clip(3)
    one_pass = log_probs(backend, *visual_inputs)
    monkeypatch.setattr(backend, "takes_mask", lambda: False)
    assert np.abs(log_probs(backend, *visual_inputs) - one_pass).max() < 1e-4


def test_generation_writes_the_likeliest_tokens_by_the_same_positions(backend: HFBackend) -> None:
    film = clip(24, pace=10)
    prompt = prompt_about(film)
    (written,) = backend.generate([prompt], 2)
    words = backend.processor
    rendered = words.render(prompt.question, 0, 1) + prompt.prefix
    batch = words.batch([rendered], [prompt.visual_inputs])
    for _ in range(2):
        with torch.inference_mode():
            logits = backend.model(**batch.forward_inputs()).logits
        best = int(logits[0, -1].argmax())
        if best == words.tokenizer.eos_token_id:
            break
        batch = extended(batch, best)
    own = batch.ids_B_T[0, words.batch([rendered], [prompt.visual_inputs]).ids_B_T.shape[1] :]
    assert written == prompt.prefix + words.tokenizer.decode(own, skip_special_tokens=True)


def extended(batch: PromptBatch, token: int) -> PromptBatch:
    assert batch.token_types_B_T is not None
    return replace(
        batch,
        ids_B_T=torch.cat([batch.ids_B_T, torch.tensor([[token]])], dim=1),
        mask_B_T=torch.nn.functional.pad(batch.mask_B_T, (0, 1), value=True),
        positions=torch.cat([batch.positions, batch.positions[..., -1:] + 1], dim=-1),
        token_types_B_T=torch.nn.functional.pad(batch.token_types_B_T, (0, 1)),
    )


def test_two_frames_make_the_patches_of_qwen2_vls_own_layout() -> None:
    """By the definition: (T, H/2, W/2, 2, 2, channel, frame of the pair, 14, 14)."""
    prepares = load(models.path("realqa-tiny"), min_pixels=56 * 56, max_pixels=56 * 84).processor
    film = clip(4, size=(84, 56))
    inputs = prepares.batch([prepares.render("", 0, 1)], [[film]]).inputs
    assert inputs["video_grid_thw"].tolist() == [[2, 4, 6]]
    config = prepares.images  # type: ignore[attr-defined]
    pixels = np.stack([np.asarray(frame, np.float32) / 255 for frame in film.frames])
    pixels = ((pixels - config.image_mean) / config.image_std).transpose(0, 3, 1, 2)
    expected = pixels.reshape(2, 2, 3, 2, 2, 14, 3, 2, 14).transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
    found = inputs["pixel_values_videos"].numpy()
    assert np.abs(found - expected.reshape(48, -1)).max() < 1e-5


def test_a_film_of_one_still_frame_is_seen_as_its_photo_is() -> None:
    prepares = load(models.path("realqa-tiny")).processor
    still = picture(size=(448, 448))
    film = Clip((still, still), (0.0, 1.0), 2.0, 2)
    photo = prepares.batch([prepares.render("", 1)], [[still]]).inputs["pixel_values"]
    frames = prepares.batch([prepares.render("", 0, 1)], [[film]]).inputs["pixel_values_videos"]
    assert torch.equal(photo, frames)


def test_qwen3_reads_the_middle_of_each_pair_in_seconds(tmp_path: Path) -> None:
    prepares = load(write(tmp_path / "model", "qwen3_vl")).processor
    batch = prepares.batch([prepares.render("Rate.", 0, 1)], [[clip(5, pace=1.0)]])
    text = prepares.tokenizer.decode(batch.ids_B_T[0])
    pads = "<|video_pad|>" * 6
    shown = "".join(f"<{t} seconds><|vision_start|>{pads}<|vision_end|>" for t in ("0.5", "2.5", "4.0"))
    assert text == f"<|im_start|>user\n{shown}Rate.<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_without_a_place_for_videos_takes_none(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|video_pad|>", ""))
    assert load(folder).frame_transform() is None


def test_other_families_take_none(tmp_path: Path) -> None:
    llava = load(write(tmp_path / "model", "llava"))
    assert llava.frame_transform() is None
    with pytest.raises(ValueError, match="photos only"):
        log_probs(llava, clip(2))


def test_frames_are_fitted_once_and_share_the_budget_of_a_video() -> None:
    prepares = load(models.path("realqa-tiny")).processor
    fit = prepares.frame_transform()
    assert fit is not None
    frame = picture(size=(1920, 1080))
    few, many = fit(frame, 8), fit(frame, 768)
    assert 200_704 <= few.width * few.height <= 401_408
    assert many.width * many.height * 768 <= 2 * 16_384 * 28 * 28
    assert fit(few, 8).tobytes() == few.tobytes()
    assert isinstance(few, Image.Image)
