"""Color spaces that files state without an ICC profile, and their conversion to sRGB.

- PNG: the chunks cICP, sRGB, gAMA and cHRM, in this order of precedence; an ICC profile comes after cICP. A gamma
  within 2 % of 1/2.2 is that of sRGB, as viewers take it.
- AVIF and HEIF: the code points of the `colr` box (nclx).
- EXIF of cameras: Adobe RGB is "uncalibrated" with the interoperability index R03 (DCF 2.0).
- Video: the code points of the stream (ITU-T H.273).

The transfers PQ (SMPTE ST 2084) and HLG (ARIB STD-B67 with the OOTF of ITU-R BT.2100 for a display of 1,000 cd/m2)
give light up to many times reference white, which is 203 cd/m2 (ITU-R BT.2408). Up to three quarters of reference white
it is kept; brighter light rolls off exponentially towards the white of sRGB, with equal slopes at the knee, by the
brightest of the three channels, so that hues stay. Colors outside of sRGB are clipped.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Point = tuple[float, float]
Primaries = tuple[Point, Point, Point, Point]
"""Chromaticities (x, y) of red, green, blue and white."""
Transfer = float | Literal["srgb", "pq", "hlg"]
"""An exponent, or a named function."""

_D65: Point = (0.3127, 0.3290)
_BT709: Primaries = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_BT2020: Primaries = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)
_P3: Primaries = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65)
_ADOBE: Primaries = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), _D65)
_PRIMARIES = {1: _BT709, 9: _BT2020, 12: _P3}
"""By the code points of H.273."""
_TRANSFERS: dict[int, "Transfer"] = {
    **dict.fromkeys((1, 6, 13, 14, 15), "srgb"),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    16: "pq",
    18: "hlg",
}
"""Likewise. The camera curves 1, 6, 14 and 15 are shown as sRGB, as photo viewers do."""

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_WHITE = 203.0  # cd/m2
_HLG_PEAK = 1000.0
_KNEE = 0.75
_ADOBE_GAMMA = 563 / 256
_SRGB_GAMMA = 1 / 2.2
_BAND_ROWS = 256


@dataclass(frozen=True)
class ColorSpace:
    """Primaries, and the transfer from light to the stored numbers."""

    primaries: Primaries = _BT709
    transfer: Transfer = "srgb"

    @classmethod
    def of_codes(cls, primaries: int, transfer: int) -> "ColorSpace | None":
        """By the code points of H.273; None for sRGB and for those that are unknown or unspecified."""
        known = cls(_PRIMARIES.get(primaries, _BT709), _TRANSFERS.get(transfer, "srgb"))
        return None if known == cls() else known

    def to_srgb(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """(height, width, 3) numbers of 8 or 16 bits in this space to sRGB of 8 bits."""
        result = np.empty(samples.shape, np.uint8)
        linear, encode = _decoding_table(self.transfer, samples.dtype.itemsize), _encoding_table()
        to_srgb = _matrix(self.primaries)
        for top in range(0, len(samples), _BAND_ROWS):
            rows = slice(top, top + _BAND_ROWS)
            light = linear[samples[rows]]
            if self.transfer == "hlg":  # the OOTF works on the luminance of the scene
                luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
                light = light * (_HLG_PEAK / _WHITE * np.maximum(luminance, 1e-6)[..., None] ** 0.2)
            light = np.maximum(light @ to_srgb.T, 0)
            if self.transfer in ("pq", "hlg"):
                light = _rolled_off(light)
            result[rows] = encode[(np.minimum(light, 1) * 65_535 + 0.5).astype(np.uint16)]
        return result


ADOBE_RGB = ColorSpace(_ADOBE, _ADOBE_GAMMA)


def stated_space(image: Image.Image, data: bytes, image_format: str) -> tuple[ColorSpace | None, bool]:
    """The color space that a photo states without a profile, if it is not sRGB; and whether it wins over a profile.

    image: opened from `data`, with its metadata.
    """
    if image_format == "PNG":
        codes = _png_codes(data)
        if codes is not None:
            return ColorSpace.of_codes(*codes), True
        return _png_gamma_space(image), False
    if image_format in ("AVIF", "HEIF"):
        start = data.find(b"colrnclx", 0, 2**16)
        if start >= 0 and len(data) >= start + 12:
            return ColorSpace.of_codes(*struct.unpack_from(">HH", data, start + 8)), False
    elif b"R03" in data[: 2**16] and image.getexif().get_ifd(0x8769).get(0xA001) == 65_535:
        index = image.getexif().get_ifd(0xA005).get(1)
        if str(index).startswith("R03"):
            return ADOBE_RGB, False
    return None, False


def _png_codes(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the chunk cICP, which precedes the pixels; Pillow does not read it."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind == b"cICP" and length == 4:
            return data[at + 8], data[at + 9]
        if kind in (b"IDAT", b"IEND"):
            return None
        at += 12 + length
    return None


def _png_gamma_space(image: Image.Image) -> ColorSpace | None:
    """The space of gAMA and cHRM, which Pillow reads; None without a gamma, or where sRGB is stated."""
    gamma, points = image.info.get("gamma"), image.info.get("chromaticity")
    if "srgb" in image.info or not isinstance(gamma, float) or not 0.1 <= gamma <= 2:
        return None
    transfer: Transfer = "srgb" if abs(gamma / _SRGB_GAMMA - 1) <= 0.02 else 1 / gamma
    primaries: Primaries = _BT709
    if points and len(points) == 8:
        white, red, green, blue = zip(points[::2], points[1::2], strict=True)
        primaries = (red, green, blue, white)
    if any(
        abs(a - b) > 0.003
        for one, other in zip(primaries, _BT709, strict=True)
        for a, b in zip(one, other, strict=True)
    ):
        return ColorSpace(primaries, transfer) if _matrix_is_finite(primaries) else ColorSpace(_BT709, transfer)
    return None if transfer == "srgb" else ColorSpace(_BT709, transfer)


def _matrix_is_finite(primaries: Primaries) -> bool:
    try:
        return bool(np.isfinite(_matrix(primaries)).all())
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return False


def _rolled_off(light: Floats) -> Floats:
    """Light above the knee, compressed to at most 1 by the brightest channel of each pixel."""
    brightest = light.max(axis=-1, keepdims=True)
    room = 1 - _KNEE
    compressed = _KNEE + room * -np.expm1(-(brightest - _KNEE) / room)
    return np.where(brightest > _KNEE, light * (compressed / np.maximum(brightest, _KNEE)), light)


@lru_cache(maxsize=16)
def _decoding_table(transfer: "float | str", itemsize: int) -> Floats:
    """Light by number, for 8 or 16 bits; reference white is 1, for HLG it is the signal of the scene, 0 to 1."""
    signal = np.linspace(0, 1, 2 ** (8 * itemsize), dtype=np.float64)
    if transfer == "pq":
        root = signal ** (32 / 2523)
        light = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
        light = light ** (8192 / 1305) * 10_000 / _WHITE
    elif transfer == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    elif transfer == "srgb":
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    else:
        light = signal ** float(transfer)
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _encoding_table() -> npt.NDArray[np.uint8]:
    """The numbers of sRGB by 65,536 steps of light."""
    light = np.linspace(0, 1, 65_536)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    numbers: npt.NDArray[np.uint8] = np.rint(signal * 255).astype(np.uint8)
    return numbers


@lru_cache(maxsize=16)
def _matrix(primaries: Primaries) -> Floats:
    """(3, 3) from linear light of these primaries to that of sRGB, white to white (Bradford)."""
    cones = np.diag((_BRADFORD @ _xyz(_D65)) / (_BRADFORD @ _xyz(primaries[3])))
    adapted = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ _to_xyz(primaries)
    return np.linalg.solve(_to_xyz(_BT709), adapted).astype(np.float32)


def _to_xyz(primaries: Primaries) -> npt.NDArray[np.float64]:
    columns = np.array([_xyz(point) for point in primaries[:3]]).T
    return columns * np.linalg.solve(columns, np.array(_xyz(primaries[3])))


def _xyz(point: Point) -> tuple[float, float, float]:
    x, y = point
    return x / y, 1.0, (1 - x - y) / y
