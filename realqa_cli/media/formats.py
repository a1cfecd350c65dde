"""Formats of photos: recognized by the first bytes, never by the name, and each decoded by one decoder only."""

import os
import re
from contextlib import suppress
from functools import cache

from realqa_cli.errors import MediaError

# The allow-list. Each group is named as Pillow names the format, and only that decoder is ever started.
SIGNATURES = re.compile(
    rb"""(?P<JPEG>\xff\xd8\xff) | (?P<PNG>\x89PNG\r\n\x1a\n) | (?P<GIF>GIF8[79]a) | (?P<BMP>BM)
    | (?P<TIFF>II[*+]\0|MM\0[*+]) | (?P<WEBP>RIFF.{4}WEBP)
    | (?P<AVIF>.{4}ftyp(?:.{4}){0,9}?avi[fs])  # among the brands: the first one can be HEIF's mif1
    | (?P<HEIF>.{4}ftyp(?:he[iv][cmsx]|m[is]f1))
    | (?P<RAW>.{4}ftypcrx|FUJIFILMCCD-RAW|FOVb|II(?:R[OS]|U\0)|\0MRM)  # CR3, RAF, X3F, ORF, RW2, MRW
    | (?P<video>.{4}ftyp(?:iso|mp4|avc|qt|3g|M4V|dash|MSNV|mmp4|[Ff]4v|XAVC)
        | .{4}(?:moov|mdat|wide) | \x1a\x45\xdf\xa3 | RIFF.{4}AVI[ ])""",
    re.DOTALL | re.VERBOSE,
)


RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"}
    | {".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Camera RAW files; many begin like TIFF files, so their suffix is needed to recognise them."""


def photo_format(data: bytes, name: str | None) -> str:
    """Pillow's name of the format, or "RAW", from the first 64 bytes and, for RAW files that are TIFF, the suffix.

    Raises `MediaError`: empty, unsupported or video.
    """
    if not data:
        raise MediaError("the file is empty (0 bytes)", type="empty", where=name)
    match = SIGNATURES.match(data[:64])
    image_format = match.lastgroup if match else None
    if image_format in (None, "TIFF") and is_raw_name(name or ""):
        return "RAW"
    if image_format is None:
        remedy = "realqa reads JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC and the previews of camera RAW files"
        raise MediaError("not a photo of a known format", type="unsupported", where=name, remedy=remedy)
    if image_format == "video":
        raise MediaError("this is a video, not a photo", type="video", where=name)
    return image_format


def is_raw_name(name: str) -> bool:
    """Whether a file of that name is expected to be a camera RAW file."""
    return os.path.splitext(name)[1].lower() in RAW_SUFFIXES


@cache
def prepare_decoder(image_format: str) -> None:
    """Prepares the decoder of a format, once, before its first file."""
    if image_format == "HEIF":
        import pillow_heif  # takes 0.1 s, which only photos of this format pay for

        pillow_heif.register_heif_opener()
    elif image_format == "RAW":
        with suppress(ImportError):  # `media.raw` reports it
            import rawpy  # noqa: F401 - takes 0.1 s and address space
    elif image_format == "TIFF":
        import ctypes

        from PIL import _imaging

        # libtiff prints each flaw of a file to stderr. Pillow raises errors as well, so that nothing is lost.
        with suppress(OSError, AttributeError):  # statically linked (Windows): its messages stay
            library = ctypes.CDLL(_imaging.__file__)  # also finds the symbols of the libraries that it links to
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)
