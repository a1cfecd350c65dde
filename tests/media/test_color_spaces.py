"""Color spaces that are stated without a profile: PNG chunks, nclx, EXIF, and the transfers of HDR videos."""

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made_profiles import SPACES, rgb_profile
from PIL import Image, PngImagePlugin

from realqa_cli.media.color_spaces import ADOBE_RGB, ColorSpace
from realqa_cli.media.decode import DecodeOptions
from realqa_cli.media.photo import open_photo
from realqa_cli.media.video import Sampling, read_video

UNMANAGED = DecodeOptions(color_management=False)


def colors() -> Image.Image:
    """Soft colors, 32 x 32."""
    axis = np.linspace(40, 215, 32)
    red, green = np.meshgrid(axis, axis)
    return Image.fromarray(np.stack([red, green, 255 - (red + green) / 2], axis=-1).round().astype(np.uint8))


def png(chunks: dict[bytes, bytes], image: Image.Image | None = None, **more: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, content in chunks.items():
        info.add(name, content)
    stream = io.BytesIO()
    (image or colors()).save(stream, "PNG", pnginfo=info, **more)
    return stream.getvalue()


def gamma(value: float) -> bytes:
    return struct.pack(">I", round(value * 100_000))


def chromaticities(space: str) -> bytes:
    red, green, blue, white = SPACES[space][0]
    return struct.pack(">8I", *(round(n * 100_000) for point in (white, red, green, blue) for n in point))


def pixels(data: bytes, options: DecodeOptions | None = None) -> np.ndarray:
    opened = open_photo(data) if options is None else open_photo(data, options=options)
    return np.asarray(opened).astype(int)


def stored() -> np.ndarray:
    return np.asarray(colors()).astype(int)


def by_profile(space: str) -> np.ndarray:
    """What the same numbers are by an ICC profile."""
    primaries, exponent = SPACES[space]
    return pixels(png({}, icc_profile=rgb_profile(primaries, exponent)))


ICC_TWINS = {
    "linear": {b"gAMA": gamma(1)},
    "ProPhoto": {b"gAMA": gamma(1 / 1.8), b"cHRM": chromaticities("ProPhoto")},
}


@pytest.mark.parametrize("space", ["linear", "ProPhoto"])
def test_gamma_and_chromaticities_of_a_png_are_converted_as_a_profile_is(space: str) -> None:
    converted = pixels(png(ICC_TWINS[space]))
    assert np.abs(converted - stored()).max() > 20
    assert np.abs(converted - by_profile(space)).max() <= 2


def test_display_p3_of_a_png_by_code_points_differs_little_from_its_profile() -> None:
    converted = pixels(png({b"cICP": bytes([12, 13, 0, 1])}))
    assert np.abs(converted - stored()).max() > 15
    assert np.abs(converted - by_profile("Display P3")).mean() < 2  # the profile has the gamma 2.2


@pytest.mark.parametrize(
    "chunks",
    [
        {b"gAMA": struct.pack(">I", 45_455)},
        {b"gAMA": struct.pack(">I", 45_455), b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)},
        {b"sRGB": b"\0", b"gAMA": struct.pack(">I", 100_000)},
        {b"cICP": bytes([1, 13, 0, 1]), b"gAMA": struct.pack(">I", 100_000)},
        {b"gAMA": struct.pack(">I", 0)},
        {b"cHRM": struct.pack(">8I", *[0] * 8), b"gAMA": struct.pack(">I", 45_455)},
        {b"cICP": bytes([2, 2, 0, 1])},
    ],
    ids=["gamma of sRGB", "primaries of sRGB", "sRGB wins", "cICP wins", "no gamma", "no primaries", "unspecified"],
)  # fmt: skip
def test_the_numbers_of_srgb_and_of_senseless_chunks_are_kept(chunks: dict[bytes, bytes]) -> None:
    assert np.array_equal(pixels(png(chunks)), stored())


def test_a_profile_wins_over_gamma() -> None:
    primaries, exponent = SPACES["Adobe RGB"]
    both = png({b"gAMA": gamma(1)}, icc_profile=rgb_profile(primaries, exponent))
    assert np.array_equal(pixels(both), by_profile("Adobe RGB"))


def adobe_jpeg(index: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65_535
    exif.get_ifd(0x8769)[0xA005] = {1: index, 2: b"0100"}
    stream = io.BytesIO()
    colors().save(stream, "JPEG", quality=100, subsampling=0, exif=exif)
    return stream.getvalue()


def test_adobe_rgb_of_cameras_is_read_from_exif() -> None:
    converted, plain = pixels(adobe_jpeg("R03")), pixels(adobe_jpeg("R98"))
    assert np.abs(plain - stored()).max() < 8
    assert np.abs(converted - ADOBE_RGB.to_srgb(plain.astype(np.uint8)).astype(int)).max() == 0
    assert np.abs(converted - by_profile("Adobe RGB")).mean() < 1
    assert np.array_equal(pixels(adobe_jpeg("R03"), UNMANAGED), plain)


@pytest.mark.parametrize("image_format", ["AVIF", "HEIF"])
def test_code_points_of_avif_and_heif_are_read(image_format: str) -> None:
    if image_format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    stream = io.BytesIO()
    colors().save(stream, image_format, quality=100)
    data = stream.getvalue()
    at = data.find(b"colrnclx") + 8
    if at < 8:
        pytest.skip("the encoder writes no nclx box")
    srgb = data[:at] + struct.pack(">HH", 1, 13) + data[at + 4 :]
    wide = data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :]
    difference = np.abs(pixels(wide) - pixels(srgb)).max()
    assert difference > 15
    assert np.array_equal(pixels(wide, UNMANAGED), pixels(srgb, UNMANAGED))


def signal_of(code: int, value: float) -> int:
    """The grey in sRGB of one signal, 0 to 1."""
    space = ColorSpace.of_codes(9, code)
    assert space is not None
    sample = np.full((1, 1, 3), round(value * 65_535), np.uint16)
    red, green, blue = (int(n) for n in space.to_srgb(sample)[0, 0])
    assert max(red, green, blue) - min(red, green, blue) <= 1, "grey stays grey"
    return green


@pytest.mark.parametrize(("code", "white"), [(16, 0.5806), (18, 0.75)], ids=["PQ", "HLG"])
def test_reference_white_is_nearly_white_and_light_rises_with_the_signal(code: int, white: float) -> None:
    """203 cd/m2 are 58 % in PQ and 75 % in HLG (ITU-R BT.2408, table 1)."""
    assert 240 <= signal_of(code, white) <= 250
    greys = [signal_of(code, i / 50) for i in range(51)]
    assert greys == sorted(greys)
    assert greys[0] == 0
    assert greys[-1] >= 254


def test_middle_grey_is_that_of_sdr() -> None:
    """18 % of reference white, 36.5 cd/m2, is 0.411 in PQ, and 118 in sRGB."""
    assert abs(signal_of(16, 0.411) - 118) <= 3


@pytest.mark.parametrize("code", [16, 18], ids=["PQ", "HLG"])
def test_frames_of_hdr_videos_are_converted(code: int, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    grey = np.full((48, 64, 3), round(0.9 * 65_535), np.uint16)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.color_primaries, stream.codec_context.color_trc = 9, code
        for i in range(3):
            frame = av.VideoFrame.from_ndarray(grey, format="rgb48le")
            frame.color_primaries, frame.color_trc = 9, code
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    def middle(options: DecodeOptions) -> int:
        clip = read_video(path, Sampling(frames=2), lambda image, _: image, options=options)
        pixel = clip.frames[0].getpixel((32, 24))
        assert isinstance(pixel, tuple)
        return int(pixel[1])

    expected = signal_of(code, 0.9)
    assert abs(middle(DecodeOptions()) - expected) <= 3
    assert abs(middle(UNMANAGED) - round(0.9 * 255)) <= 2
    assert abs(expected - round(0.9 * 255)) > 10
