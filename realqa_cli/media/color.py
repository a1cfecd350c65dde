"""From any mode that Pillow decodes to 8-bit RGB.

- Transparency is composited on white, as a browser shows it: the colors under it are arbitrary.
- 16-bit grey keeps its tones (white is 65,535; 4,095 in a TIFF of 12 bits), where Pillow clips at 255.
- 32-bit integers that fit 16 bits are read as such; others are stretched from their minimum to their maximum.
- Floats: white is the smallest of 1, 255 and 65,535 that no value exceeds; with negative or larger values
  they are stretched likewise. NaN and -inf become the darkest value, +inf the brightest.
- CMYK and Lab are converted to sRGB, CMYK by the embedded profile if it has one that works.

RGB and grey files with a color profile keep their stored numbers.
"""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_BITS_PER_SAMPLE = 258  # a TIFF tag
_BAND_ROWS = 256  # rows that are converted at once: 250 megapixels of float64 would take 2 GB


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, 8 bits, by the rules of this module. Raises ValueError without a finite sample."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image)
    elif image.mode in ("CMYK", "LAB"):
        image = _to_srgb(image)
    elif image.has_transparency_data:
        straight = {"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode)  # from premultiplied alpha
        layer = image.convert(straight).convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 9 to 32 bits or of floats to mode L."""
    samples: npt.NDArray[Any] = np.asarray(image)
    finite = samples[np.isfinite(samples)]
    if not finite.size:
        raise ValueError("no sample is a finite number")
    low, high = float(finite.min()), float(finite.max())
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    whites = [1, 255, 65_535] if image.mode == "F" else [2 ** min(bits, 16) - 1]
    if fitting := [white for white in whites if low >= 0 and high <= white]:
        low, high = 0.0, float(fitting[0])
    grey = np.empty(samples.shape, np.uint8)
    for top in range(0, len(samples), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        band = np.nan_to_num(samples[rows].astype(np.float64), nan=low, posinf=high, neginf=low)
        grey[rows] = np.rint((band - low) * (255 / ((high - low) or 1)))
    return Image.fromarray(grey)


def _to_srgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # few files need it: do not pay for it at start-up

    embedded = image.info.get("icc_profile")
    if image.mode == "CMYK" and not embedded:
        return image  # without a profile, Pillow's plain inversion is as good a guess as any
    try:
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(embedded or b"")
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a profile that is damaged or for another color space
