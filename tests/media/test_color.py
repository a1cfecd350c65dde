"""Colors: embedded profiles are applied, those of sRGB change nothing, and damaged ones are ignored with a warning."""

import io
import logging
from typing import Any

import numpy as np
import pytest
from made_profiles import SPACES, Primaries, curve, matrix, profile, rgb_profile
from PIL import Image, ImageCms

from realqa_cli.media.decode import DecodeOptions
from realqa_cli.media.photo import open_photo

PLAIN = DecodeOptions(color_management=False)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def scene() -> np.ndarray:
    """(48, 64, 3) colors of sRGB that all the spaces hold."""
    red, green = np.meshgrid(np.linspace(60, 200, 64), np.linspace(60, 200, 48))
    return np.dstack([red, green, np.full_like(red, 120)])


def encoded(colors: np.ndarray, primaries: Primaries, gamma: float) -> Image.Image:
    """The sRGB colors in another space, computed without a color management library."""
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_other = np.linalg.inv(matrix(primaries)) @ matrix(SPACES["linear"][0])
    other = np.clip(linear @ to_other.T, 0, 1) ** (1 / gamma)
    return Image.fromarray(np.rint(other * 255).astype(np.uint8))


def pack(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    packed = io.BytesIO()
    image.save(packed, image_format, **options)
    return packed.getvalue()


def difference(data: bytes, colors: np.ndarray, **options: Any) -> float:
    return float(np.abs(np.asarray(open_photo(data, **options)).astype(float) - np.rint(colors)).mean())


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_a_photo_with_a_profile_equals_its_srgb_twin(space: str, image_format: str) -> None:
    primaries, gamma = SPACES[space]
    lossless = {"lossless": True} if image_format == "WEBP" else {}
    data = pack(encoded(scene(), primaries, gamma), image_format, icc_profile=rgb_profile(primaries, gamma), **lossless)
    assert difference(data, scene()) < 1.0
    assert difference(data, scene(), options=PLAIN) > 4.0


def test_transparency_is_composited_after_the_conversion() -> None:
    primaries, gamma = SPACES["Adobe RGB"]
    image = encoded(scene(), primaries, gamma).convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 32, 48))
    image.putalpha(alpha)
    expected = scene()
    expected[:, :32] = 255
    assert difference(pack(image, icc_profile=rgb_profile(primaries, gamma)), expected) < 1.0


def test_grey_photos_are_converted_by_a_grey_or_an_rgb_profile() -> None:
    ramp = np.linspace(0, 255, 256)[np.newaxis].repeat(2, axis=0)
    linear = np.where(ramp / 255 <= 0.04045, ramp / 255 / 12.92, ((ramp / 255 + 0.055) / 1.055) ** 2.4)
    expected = ramp[..., np.newaxis].repeat(3, axis=2)
    for gamma in (1.8, 2.6):
        grey = Image.fromarray(np.rint(linear ** (1 / gamma) * 255).astype(np.uint8))
        icc = profile(b"GRAY", {b"kTRC": curve(gamma)})
        assert difference(pack(grey, icc_profile=icc), expected) < 1.0
        assert difference(pack(grey, icc_profile=rgb_profile(SPACES["Display P3"][0], gamma)), expected) < 1.0
        assert difference(pack(grey, icc_profile=icc), expected, options=PLAIN) > 3.0


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_profile_of_srgb_changes_no_number(mode: str) -> None:
    image = Image.fromarray(np.rint(scene()).astype(np.uint8)).convert(mode)
    with_profile, without = pack(image, icc_profile=srgb_profile()), pack(image)
    assert open_photo(with_profile).tobytes() == open_photo(without).tobytes()


@pytest.mark.parametrize(
    ("icc", "reason"),
    [
        (b"garbage", "damaged"),
        (srgb_profile()[:200], "damaged"),
        (profile(b"GRAY", {b"kTRC": curve(2.2)}), "for GRAY"),
        (profile(b"CMYK", {}), "for CMYK"),
    ],
    ids=["garbage", "truncated", "grey", "cmyk"],
)
def test_a_profile_that_cannot_be_used_is_ignored_with_a_warning(
    icc: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.fromarray(np.rint(scene()).astype(np.uint8))
    with caplog.at_level(logging.WARNING, "realqa"):
        photo = open_photo(pack(image, icc_profile=icc), name="a.png")
    assert photo.tobytes() == image.tobytes()
    (message,) = caplog.messages
    assert message.startswith("a.png: its color profile is ignored: it is")
    assert reason in message


def test_a_worker_process_reports_its_warnings_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "realqa"):
        open_photo(pack(Image.new("RGB", (8, 8)), "TIFF", icc_profile=b"garbage"), name="a.tif")
    assert [message.split(": ")[:2] for message in caplog.messages] == [["a.tif", "its color profile is ignored"]]


def test_an_rgb_photo_without_color_management_keeps_its_stored_numbers() -> None:
    image = Image.fromarray(np.rint(scene()).astype(np.uint8))
    data = pack(image, icc_profile=rgb_profile(*SPACES["ProPhoto"]))
    assert open_photo(data, options=PLAIN).tobytes() == image.tobytes()
