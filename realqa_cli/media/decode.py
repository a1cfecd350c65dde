"""Decodes photos in this process, without bounds on time: `media.photo` decides where that may be done."""

import io
import logging
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

from PIL import AvifImagePlugin, ExifTags, Image, ImageOps, PngImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

from realqa_cli.errors import MediaError
from realqa_cli.media.color import RgbConverter
from realqa_cli.media.color_spaces import ColorSpace, stated_space
from realqa_cli.media.limits import MAX_PIXELS, check_area
from realqa_cli.media.resize import check_ratio

log = logging.getLogger("realqa")

ErrorType = Literal[
    "missing", "empty", "unreadable", "unsupported", "broken", "too-large", "too-slow", "video", "array"
]
"""missing: no such file; empty: 0 bytes; unreadable: the system refuses it (permission, a folder, a device);
unsupported: neither a photo nor a video, a refused format, or a strip (resize.py); broken: it cannot be decoded;
too-large: beyond the limits on pixels, bytes or memory; too-slow: beyond the limit on time; video: a video where
a photo is expected; array: an array of unknown layout or range."""

_DECODERS = re.compile(r"(PIL|pillow_heif)\b")
_OUT_OF_MEMORY = re.compile(r"out of memory|decoder error -9\b|cannot allocate", re.IGNORECASE)
"""Messages of decoders that lack memory without raising MemoryError; -9 is Pillow's code for it."""
# What damaged EXIF raises. A photo with damaged metadata is still a photo, as in every viewer.
_EXIF_ERRORS = (SyntaxError, OSError, ValueError, TypeError, LookupError, AttributeError, struct.error)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # otherwise its errors are printed to stderr
log.addHandler(logging.NullHandler())  # likewise where no command shows our warnings
# Pillow's own check warns from this limit on and refuses from twice of it. It must not be below ours.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)
# Editors write histories and profiles of several MB. What is over the limit makes a file "broken".
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 2**24)


@dataclass(frozen=True)
class DecodeOptions:
    """How photos and videos are decoded.

    draft_pixels: a JPEG may be decoded at a half, a quarter or an eighth of its width and height, as long as at
    least so many pixels are left. This is faster, and its pixels differ from those of scaling down. None
    decodes photos at their full size.
    color_management: whether colors are converted to sRGB, by the profile of a photo or the transfer of a video.
    timeout: seconds that a file may take.  memory: MB that decoding may take, beyond the picture itself.
    """

    draft_pixels: int | None = None
    color_management: bool = True
    timeout: float = 20.0
    memory: int = 1000


DEFAULT_DECODING = DecodeOptions()


def decode_photo(data: bytes, image_format: str, name: str | None, options: DecodeOptions) -> Image.Image:
    """The upright RGB photo without metadata. Raises `MediaError` and nothing else."""
    with decoded(data, image_format, name, options) as photo:
        rgb = photo.whole()
        rgb.info = {}  # the pixels are upright and opaque: nobody may apply the old metadata to them again
        return rgb


@contextmanager
def decoded(data: bytes, image_format: str, name: str | None, options: DecodeOptions) -> Iterator[RgbConverter]:
    """The upright photo, ready to be converted to RGB. Raises `MediaError`, also inside the `with` block."""
    mute_decoder_warnings()
    try:
        with _opened(data, image_format, name) as image:
            check_area(image.width, image.height, name)  # by the header: nothing is decoded yet
            check_ratio(image.width, image.height, name)
            if options.draft_pixels is not None and image_format == "JPEG":
                share = min(1.0, sqrt(options.draft_pixels / (image.width * image.height)))
                image.draft(None, (ceil(image.width * share), ceil(image.height * share)))
            image.load()
            turn_upright(image)
            space = _space(image, data, image_format) if options.color_management else None
            yield RgbConverter(image, name, color_management=options.color_management, space=space)
    except MediaError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise out_of_memory(name) from error
    except Exception as error:
        # Hostile bytes make the decoders raise nearly anything (OSError, ValueError, TypeError, SyntaxError,
        # RuntimeError, struct.error, ...); a file that cannot be decoded is one failed item, never a crash.
        if _OUT_OF_MEMORY.search(str(error)):
            raise out_of_memory(name) from error
        reason = str(error) if "<_io." not in str(error) else "Pillow does not know its header"
        what = f"this {image_format} file is truncated, corrupt or of an unusual kind ({reason})"
        raise MediaError(what, type="broken", where=name, remedy="replace it by an intact copy") from error


def turn_upright(image: Image.Image) -> None:
    """Turns an image in place by the orientation in its EXIF data; damaged EXIF data is ignored."""
    with suppress(*_EXIF_ERRORS):  # TIFF and HEIF come upright from their decoders, with the tag reset
        ImageOps.exif_transpose(image, in_place=True)


def is_turned(image: Image.Image) -> bool:
    """Whether `turn_upright` would change the image."""
    with suppress(*_EXIF_ERRORS):
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
    return False


def _space(image: Image.Image, data: bytes, image_format: str) -> ColorSpace | None:
    """The color space to convert from where no profile decides, or None."""
    with suppress(*_EXIF_ERRORS):
        space, wins = stated_space(image, data, image_format)
        if wins or not image.info.get("icc_profile"):
            return space if image.mode not in ("CMYK", "LAB") else None
    return None


def _opened(data: bytes, image_format: str, name: str | None) -> Image.Image:
    """The photo, or the preview of a RAW file, of which only the header is decoded."""
    if image_format == "RAW":
        from realqa_cli.media.raw import raw_preview

        return raw_preview(data, name)
    return Image.open(io.BytesIO(data), formats=(image_format,))


def mute_decoder_warnings() -> None:
    """Ignores the decoders' warnings about odd files, from now on.

    `warnings.catch_warnings` would not do: all threads share the filters, and the end of one decode would restore
    them during another one. The filter is added again if other code has reset the filters.
    """
    if not any(action == "ignore" and module == _DECODERS for action, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module=_DECODERS.pattern)


def out_of_memory(name: str | None) -> MediaError:
    """The error for a file whose decoder needs more memory than it may take."""
    remedy = "raise --decode-memory or scale it down"
    return MediaError("too large to decode", type="too-large", where=name, remedy=remedy)
