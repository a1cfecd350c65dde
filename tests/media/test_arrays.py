"""Arrays, tensors and Pillow images become the photo that was meant, or an error that says what to change."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from realqa_cli.errors import MediaError
from realqa_cli.media.arrays import photo_of_array, photo_of_image
from realqa_cli.media.photo import open_photo

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
FIRST = torch.from_numpy(PIXELS).permute(2, 0, 1)
OPAQUE = np.dstack([PIXELS, np.full((20, 30), 255, np.uint8)])


@pytest.mark.parametrize(
    "array",
    [
        PIXELS,
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        PIXELS.astype(np.int64),
        PIXELS.astype(np.uint16) * 257,
        PIXELS[::-1][::-1],
        OPAQUE,
        FIRST,
        FIRST / 255,
        FIRST.int(),
        (FIRST / 255).requires_grad_(),
    ],
)
def test_every_layout_and_range_gives_the_same_pixels(array: object) -> None:
    photo = photo_of_array(array, "a")
    assert photo.mode == "RGB"
    assert np.array_equal(np.asarray(photo), PIXELS)


@pytest.mark.parametrize("grey", [PIXELS[:, :, 0], PIXELS[:, :, :1], FIRST[0], FIRST[:1], PIXELS[:, :, 0] / 255])
def test_grey_has_equal_channels(grey: object) -> None:
    assert np.array_equal(np.asarray(photo_of_array(grey, "a")), np.repeat(PIXELS[:, :, :1], 3, axis=2))


def test_transparency_is_composited_on_white() -> None:
    clear = np.dstack([PIXELS, np.zeros((20, 30), np.uint8)])
    assert np.asarray(photo_of_array(clear, "a")).min() == 255


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (PIXELS.transpose(2, 0, 1), r"shape (3, 20, 30) is not (H, W, channels); put the channels last"),
        (torch.from_numpy(PIXELS), "is not (channels, H, W); put the channels first"),
        (PIXELS * 1.0, "are not 0 to 1; divide them by 255"),
        (PIXELS / 127.5 - 1, "are not 0 to 1; undo the normalization"),
        (np.full((4, 4, 3), np.nan), "are not 0 to 1"),
        (PIXELS.astype(np.int32) - 1, "integers from -1 to 254 are not 0 to 255"),
        (np.zeros((0, 4, 3), np.uint8), "is not (H, W, channels)"),
        (np.zeros(5), "is not (H, W, channels)"),
        (PIXELS.astype(str), "are not numbers"),
        (PIXELS * 1j, "are not numbers"),
    ],
)
def test_what_could_be_misread_is_an_error_with_a_remedy(wrong: object, message: str) -> None:
    with pytest.raises(MediaError, match=re.escape(message)) as caught:
        photo_of_array(wrong, "a")
    assert caught.value.type == "array"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_opened_image_is_the_photo_of_its_file_and_stays_as_it_was(orientation: int) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(buffer, "PNG", exif=exif)
    image = Image.open(buffer)
    before = image.convert("RGB").tobytes()
    assert photo_of_image(image, "a").tobytes() == open_photo(buffer.getvalue()).tobytes()
    assert image.convert("RGB").tobytes() == before


def test_grey_of_16_bits_keeps_its_tones() -> None:
    ramp = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    photo = np.asarray(photo_of_image(Image.fromarray(ramp), "a"))
    assert 120 < photo.mean() < 135


def test_a_truncated_image_is_an_error(photos: Path) -> None:
    data = (photos / "bee.jpg").read_bytes()
    with pytest.raises(MediaError, match="cannot be loaded"):
        photo_of_image(Image.open(io.BytesIO(data[: len(data) // 2])), "a")
