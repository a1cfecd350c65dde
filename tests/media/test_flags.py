"""Flags: photos with next to no content have them, and others do not."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from process import PHOTOS

from realqa_cli.media.flags import content_flags
from realqa_cli.media.photo import open_photo


@pytest.mark.parametrize("color", ["black", "white", "gray", "red", (12, 34, 56)])
@pytest.mark.parametrize("sigma", [0, 4, 10])
def test_a_frame_of_one_color_is_blank_also_with_noise(color: str | tuple[int, int, int], sigma: float) -> None:
    frame = np.asarray(Image.new("RGB", (1200, 900), color)).astype(float)
    noise = np.random.default_rng(0).normal(0, sigma, frame.shape)
    assert content_flags(Image.fromarray(np.clip(frame + noise, 0, 255).astype(np.uint8))) == ["blank"]


def test_ordinary_photos_have_no_flags() -> None:
    photos = sorted(PHOTOS.glob("*.jpg"))
    assert len(photos) > 5
    flagged = {photo.name: flags for photo in photos if (flags := content_flags(open_photo(photo)))}
    assert flagged == {"mountain_blurred.jpg": ["upscaled"]}  # blurred as much as by enlarging


def test_a_few_stars_and_a_gradient_are_not_blank() -> None:
    sky = np.zeros((900, 1200, 3), np.uint8)
    rows, columns = np.random.default_rng(0).integers(0, 900, (2, 9_000))
    sky[rows, columns] = 255
    assert content_flags(Image.fromarray(sky)) == []
    assert content_flags(Image.linear_gradient("L").convert("RGB")) == []


def test_small_and_narrow_photos_are_flagged() -> None:
    bee = open_photo(PHOTOS / "bee.jpg")
    assert content_flags(bee.resize((95, 95))) == ["tiny"]
    assert content_flags(bee.resize((96, 96))) == []
    assert content_flags(bee.resize((1100, 200))) == ["extreme_aspect"]
    assert content_flags(bee.resize((1000, 200))) == []


def test_many_enlarged_photos_are_flagged_and_partly_sharp_ones_are_not() -> None:
    photos = [open_photo(photo) for photo in sorted(PHOTOS.glob("*.jpg"))]
    halves = [photo.resize((photo.width // 2, photo.height // 2)) for photo in photos]
    enlarged = [half.resize(photo.size) for half, photo in zip(halves, photos, strict=True)]
    assert sum(content_flags(photo) == ["upscaled"] for photo in enlarged) >= len(photos) // 3
    bee = open_photo(PHOTOS / "bee.jpg")
    partly_sharp = bee.filter(ImageFilter.GaussianBlur(8))
    partly_sharp.paste(bee.crop((0, 0, bee.width // 2, bee.height)))
    assert content_flags(partly_sharp) == []
