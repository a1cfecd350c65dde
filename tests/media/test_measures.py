"""Measures of a photo: noise in levels, clipping and brightness in per cent."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from realqa_cli.media.measures import estimate_noise, measure_photo_values
from realqa_cli.media.photo import open_photo


def noisy(photo: np.ndarray, sigma: float) -> Image.Image:
    grain = np.random.default_rng(0).normal(0, sigma, photo.shape[:2])[:, :, None]
    return Image.fromarray((photo + grain).clip(0, 255).round().astype(np.uint8))


@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
def test_noise_is_estimated_in_levels(sigma: float) -> None:
    slope = np.repeat(np.linspace(60, 190, 600)[None, :, None], 400, axis=0).repeat(3, axis=2)
    assert estimate_noise(noisy(slope, sigma)) == pytest.approx(sigma, rel=0.2)


@pytest.mark.parametrize("name", ["bee", "dogs", "mountain"])
def test_texture_is_not_taken_for_noise(photos: Path, name: str) -> None:
    photo = open_photo(photos / f"{name}.jpg")
    own = estimate_noise(photo)
    assert own < 4
    assert estimate_noise(noisy(np.asarray(photo, dtype=np.float64), 10)) == pytest.approx(np.hypot(own, 10), rel=0.3)
    assert estimate_noise(photo.filter(ImageFilter.GaussianBlur(3))) <= own


def test_blur_lowers_the_sharpness_of_a_photo(photos: Path) -> None:
    photo = open_photo(photos / "bee.jpg")
    softer = measure_photo_values(photo.filter(ImageFilter.GaussianBlur(1)))
    assert softer["sharpness"] < 0.6 * measure_photo_values(photo)["sharpness"]


def test_clipping_and_brightness_are_shares_of_the_photo() -> None:
    pixels = np.full((100, 200, 3), 128, np.uint8)
    pixels[:10] = 255
    pixels[10:15] = 0
    pixels[20, :, 0] = 255  # one channel is not white
    found = measure_photo_values(Image.fromarray(pixels))
    assert found["clipped_highlights"] == pytest.approx(10)
    assert found["clipped_shadows"] == pytest.approx(5)
    assert 50 < found["mean_luminance"] < 54
    assert found["pixels"] == (200, 100)


def test_large_photos_are_measured_in_bands_without_a_difference() -> None:
    pixels = np.random.default_rng(0).integers(100, 140, (2500, 64, 3), dtype=np.uint8)
    whole = measure_photo_values(Image.fromarray(pixels))
    luma = float(pixels.reshape(-1, 3).mean(axis=0) @ (0.2126, 0.7152, 0.0722))
    assert whole["mean_luminance"] == pytest.approx(100 * luma / 255)
    assert whole["noise"] > 3


@pytest.mark.parametrize("size", [(1, 1), (33, 33), (5, 400)])
def test_small_photos_have_no_estimate_of_noise(size: tuple[int, int]) -> None:
    assert estimate_noise(Image.new("RGB", size, "gray")) == 0
