"""Photos: decode safely, turn upright, convert to 8-bit RGB.

This is the only module that decodes photos. It takes bytes or a path and returns a plain RGB image, or raises a
`MediaError` whose `type` is one of `ErrorType`. Knows nothing of records, prompts or models.

The result is that of ``Image.open(...).convert("RGB")``, the loader that the models of this field were trained
with, except that the orientation from EXIF (or the container) is applied, once, and for the colors and tones
that `media.color` lists. Of animations and multi-page files the first frame is used.
"""

import io
import logging
import struct
import warnings
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Literal

from PIL import AvifImagePlugin, Image, ImageOps, TiffImagePlugin, WebPImagePlugin  # noqa: F401 (registered)

from realqa_cli.errors import MediaError
from realqa_cli.media.color import to_rgb
from realqa_cli.media.files import read_bytes
from realqa_cli.media.formats import photo_format
from realqa_cli.media.resize import check_ratio

ErrorType = Literal["missing", "empty", "unreadable", "unsupported", "broken", "too-large", "video"]
"""missing: no such file; empty: 0 bytes; unreadable: the system refuses it (permission, a folder, a device);
unsupported: neither a photo nor a video, a refused format, or a strip (resize.py); broken: it cannot be decoded;
too-large: beyond `MAX_PIXELS`, `MAX_FILE_BYTES` or the memory; video: a video where a photo is expected."""

MAX_PIXELS = 250_000_000  # phones reach 200 megapixels, single shots of medium-format cameras 151

# What damaged EXIF raises. A photo with damaged metadata is still a photo, as in every viewer.
_EXIF_ERRORS = (SyntaxError, OSError, ValueError, TypeError, LookupError, AttributeError, struct.error)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # otherwise its errors are printed to stderr
# Pillow's own check warns from this limit on and refuses from twice of it. It must not be below ours.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)


@dataclass(frozen=True)
class DecodeOptions:
    """How photos are decoded.

    draft_pixels: a JPEG may be decoded at a half, a quarter or an eighth of its width and height, as long as at
    least so many pixels are left. This is faster, and its pixels differ from those of scaling down. None
    decodes photos at their full size.
    """

    draft_pixels: int | None = None


def open_photo(data: bytes | Path, *, name: str | None = None, options: DecodeOptions = DecodeOptions()) -> Image.Image:
    """Decodes one photo completely to an upright image of mode RGB, 8 bits, without metadata.

    `name` is used in error messages (default: the path). Raises `MediaError` and nothing else: any type
    of `ErrorType` for a path, all but missing and unreadable for bytes.
    """
    if isinstance(data, Path):
        name = str(data) if name is None else name
        data = read_bytes(data)
    image_format = photo_format(data, name)
    try:
        return _decode(data, image_format, name, options)
    except MediaError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise MediaError("too large to decode; scale it down", type="too-large", where=name) from error
    except Exception as error:
        # Hostile bytes make the decoders raise nearly anything (OSError, ValueError, TypeError, SyntaxError,
        # RuntimeError, struct.error, ...); a file that cannot be decoded is one failed item, never a crash.
        reason = str(error) if "<_io." not in str(error) else "Pillow does not know its header"
        what = f"this {image_format} file is truncated, corrupt or of an unusual kind ({reason})"
        raise MediaError(what, type="broken", where=name, remedy="replace it by an intact copy") from error


def photo_area(path: Path) -> int:
    """The photo's area in pixels from its header, without decoding it; 0 if the header does not say."""
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
            image_format = photo_format(file.read(64), str(path))
            with Image.open(file, formats=(image_format,)) as photo:
                return photo.width * photo.height
    except Exception:  # noqa: BLE001 - as in `open_photo`, which reports what is wrong when the photo is opened
        return 0


def _decode(data: bytes, image_format: str, name: str | None, options: DecodeOptions) -> Image.Image:
    with warnings.catch_warnings():
        # Only the decoders' warnings about odd files are muted: a race of threads here harms no other warnings.
        warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
        with Image.open(io.BytesIO(data), formats=(image_format,)) as image:
            if image.width * image.height > MAX_PIXELS:  # by the header: nothing is decoded yet
                what = f"{image.width} x {image.height} pixels are over the limit of {MAX_PIXELS:,}"
                raise MediaError(what, type="too-large", where=name, remedy="scale it down")
            check_ratio(image.width, image.height, name)
            if options.draft_pixels is not None and image_format == "JPEG":
                share = min(1.0, sqrt(options.draft_pixels / (image.width * image.height)))
                image.draft(None, (ceil(image.width * share), ceil(image.height * share)))
            image.load()
            with suppress(*_EXIF_ERRORS):  # TIFF and HEIF come upright from their decoders, with the tag reset
                ImageOps.exif_transpose(image, in_place=True)
            photo = to_rgb(image)
    photo.info = {}  # the pixels are upright and opaque: nobody may apply the old metadata to them again
    return photo
