"""Sizes: Qwen2-VL's own rule, and the share of a photo's budget for each frame of a video."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from realqa_cli.errors import MediaError
from realqa_cli.media.resize import (
    VIDEO_TOKENS,
    frame_bounds,
    resize_within_bounds,
    shrink_to_area,
    smart_resize,
)


def gradient(width: int, height: int) -> Image.Image:
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([red, green, np.full_like(red, 128)]).astype(np.uint8))


sides = st.integers(1, 6000)
factors = st.sampled_from([14, 28, 32])


@pytest.fixture(scope="module")
def reference() -> Callable[..., tuple[int, int]]:
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    resize: Callable[..., tuple[int, int]] = module.smart_resize
    return resize


@given(height=sides, width=sides, factor=factors, low=st.integers(1, 300_000), more=st.integers(0, 900_000))
def test_smart_resize_equals_that_of_transformers(
    reference: Callable[..., tuple[int, int]], height: int, width: int, factor: int, low: int, more: int
) -> None:
    bounds = {"factor": factor, "min_pixels": low, "max_pixels": low + more}
    try:
        expected = reference(height, width, **bounds)
    except ValueError:
        with pytest.raises(MediaError, match="200 times"):
            smart_resize(height, width, **bounds)
    else:
        assert smart_resize(height, width, **bounds) == expected


@given(height=sides, width=sides, factor=factors)
def test_sizes_are_multiples_of_the_factor_within_the_bounds(height: int, width: int, factor: int) -> None:
    if max(height, width) > 20 * min(height, width):
        return
    rows, columns = smart_resize(height, width, factor=factor, min_pixels=200_704, max_pixels=401_408)
    assert rows % factor == columns % factor == 0
    assert 200_704 <= rows * columns <= 401_408


def test_resize_within_bounds_is_bicubic() -> None:
    photo = resize_within_bounds(gradient(640, 480), factor=28, min_pixels=56 * 56, max_pixels=100_352)
    assert photo.size == (364, 252)
    expected = gradient(640, 480).resize((364, 252), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(photo), np.asarray(expected))


def test_the_image_processor_does_not_resize_the_result_again(
    reference: Callable[..., tuple[int, int]],
) -> None:
    bounds = {"factor": 28, "min_pixels": 200_704, "max_pixels": 401_408}
    photo = resize_within_bounds(gradient(900, 500), **bounds)
    assert reference(photo.height, photo.width, **bounds) == (photo.height, photo.width)


BOUNDS = {"factor": 28, "temporal": 2, "min_pixels": 200_704, "max_pixels": 401_408}


@pytest.mark.parametrize("frames", [1, 2, 8, 64])
def test_up_to_64_frames_have_the_bounds_of_a_photo(frames: int) -> None:
    assert frame_bounds(frames, **BOUNDS) == {"min_pixels": 200_704, "max_pixels": 401_408}


@pytest.mark.parametrize("frames", [65, 128, 768, 100_000])
def test_more_frames_share_the_tokens_of_a_video(frames: int) -> None:
    bounds = frame_bounds(frames, **BOUNDS)
    rows, columns = smart_resize(1080, 1920, factor=28, **bounds)
    assert rows * columns / 28**2 * frames / 2 <= max(VIDEO_TOKENS, frames / 2)
    assert bounds["min_pixels"] <= bounds["max_pixels"]


def test_a_frame_is_shrunk_to_an_area_and_never_enlarged() -> None:
    frame = gradient(640, 360)
    small = shrink_to_area(frame, 128 * 128, Image.Resampling.NEAREST)
    assert small.size == (170, 96)
    assert shrink_to_area(small, 128 * 128, Image.Resampling.NEAREST) is small
