"""Photo or video: by the first bytes of a file, and by suffix where there is no content to look at."""

import os
import re
import stat
from typing import Literal

from realqa_cli.media.formats import SIGNATURES

Kind = Literal["image", "video"]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
    | {".heif", ".hif"}
)
UNSURE_SUFFIXES = frozenset({".ts", ".mts"})
"""Suffixes of videos that other files (TypeScript) have too."""
VIDEO_SUFFIXES = UNSURE_SUFFIXES | frozenset(
    {".mp4", ".mkv", ".webm", ".mov", ".qt", ".avi", ".m4v", ".3gp", ".3g2", ".m2ts"}
)
SURE_SUFFIXES = (IMAGE_SUFFIXES | VIDEO_SUFFIXES) - UNSURE_SUFFIXES
CAMERA_SUFFIXES = (".jpg", ".jpeg", ".heic", ".heif", ".hif")
"""Suffixes of the photos that cameras write next to RAW files and live photos, in the order of preference."""

HEAD = 400
"""Bytes that recognise every format: MPEG transport streams repeat a mark after 188 or 192 bytes."""

_TRANSPORT_STREAM = re.compile(rb"\x47.{187}\x47.{187}\x47|.{4}\x47.{191}\x47", re.DOTALL)


def kind_of_content(head: bytes) -> Kind | None:
    """What a file that begins with these bytes is; None for anything but a photo or video."""
    match = SIGNATURES.match(head)
    if match:
        return "video" if match.lastgroup == "video" else "image"
    return "video" if _TRANSPORT_STREAM.match(head) else None


def kind_of_file(path: str) -> Kind | None:
    """The same for a file; None also for what is not a regular file or cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe could block for ever
            return None
        with open(path, "rb") as file:
            return kind_of_content(file.read(HEAD))
    except (OSError, ValueError):
        return None


def kind_by_suffix(name: str) -> Kind:
    """What a file of that name is expected to be."""
    return "video" if suffix_of(name) in VIDEO_SUFFIXES else "image"


def suffix_of(name: str) -> str:
    """The suffix in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()
