"""From any mode that Pillow decodes to 8-bit sRGB.

- An embedded ICC profile is applied: colors are converted to sRGB (relative colorimetric). If the profile is that
  of sRGB, the stored numbers are kept. A profile that is damaged, or does not fit the image, is ignored with a
  warning. Without color management the stored numbers of RGB and grey images are kept.
- Without a profile, the color space that the file states otherwise is converted (`color_spaces`).
- CMYK is converted by its profile if it has one that works, Lab always.
- Transparency is composited on white, as a browser shows it: the colors under it are arbitrary.
- 16-bit grey keeps its tones (white is 65,535; 4,095 in a TIFF of 12 bits), where Pillow clips at 255.
- 32-bit integers that fit 16 bits are read as such; others are stretched from their minimum to their maximum.
- Floats: white is the smallest of 1, 255 and 65,535 that no value exceeds; with negative or larger values
  they are stretched likewise. NaN and -inf become the darkest value, +inf the brightest.
"""

import io
import logging
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from realqa_cli.media.color_spaces import ColorSpace

log = logging.getLogger("realqa")

MAX_PROFILE_BYTES = 2**24
"""Larger profiles are ignored; those of printers take up to 4 MB."""

_BITS_PER_SAMPLE = 258  # a TIFF tag
_BAND_ROWS = 256  # rows that are converted at once: 250 megapixels of float64 would take 2 GB
_SAME_LEVELS = 2  # of 255; profiles of sRGB differ by 1 from each other, those of other spaces by 6 and more
_CACHED_PROFILES = 64
_GREY_MODES = ("1", "L", "LA", "La")

_Transform = Any  # ImageCms.ImageCmsTransform: imported only for images with a profile
_transforms: dict[bytes, "_Transform | str | None"] = {}


def to_rgb(image: Image.Image, name: str | None = None, *, color_management: bool = True) -> Image.Image:
    """The image in mode RGB, 8 bits, by the rules of this module. Raises ValueError without a finite sample."""
    return RgbConverter(image, name, color_management=color_management).whole()


class RgbConverter:
    """Converts one decoded image to RGB, as a whole or in bands of rows.

    `name` is used in the warning about a profile that is ignored.
    """

    def __init__(
        self,
        image: Image.Image,
        name: str | None = None,
        *,
        color_management: bool = True,
        space: ColorSpace | None = None,
    ) -> None:
        """space: what the file states in place of a profile. Raises ValueError without a finite sample."""
        profile = None if space is not None else image.info.get("icc_profile")
        self.space = space
        if image.mode.startswith("I") or image.mode == "F":
            image = _to_eight_bits(image)
        self.image, self.transform = image, None
        if image.mode == "LAB" or (profile and (image.mode == "CMYK" or color_management)):
            transform = _transform_for(image.mode, profile)
            if isinstance(transform, str):
                log.warning("%s: its color profile is ignored: %s", name or "photo", transform)
            else:
                self.transform = transform

    def whole(self) -> Image.Image:
        """The RGB image."""
        return self._convert(self.image)

    def bands(self) -> Iterator[bytes]:
        """The bytes of the RGB image, three a pixel, some rows at a time."""
        width, height = self.image.size
        for top in range(0, height, _BAND_ROWS):
            yield self._convert(self.image.crop((0, top, width, min(top + _BAND_ROWS, height)))).tobytes()

    def _convert(self, image: Image.Image) -> Image.Image:
        if image.mode in ("CMYK", "LAB") or not image.has_transparency_data:
            return self._opaque(image)
        straight = {"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode)  # from premultiplied alpha
        layer = image.convert(straight) if image.mode != straight else image
        layer = layer.convert("RGBA") if layer.mode != "RGBA" else layer
        rgb = Image.new("RGB", layer.size, "white")
        rgb.paste(self._opaque(layer), mask=layer.getchannel("A"))
        return rgb

    def _opaque(self, image: Image.Image) -> Image.Image:
        if self.space is not None:
            return Image.fromarray(self.space.to_srgb(np.asarray(image.convert("RGB"))))
        if self.transform is None:
            return image.convert("RGB")
        from PIL import ImageCms

        expected: str = self.transform.input_mode
        converted = ImageCms.applyTransform(image.convert(expected), self.transform)
        assert converted is not None, "a transform that is not in place returns an image"
        return converted


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


def _transform_for(mode: str, profile: Any) -> "_Transform | str | None":
    """The transform to sRGB; None if there is nothing to convert; or the reason why the profile is ignored."""
    if mode == "LAB":
        profile = b""
    elif not isinstance(profile, bytes):
        return "it is not a profile"
    elif len(profile) > MAX_PROFILE_BYTES:
        return f"it is over {MAX_PROFILE_BYTES:,} bytes"
    kind = mode if mode in ("CMYK", "LAB") else "L" if mode in _GREY_MODES else "RGB"
    key = sha256(profile).digest() + kind.encode()
    if key not in _transforms:
        if len(_transforms) >= _CACHED_PROFILES:
            _transforms.clear()
        _transforms[key] = _build_transform(kind, profile)
    return _transforms[key]


def _build_transform(kind: str, profile: bytes) -> "_Transform | str | None":
    from PIL import ImageCms  # only images with a profile need it: others do not pay for it

    try:
        source: Any = ImageCms.createProfile("LAB") if kind == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = "Lab" if kind == "LAB" else str(source.profile.xcolor_space).strip()
        if kind == "L" and space == "RGB":
            kind = "RGB"  # grey photos of cameras have the profile of their color photos
        if space != {"L": "GRAY", "LAB": "Lab"}.get(kind, kind):
            return f"it is for {space}"
        intent = ImageCms.Intent.PERCEPTUAL if kind in ("CMYK", "LAB") else ImageCms.Intent.RELATIVE_COLORIMETRIC
        # Threads share the transform: without the cache of the last color it has no state.
        flags = ImageCms.Flags.NONE if kind in ("CMYK", "LAB") else ImageCms.Flags.NOCACHE
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, kind, "RGB", intent, flags)
        return None if kind in ("L", "RGB") and _is_identity(transform, kind) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        return f"it is damaged ({error})"


def _is_identity(transform: "_Transform", mode: str) -> bool:
    """Whether the transform keeps 729 colors, or 256 greys, within `_SAME_LEVELS`."""
    from PIL import ImageCms

    axis = np.linspace(0, 255, 9)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    colors = Image.fromarray(grid.round().astype(np.uint8)) if mode == "RGB" else Image.linear_gradient("L")
    before = np.asarray(colors.convert("RGB")).astype(int)
    after = np.asarray(ImageCms.applyTransform(colors, transform)).astype(int)
    return int(np.abs(after - before).max()) <= _SAME_LEVELS
