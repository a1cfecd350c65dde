"""Photos: recognise by content, decode safely, turn upright, bring to 8-bit RGB.

This is the only module that decodes photos. It takes bytes or a path and gives a plain RGB image, or a
`MediaError` whose `type` is one of `ErrorType`; it knows nothing of records, prompts or models.

What comes out is what ``Image.open(...).convert("RGB")`` gives, the loader that the field's models were
trained with, except where that is plainly wrong:

- orientation from EXIF (or the container) is applied, once;
- transparency is laid on white, as a browser shows it: the colours under it are arbitrary;
- grey of 16 bits keeps its tones (white is 65,535; 4,095 in a TIFF of 12 bits), where Pillow clips at 255;
- 32-bit integers that fit 16 bits are read as such, others are stretched from their least to their greatest;
- floats: white is the smallest of 1, 255 and 65,535 that no value exceeds; with negative or larger values
  they are stretched likewise. NaN and -inf become the darkest value, +inf the brightest;
- CMYK and Lab go to sRGB, CMYK by the embedded profile if it has one that works.

RGB and grey files with a colour profile keep their stored numbers: converting wide-gamut photos would give
the models other pixels than they were trained on. Of animations and multi-page files the first frame counts.
"""

import io
import logging
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from math import ceil, sqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import AvifImagePlugin, Image, ImageOps, TiffImagePlugin, WebPImagePlugin  # noqa: F401 (registered)

from realqa_cli.errors import MediaError
from realqa_cli.media.decoders import prepare_decoders
from realqa_cli.media.resize import check_ratio

ErrorType = Literal["missing", "empty", "unreadable", "unsupported", "broken", "too-large", "video"]
"""missing: no such file; empty: 0 bytes; unreadable: the system refuses it (permission, a folder, a device);
unsupported: no photo or video, a refused format, or a strip (pixels.py); broken: the decoder gives up on it;
too-large: beyond `MAX_PIXELS`, `MAX_FILE_BYTES` or the memory; video: a video where a photo was asked for."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v"})

MAX_PIXELS = 250_000_000  # phones reach 200 megapixels, single shots of medium-format cameras 151
MAX_FILE_BYTES = 2**30

# The allow-list. Each group is named as Pillow names the format, and only that one decoder is ever started.
_SIGNATURES = re.compile(
    rb"""(?P<JPEG>\xff\xd8\xff) | (?P<PNG>\x89PNG\r\n\x1a\n) | (?P<GIF>GIF8[79]a) | (?P<BMP>BM)
    | (?P<TIFF>II[*+]\0|MM\0[*+]) | (?P<WEBP>RIFF.{4}WEBP)
    | (?P<AVIF>.{4}ftyp(?:.{4}){0,9}?avi[fs])  # among the brands: the first one can be HEIF's mif1
    | (?P<HEIF>.{4}ftyp(?:he[iv][cmsx]|m[is]f1))
    | (?P<video>.{4}ftyp(?:iso|mp4|avc|qt|3g|M4V|dash|MSNV|mmp4|[Ff]4v|XAVC)
        | .{4}(?:moov|mdat|wide) | \x1a\x45\xdf\xa3 | RIFF.{4}AVI[ ])""",
    re.DOTALL | re.VERBOSE,
)
_BITS_PER_SAMPLE = 258  # a TIFF tag
# What garbled EXIF raises. A photo with garbled metadata is still a photo, as every viewer has it.
_GARBLED = (SyntaxError, OSError, ValueError, TypeError, LookupError, AttributeError, struct.error)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to stderr, unasked
# Pillow's own bomb check warns from this limit on and refuses from twice of it. It must not stand below ours.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises `MediaError`: missing, unreadable, empty or too-large."""
    with opened(path) as (file, size):
        if size > MAX_FILE_BYTES:
            raise MediaError(f"over {MAX_FILE_BYTES:,} bytes", type="too-large", where=str(path))
        return file.read()


@contextmanager
def opened(path: Path) -> Iterator[tuple[io.BufferedReader, int]]:
    """The file, and its size in bytes. Raises `MediaError`: missing, unreadable or empty."""
    where = str(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device could block for ever
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise MediaError(f"this is {kind}", type="unreadable", where=where)
        if not status.st_size:
            raise MediaError("the file is empty (0 bytes)", type="empty", where=where)
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError("no such file", type="missing", where=where, remedy="check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(error, where) from error
    with file:
        try:
            yield file, status.st_size
        except OSError as error:
            raise _unreadable(error, where) from error


def _unreadable(error: Exception, where: str) -> MediaError:
    reason = getattr(error, "strerror", None) or error
    return MediaError(f"cannot be read ({reason})", type="unreadable", where=where)


def content_id(data: bytes) -> str:
    """``sha256:<64 hex digits>`` of a file's bytes: the same photo under any name."""
    return f"sha256:{sha256(data).hexdigest()}"


def content_id_of(path: Path) -> str:
    """The same without holding the file in memory. Raises `MediaError`: missing, unreadable or empty."""
    with opened(path) as (file, _):
        return f"sha256:{file_digest(file, 'sha256').hexdigest()}"


def open_photo(data: bytes | Path, *, name: str | None = None, enough: int | None = None) -> Image.Image:
    """Decode one photo, fully, to an upright image of mode RGB, 8 bits, without metadata.

    enough: a JPEG may come at a half, a quarter or an eighth of its width and height, as long as so many
    pixels are left; its decoder is then faster, and its pixels are others than those of scaling down.
    `name` stands in the error message (default: the path). Raises `MediaError` and nothing else: any type
    of `ErrorType` for a path, all but missing and unreadable for bytes.
    """
    if isinstance(data, Path):
        name = str(data) if name is None else name
        data = read_bytes(data)
    image_format = _recognise(data, name)
    try:
        return _decode(data, image_format, name, enough)
    except MediaError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise MediaError("too large to decode; scale it down", type="too-large", where=name) from error
    except Exception as error:
        # Hostile bytes make the decoders raise nearly anything (OSError, ValueError, TypeError, SyntaxError,
        # RuntimeError, struct.error, ...); a file that cannot be decoded is one failed item, never a crash.
        reason = str(error) if "<_io." not in str(error) else "not a header that Pillow knows"
        what = f"this {image_format} file is truncated, corrupt or of an unusual kind ({reason})"
        raise MediaError(what, type="broken", where=name, remedy="replace it by an intact copy") from error


def photo_area(path: Path) -> int:
    """The photo's pixels by its header, without decoding it; 0 where no header tells."""
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
            image_format = _recognise(file.read(64), str(path))
            with Image.open(file, formats=(image_format,)) as photo:
                return photo.width * photo.height
    except Exception:  # noqa: BLE001 - as in `open_photo`, which says what is wrong when its turn comes
        return 0


def _recognise(data: bytes, name: str | None) -> str:
    """Pillow's name of the format, from the first bytes. Raises `MediaError`: empty, unsupported or video."""
    if not data:
        raise MediaError("the file is empty (0 bytes)", type="empty", where=name)
    found = _SIGNATURES.match(data[:64])
    image_format = found.lastgroup if found else None
    if image_format is None:
        remedy = "realqa reads JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC"
        raise MediaError("not a photo of a known format", type="unsupported", where=name, remedy=remedy)
    if image_format == "video":
        raise MediaError("this is a video, not a photo", type="video", where=name)
    prepare_decoders(image_format)
    return image_format


def _decode(data: bytes, image_format: str, name: str | None, enough: int | None) -> Image.Image:
    with warnings.catch_warnings():
        # Only the decoders' warnings about odd files are muted: a race of threads here harms nobody else's.
        warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
        with Image.open(io.BytesIO(data), formats=(image_format,)) as image:
            if image.width * image.height > MAX_PIXELS:  # as the header says: nothing is decoded yet
                what = f"{image.width} x {image.height} pixels are over the limit of {MAX_PIXELS:,}"
                raise MediaError(what, type="too-large", where=name, remedy="scale it down")
            check_ratio(image.width, image.height, name)
            if enough is not None and image_format == "JPEG":
                share = min(1.0, sqrt(enough / (image.width * image.height)))
                image.draft(None, (ceil(image.width * share), ceil(image.height * share)))
            image.load()
            with suppress(*_GARBLED):  # TIFF and HEIF come upright from their decoders, with the tag reset
                ImageOps.exif_transpose(image, in_place=True)
            photo = _to_rgb(image)
    photo.info = {}  # the pixels are upright and opaque: nobody shall apply the old metadata to them again
    return photo


def _to_rgb(image: Image.Image) -> Image.Image:
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
    """Grey of 9 to 32 bits or of floats to mode L; the module's docstring has the rules."""
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
    for top in range(0, len(samples), 256):  # in bands: 250 megapixels of float64 would take 2 GB
        band = np.nan_to_num(samples[top : top + 256].astype(np.float64), nan=low, posinf=high, neginf=low)
        grey[top : top + 256] = np.rint((band - low) * (255 / ((high - low) or 1)))
    return Image.fromarray(grey)


def _to_srgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # for few files: do not pay for it at start-up

    embedded = image.info.get("icc_profile")
    if image.mode == "CMYK" and not embedded:
        return image  # without a profile Pillow's plain inversion is as good a guess as any
    try:
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else io.BytesIO(embedded or b"")
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a profile that is garbled or for another colour space
