"""Patches without the image processor's detours, and the vision tower's embedding as a matrix product."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from brute_force import direct_prompts, load, photos
from small_models import write

from realqa_cli import models
from realqa_cli.backends.hf.fused_ops import fuse_operations
from realqa_cli.backends.patches import Patcher
from realqa_cli.domain.numerals import numerals
from realqa_cli.media.photo import open_photo


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "realqa-tiny"])
def test_patches_are_the_image_processors_to_the_bit(family: str, tmp_path: Path, photo_files: list[Path]) -> None:
    from transformers import AutoImageProcessor

    folder = models.path(family) if family == "realqa-tiny" else write(tmp_path / "model", family)
    images = AutoImageProcessor.from_pretrained(folder, backend="pil")
    assert Patcher.serves(images)
    bounds = {"min_pixels": 56 * 56, "max_pixels": 200_704}
    patcher = Patcher(images, **bounds)
    size = {"shortest_edge": bounds["min_pixels"], "longest_edge": bounds["max_pixels"]}
    for photo in [open_photo(file) for file in photo_files[:3]] + photos()[:3]:
        made = images(images=[photo], size=size, return_tensors="np")
        patches, grid = patcher(photo)
        assert [*grid] == made["image_grid_thw"][0].tolist()
        assert np.array_equal(patches, made["pixel_values"])
        assert np.array_equal(patcher(patcher.fit(photo))[0], patches), "a fitted photo is seen as it was"


def test_an_image_processor_that_does_something_else_is_left_its_work() -> None:
    from transformers import AutoImageProcessor

    images = AutoImageProcessor.from_pretrained(models.path("realqa-tiny"), backend="pil")
    images.do_normalize = False
    assert not Patcher.serves(images)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_the_lean_embedding_gives_what_the_convolution_gives(family: str, tmp_path: Path) -> None:
    embed = load(write(tmp_path / "model", family)).model.model.visual.patch_embed
    patches = torch.randn(40, embed.proj.weight[0].numel())
    with torch.inference_mode(), never_used(embed.proj):
        found = embed(patches)
    with torch.inference_mode():
        assert torch.allclose(found, type(embed).forward(embed, patches).view(40, -1), atol=1e-5)


@contextmanager
def never_used(proj: torch.nn.Conv3d) -> Iterator[None]:
    """The convolution fails if it is used."""
    handle = proj.register_forward_pre_hook(lambda *_: pytest.fail("the convolution was used"))
    yield
    handle.remove()


def test_an_adapter_around_the_embedding_is_heeded(tmp_path: Path) -> None:
    embed = load(write(tmp_path / "model")).model.model.visual.patch_embed

    class Adapted(torch.nn.Module):
        weight = embed.proj.weight

        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            return torch.full((len(patches), 32, 1, 1, 1), 7.0)

    embed.proj = Adapted()
    assert (embed(torch.randn(4, 3 * 2 * 14 * 14)) == 7).all()


def test_other_models_stay_as_they_are_but_for_the_quick_gelu(tmp_path: Path) -> None:
    llava = load(write(tmp_path / "model", "llava")).model
    assert fuse_operations(llava) is llava
    changed = {type(module).__name__ for module in llava.modules() if "forward" in vars(module)}
    assert changed == {"QuickGELUActivation"}


def test_threads_that_ask_at_once_get_what_one_gets(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    backend = load(write(tmp_path / "model"))
    texts = numerals(2, 1, 5)
    alone = [backend.log_probs([prompt], texts, ".") for prompt in direct_prompts(photos())]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            together = [*threads.map(lambda prompt: backend.log_probs([prompt], texts, "."), direct_prompts(photos()))]
            assert np.abs(np.stack(together) - np.stack(alone)).max() < 1e-5
