"""Photos: what the decoder returns, and what is refused and why."""

import io
import os
import struct
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from realqa_cli.errors import MediaError
from realqa_cli.media import files
from realqa_cli.media.decode import DecodeOptions
from realqa_cli.media.files import content_id, read_bytes
from realqa_cli.media.photo import open_photo, photo_area, stated_area

pillow_heif.register_heif_opener()  # to write HEIC here; the module registers it itself for reading

ORIENTATION = 0x0112
MODES = {
    "JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif", "AVIF": "avif",
    "HEIF": "heic",
}  # fmt: skip


def pixel(photo: Image.Image, place: tuple[int, int]) -> tuple[int, int, int]:
    """Red, green and blue at a place of an RGB photo."""
    color: Any = photo.getpixel(place)
    red, green, blue = color
    return red, green, blue


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    """Red grows to the right, green downwards: every corner differs."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([red, green, np.full_like(red, 128)]).astype(np.uint8))


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def refusal(data: bytes | Path, **options: Any) -> MediaError:
    with pytest.raises(MediaError) as caught:
        open_photo(data, **options)
    return caught.value


def levels(data: bytes) -> list[list[int]]:
    """The red channel, after checking that the image is grey."""
    pixels = np.asarray(open_photo(data))
    assert (pixels == pixels[..., :1]).all()
    return [[int(value) for value in row] for row in pixels[..., 0]]


# What is read


@pytest.mark.parametrize("image_format", MODES)
def test_every_format_of_the_allow_list_is_read_under_any_name(image_format: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(encode(gradient(), image_format))
    photo = open_photo(path)
    assert (photo.mode, photo.size, type(photo)) == ("RGB", (64, 48), Image.Image)
    error = np.abs(np.asarray(photo).astype(int) - np.asarray(gradient()))
    assert error.mean() < 20  # a palette of 256 colours is the coarsest


def test_a_photo_of_two_views_is_read_as_its_first() -> None:
    second = Image.new("RGB", (64, 48), "blue")
    data = encode(gradient(), "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(np.asarray(open_photo(data)).astype(int) - np.asarray(gradient())).mean() < 3


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation_is_used(image_format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:])
    red, green, blue = pixel(open_photo(data), (8, 8))
    assert red > 240
    assert max(green, blue) < 15


def test_a_lossless_photo_keeps_every_pixel() -> None:
    assert np.array_equal(np.asarray(open_photo(encode(gradient(), "PNG"))), np.asarray(gradient()))


def test_an_rgb_photo_with_a_colour_profile_keeps_its_stored_numbers() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(gradient(), "PNG", icc_profile=profile)
    assert np.array_equal(np.asarray(open_photo(data)), np.asarray(gradient()))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_photos_are_turned_upright(image_format: str, orientation: int) -> None:
    undo: dict[int, Image.Transpose] = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = gradient()
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    photo = open_photo(encode(stored, image_format, exif=exif.tobytes(), quality=95))
    assert photo.size == upright.size
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(upright)).mean() < 4
    assert photo.getexif().get(ORIENTATION) is None


def test_damaged_metadata_does_not_fail_the_photo() -> None:
    data = encode(gradient(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert open_photo(data).size == (64, 48)


# Tones


def test_16_bit_grey_keeps_its_tones() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[np.newaxis].repeat(4, axis=0)
    image = Image.fromarray(ramp)
    for image_format in ("PNG", "TIFF"):
        photo = np.asarray(open_photo(encode(image, image_format)))
        assert np.array_equal(photo[0, :, 0], np.arange(256)), image_format
        assert (photo == photo[..., :1]).all()


def test_mid_grey_of_16_bits_is_mid_grey() -> None:
    assert levels(encode(Image.fromarray(np.full((2, 2), 32768, np.uint16)), "PNG")) == [
        [128, 128],
        [128, 128],
    ]


def test_dark_16_bit_photos_stay_dark() -> None:
    assert levels(encode(Image.fromarray(np.array([[0, 200, 514]], np.uint16)), "PNG")) == [[0, 1, 2]]


def tiff(width: int, bits: int, channels: int, pixels: bytes) -> bytes:
    """An uncompressed little-endian TIFF of one row."""
    bits_at, pixels_at = 150, 160
    tags = {
        256: width,
        257: 1,
        258: bits if channels == 1 else bits_at,
        259: 1,
        262: 2 if channels == 3 else 1,
    }
    tags |= {273: pixels_at, 277: channels, 278: 1, 279: len(pixels)}
    counts = {258: channels}
    entries = b"".join(struct.pack("<HHII", tag, 3, counts.get(tag, 1), value) for tag, value in tags.items())
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    return (head.ljust(bits_at, b"\0") + struct.pack("<HHH", *[bits] * 3)).ljust(pixels_at, b"\0") + pixels


def test_16_bit_colour_keeps_its_tones() -> None:
    rows = np.array([[0, 32768, 65535], [12850, 25700, 38550]], "<u2")
    photo = open_photo(tiff(2, 16, 3, rows.tobytes()))
    assert np.asarray(photo).tolist() == [[[0, 128, 255], [50, 100, 150]]]


def test_a_tiff_of_12_bits_is_white_at_4095() -> None:
    samples = bytes.fromhex("000fff 800400")  # two samples in three bytes: 0, 4095, 2048, 1024
    assert levels(tiff(4, 12, 1, samples)) == [[0, 255, 128, 64]]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.1, 0.2, 0.4], [26, 51, 102]),  # within 0..1: not stretched
        ([0.0, 100.0, 200.0], [0, 100, 200]),  # 8-bit values in floats
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),  # stretched
        ([0.0, 50_000.0, 100_000.0], [0, 128, 255]),
        ([-3.0, -3.0, -3.0], [0, 0, 0]),
        ([float("nan"), 0.5, float("inf")], [0, 128, 255]),
        ([float("-inf"), -1.0, 3.0], [0, 0, 255]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
    ],
)
def test_floats_are_rescaled_by_the_documented_rule(samples: list[float], expected: list[int]) -> None:
    assert levels(encode(Image.fromarray(np.array([samples], np.float32)), "TIFF")) == [expected]


def test_floats_without_one_finite_value_are_refused() -> None:
    image = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    assert refusal(encode(image, "TIFF")).type == "broken"


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0, 32768, 65535], [0, 128, 255]),
        ([-500, 0, 500], [0, 128, 255]),
        ([0, 1 << 20, 1 << 21], [0, 128, 255]),
    ],
)
def test_32_bit_integers_are_16_bit_ones_or_stretched(samples: list[int], expected: list[int]) -> None:
    assert levels(encode(Image.fromarray(np.array([samples], np.int32)), "TIFF")) == [expected]


def test_all_bands_of_rows_are_rescaled_in_the_same_way() -> None:
    ramp = np.linspace(0, 1, 600).astype(np.float32)[:, np.newaxis].repeat(4, axis=1)
    photo = np.asarray(open_photo(encode(Image.fromarray(ramp), "TIFF")))
    assert np.array_equal(photo[:, 0, 0], np.rint(ramp[:, 0].astype(np.float64) * 255))


def test_one_bit_is_black_and_white() -> None:
    image = Image.fromarray(np.array([[True, False, True]]))
    assert levels(encode(image, "PNG")) == [[255, 0, 255]]


# Colours


def test_transparency_is_composited_on_white() -> None:
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    assert np.asarray(open_photo(encode(Image.fromarray(pixels), "PNG"))).tolist() == [
        [[255, 0, 0], [255, 255, 255], [127, 127, 127]]
    ]


def test_grey_with_transparency_is_composited_on_white() -> None:
    image = Image.merge("LA", [Image.new("L", (2, 1), 40), Image.fromarray(np.array([[255, 0]], np.uint8))])
    assert levels(encode(image, "PNG")) == [[40, 255]]


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])], ids=["one colour", "a table"])
def test_transparent_palette_colours_become_white(transparency: int | bytes) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    photo = open_photo(encode(image, "PNG", transparency=transparency))
    assert np.asarray(photo).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_a_transparent_colour_key_becomes_white() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    photo = open_photo(encode(image, "PNG", transparency=(4, 5, 6)))
    assert np.asarray(photo).tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_a_palette_keeps_its_colours() -> None:
    image = gradient().quantize(16)
    assert np.array_equal(np.asarray(open_photo(encode(image, "PNG"))), np.asarray(image.convert("RGB")))


def test_print_colours_are_not_inverted() -> None:
    white, cyan = (0, 0, 0, 0), (255, 0, 0, 0)
    image = Image.new("CMYK", (32, 16), white)
    image.paste(cyan, (16, 0, 32, 16))
    for image_format in ("JPEG", "TIFF"):
        photo = open_photo(encode(image, image_format))
        assert min(pixel(photo, (4, 8))) > 250, image_format
        red, green, blue = pixel(photo, (28, 8))
        assert red < 10, image_format
        assert min(green, blue) > 245, image_format


def test_print_colours_with_a_profile_that_does_not_fit_are_still_read() -> None:
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (rgb, b"garbage"):
        photo = open_photo(encode(Image.new("CMYK", (8, 8)), "TIFF", icc_profile=profile))
        assert photo.getpixel((0, 0)) == (255, 255, 255)


def test_lab_becomes_srgb() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(gradient(), srgb, lab, outputMode="LAB")
    assert image is not None
    photo = np.asarray(open_photo(encode(image, "TIFF"))).astype(int)
    assert np.abs(photo - np.asarray(gradient())).mean() < 3


# What is refused


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nothing.jpg")
    assert error.type == "missing"
    assert "nothing.jpg" in str(error)


def test_a_path_through_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert refusal(tmp_path / "file" / "a.jpg").type == "missing"


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg").type == "empty"
    assert refusal(b"").type == "empty"


def test_folders_pipes_and_impossible_paths_are_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path, tmp_path / "pipe.jpg", tmp_path / "nul\0.jpg", tmp_path / ("x" * 300)):
        assert refusal(path).type == "unreadable", path


def test_a_file_without_permission_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no mode stops
    error = refusal(tmp_path / "a.jpg")
    assert error.type == "unreadable"
    assert "Permission denied" in str(error)


def test_a_file_over_the_size_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(gradient(), "PNG"))
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    assert refusal(path).type == "too-large"


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n{ } loop\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!DOCTYPE html><title>404</title>",
        b"P6 2 2 255\n" + bytes(12),
        b"\0\0\1\0" + bytes(64),
        b"a text with the name of a photo",
        b"\xff",
    ],
    ids=["eps", "svg", "html", "ppm", "ico", "text", "one byte"],
)
def test_other_files_are_unsupported(data: bytes) -> None:
    error = refusal(data, name="photo.jpg")
    assert error.type == "unsupported"
    assert "photo.jpg" in str(error)
    assert "JPEG" in str(error)


def test_an_eps_file_starts_no_program() -> None:
    script = """
        import sys
        from realqa_cli.errors import MediaError
        from realqa_cli.media.photo import open_photo

        started = []
        sys.addaudithook(lambda event, _: started.append(event))
        try:
            open_photo(b"%!PS-Adobe-3.0 EPSF-3.0\\n%%BoundingBox: 0 0 10 10\\n{ } loop\\n")
        except MediaError:
            print([event for event in started if "exec" in event or "spawn" in event or "Popen" in event])
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x20ftypisom", b"\0\0\0\x14ftypqt  ", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI LIST"]
)
def test_a_video_has_the_error_type_video(head: bytes) -> None:
    assert refusal(head + bytes(100)).type == "video"


@pytest.mark.parametrize("image_format", MODES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_photos_are_broken_and_not_half_grey(image_format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)  # so that the end holds pixels
    data = encode(Image.fromarray(noise), image_format)
    error = refusal(data[: int(len(data) * share)], name="cut.jpg")
    assert error.type == "broken"
    assert "cut.jpg" in str(error)


def test_truncated_photos_are_never_filled() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def png_header(width: int, height: int) -> bytes:
    """A PNG with this size in its header and hardly any pixels."""
    buffer = io.BytesIO(b"")
    buffer.write(b"\x89PNG\r\n\x1a\n")
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    PngImagePlugin.putchunk(buffer, b"IHDR", size + b"\x08\x02\0\0\0")
    PngImagePlugin.putchunk(buffer, b"IDAT", b"x\x9cc\0\0\0\x01\0\x01")
    PngImagePlugin.putchunk(buffer, b"IEND", b"")
    return buffer.getvalue()


@pytest.mark.parametrize("side", [15_812, 30_000, 2**31 - 1])
def test_decompression_bombs_are_refused_from_their_header(side: int) -> None:
    assert refusal(png_header(side, side)).type == "too-large"


def test_a_photo_of_200_megapixels_is_not_a_bomb() -> None:
    assert refusal(png_header(16_320, 12_240)).type == "broken"  # the decoder runs: there are no pixels in it


@pytest.mark.parametrize(("size", "refused"), [((200, 1), False), ((201, 1), True), ((1, 201), True)])
def test_strips_beyond_the_aspect_ratio_are_refused(size: tuple[int, int], refused: bool) -> None:
    data = encode(Image.new("RGB", size), "PNG")
    if refused:
        assert refusal(data).type == "unsupported"
    else:
        assert open_photo(data).size == size


@pytest.mark.parametrize(
    "raised",
    [
        OSError,
        ValueError,
        TypeError,
        SyntaxError,
        RuntimeError,
        NotImplementedError,
        KeyError,
        RecursionError,
    ],
)
def test_any_error_of_a_decoder_becomes_a_media_error(raised: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image) -> None:
        raise raised("odd")

    data = encode(gradient(), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    assert refusal(data, name="a.png").type == "broken"


def test_a_memory_error_becomes_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image) -> None:
        raise MemoryError

    data = encode(gradient(), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    assert refusal(data).type == "too-large"


def test_an_interrupt_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Image.Image) -> None:
        raise KeyboardInterrupt

    data = encode(gradient(), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_photo(data)


# Content


def test_the_content_id_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"some bytes")
    assert content_id(read_bytes(tmp_path / "a.jpg")) == f"sha256:{sha256(b'some bytes').hexdigest()}"


def test_importing_the_module_loads_neither_torch_nor_the_heif_library() -> None:
    heavy = "{'torch', 'transformers', 'pillow_heif'}"
    script = f"import sys, realqa_cli.media.photo; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_area_of_a_photo_comes_from_the_header_of_allowed_formats_only(tmp_path: Path) -> None:
    photo, other, broken = (tmp_path / name for name in ("a.png", "a.ppm", "b.jpg"))
    Image.new("RGB", (31, 17)).save(photo)
    Image.new("RGB", (31, 17)).save(other)  # Pillow reads this format, realqa does not
    broken.write_bytes(b"\xff\xd8\xff" + bytes(40))
    assert [photo_area(path) for path in (photo, other, broken, tmp_path / "none.jpg")] == [31 * 17, 0, 0, 0]
    assert [stated_area(path.read_bytes()) for path in (photo, other, broken)] == [31 * 17, 0, 0]
    assert stated_area(b"") == 0


def test_a_jpeg_may_be_decoded_at_a_fraction_that_leaves_enough_pixels() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8))
    data = io.BytesIO()
    photo.save(data, "JPEG")
    assert open_photo(data.getvalue(), options=DecodeOptions(draft_pixels=401_408)).size == (960, 540)
    assert open_photo(data.getvalue(), options=DecodeOptions(draft_pixels=100_352)).size == (480, 270)
    assert open_photo(data.getvalue(), options=DecodeOptions(draft_pixels=10**9)).size == (1920, 1080)
    assert open_photo(data.getvalue()).size == (1920, 1080)


def test_other_formats_are_always_decoded_at_full_size() -> None:
    data = io.BytesIO()
    Image.new("RGB", (640, 480), "red").save(data, "PNG")
    assert open_photo(data.getvalue(), options=DecodeOptions(draft_pixels=100)).size == (640, 480)
