"""Sharpness, fingerprints and capture times of real photos."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from process import PHOTOS

from realqa_cli.media.capture_time import capture_time, parse_capture_time
from realqa_cli.media.fingerprint import Fingerprint, fingerprint_of, similar_pairs
from realqa_cli.media.sharpness import measure_sharpness

SCENES = ("bee", "brushes", "dandelion", "dogs", "mountain")


def photo(name: str) -> Image.Image:
    with Image.open(PHOTOS / f"{name}.jpg") as opened:
        return opened.convert("RGB")


def compressed(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def test_blur_lowers_sharpness_more_the_stronger_it_is() -> None:
    for name in SCENES:
        sharp = photo(name)
        steps = [measure_sharpness(sharp.filter(ImageFilter.GaussianBlur(sigma))) for sigma in (0, 0.5, 1, 2)]
        assert steps == sorted(steps, reverse=True)
        assert steps[0] > 1.2 * steps[1]


def test_a_darker_copy_is_as_sharp() -> None:
    sharp = photo("brushes")
    assert measure_sharpness(ImageEnhance.Brightness(sharp).enhance(0.8)) == pytest.approx(
        measure_sharpness(sharp), rel=0.05
    )


def test_a_sharp_subject_before_a_soft_background_is_sharp() -> None:
    sharp = photo("bee")
    soft = sharp.filter(ImageFilter.GaussianBlur(3))
    box = (200, 150, 600, 480)
    soft.paste(sharp.crop(box), box)
    assert measure_sharpness(soft) > 0.3 * measure_sharpness(sharp)


def test_a_large_photo_is_measured_by_its_tiles_with_most_contrast() -> None:
    large = photo("brushes").resize((3200, 2400), Image.Resampling.LANCZOS)
    blurred = large.filter(ImageFilter.GaussianBlur(2))
    assert large.width * large.height > 6_000_000
    assert measure_sharpness(large) > 1.5 * measure_sharpness(blurred)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (15, 15), (17, 40)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_photo_of_one_color_has_no_sharpness_whatever_its_size(size: tuple[int, int], level: int) -> None:
    assert measure_sharpness(Image.new("RGB", size, (level, level, level))) == pytest.approx(0, abs=1e-9)


def test_copies_are_similar_and_different_scenes_are_not() -> None:
    made: list[tuple[str, Fingerprint]] = []
    for name in SCENES:
        original = photo(name)
        width, height = original.size
        copies = [
            original,
            original.resize((width // 2, height // 2), Image.Resampling.LANCZOS),
            compressed(original, 40),
            original.crop((width // 50, height // 50, width, height)),
        ]
        made += [(name, fingerprint_of(copy)) for copy in copies]
    pairs = set(similar_pairs([each for _, each in made], most_bits=76, least_correlation=0.75))
    expected = {(i, j) for j, (b, _) in enumerate(made) for i, (a, _) in enumerate(made[:j]) if a == b}
    assert pairs == expected


def test_pairs_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realqa_cli.media.fingerprint._BLOCK", 2)
    numbers = np.random.default_rng(0)
    prints = [Fingerprint(numbers.random(256) < 0.5, numbers.integers(0, 255, 1024, dtype=np.uint8)) for _ in range(5)]
    prints[4] = prints[1]
    assert list(similar_pairs(prints, most_bits=76, least_correlation=0.75)) == [(1, 4)]


def test_photos_of_one_color_are_similar_to_nothing() -> None:
    grey = [fingerprint_of(Image.new("RGB", (50, 50), (level, level, level))) for level in (0, 0, 128)]
    assert list(similar_pairs(grey, most_bits=256, least_correlation=0.1)) == []


def test_a_fingerprint_survives_json_and_a_damaged_one_is_refused() -> None:
    made = fingerprint_of(photo("dogs"))
    again = Fingerprint.from_fields(**made.as_fields())
    assert (again.phash == made.phash).all()
    assert (again.thumbnail == made.thumbnail).all()
    for phash, thumbnail in (("", ""), ("00", made.as_fields()["thumbnail"]), ("zz" * 32, "!"), (None, 3)):
        with pytest.raises(ValueError, match="fingerprint"):
            Fingerprint.from_fields(phash, thumbnail)


@pytest.mark.parametrize(
    ("time", "fraction", "expected"),
    [
        ("2026:05:01 12:30:00", "25", "2026-05-01T12:30:00.250000"),
        ("2026:05:01 12:30:00", "007 ", "2026-05-01T12:30:00.007000"),
        ("2026:05:01 12:30:00", None, "2026-05-01T12:30:00.000000"),
        ("    :  :     :  :  ", "1", None),
        ("2026:13:41 12:30:00", None, None),
        ("0000:00:00 00:00:00", None, None),
    ],
)
def test_the_time_of_a_photo_has_the_fraction_of_the_second(time: str, fraction: str | None, expected: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: time} | ({0x9291: fraction} if fraction is not None else {}))
    for image_format in ("JPEG", "WEBP"):
        stream = io.BytesIO()
        Image.new("RGB", (9, 9)).save(stream, image_format, exif=exif)
        assert capture_time(stream.getvalue()) == expected


def test_damaged_files_have_no_time() -> None:
    data = (PHOTOS / "bee.jpg").read_bytes()
    for broken in (
        b"",
        b"x",
        data[:30],
        b"\xff\xd8\xff\xe1\x00\x10Exif\0\0II*\0\xff\xff\xff\xff",
        b"II*\0\xff\xff\xff\xff",
    ):
        assert capture_time(broken, "a.nef") is None
    assert parse_capture_time("yesterday") is None
    assert parse_capture_time(None) is None


def test_times_are_seconds_whose_differences_count() -> None:
    first, second = map(parse_capture_time, ("2026-05-01T12:30:00.250000", "2026-05-01T12:30:01.000000"))
    assert first is not None
    assert second is not None
    assert second - first == pytest.approx(0.75)
