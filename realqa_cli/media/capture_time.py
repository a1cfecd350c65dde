"""When a photo was taken: the EXIF time of the exposure, with the fraction of the second where the camera wrote it."""

import io
import re
import struct
from datetime import datetime

from PIL import Image

from realqa_cli.errors import MediaError
from realqa_cli.media.decode import mute_decoder_warnings
from realqa_cli.media.formats import photo_format, prepare_decoder

_EXIF_FOLDER, _TIME, _FRACTION = 0x8769, 0x9003, 0x9291  # ExifIFD, DateTimeOriginal, SubSecTimeOriginal
_ERRORS = (SyntaxError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, struct.error)
_READ_BY_PILLOW = ("JPEG", "WEBP", "HEIF", "AVIF")  # from the header; PNG would be decoded for it


def capture_time(data: bytes, name: str | None = None) -> str | None:
    """The time as `2024-05-01T12:30:00.250000`, in the camera's time zone; None where the file does not say.

    Never raises: damaged metadata is metadata that says nothing.
    """
    mute_decoder_warnings()
    try:
        return _time_of(_exif(data, photo_format(data, name)))
    except (MediaError, *_ERRORS):
        return None


def parse_capture_time(text: object) -> float | None:
    """A capture time as seconds, for differences; None for anything else."""
    try:
        return (datetime.fromisoformat(str(text)).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        return None


def _exif(data: bytes, image_format: str) -> Image.Exif:
    if image_format in _READ_BY_PILLOW:
        prepare_decoder(image_format)
        with Image.open(io.BytesIO(data), formats=(image_format,)) as photo:
            return photo.getexif()
    exif = Image.Exif()
    if image_format in ("TIFF", "RAW") and data[:2] in (b"II", b"MM"):  # most camera RAW files are TIFF files
        exif.load(b"Exif\0\0" + data[:2] + (b"*\0" if data[:2] == b"II" else b"\0*") + data[4:])
    return exif


def _time_of(exif: Image.Exif) -> str | None:
    fields = exif.get_ifd(_EXIF_FOLDER)
    written = re.match(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d):(\d\d):(\d\d)", _text(fields.get(_TIME)))
    if written is None:
        return None
    digits = re.match(r"\d*", _text(fields.get(_FRACTION)))
    fraction = (digits[0] if digits else "")[:6].ljust(6, "0")
    year, month, day, hour, minute, second = map(int, written.groups())
    return datetime(year, month, day, hour, minute, second, int(fraction)).isoformat(timespec="microseconds")


def _text(value: object) -> str:
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")).strip(" \0")
