"""Small pictures of photos and videos for the HTML report, as data URIs."""

import io
from base64 import b64encode
from pathlib import Path

from realqa_cli.errors import MediaError
from realqa_cli.media.decode import DecodeOptions
from realqa_cli.media.photo import open_photo
from realqa_cli.media.video import first_frame

LARGE, SMALL = 360, 224
"""Longest side in pixels: of few thumbnails, and of many."""
FEW = 500
"""Photos up to which thumbnails are large."""


def thumbnail(path: Path, *, video: bool, side: int) -> str | None:
    """The picture, or a video's first frame, with a longest side of `side`; None where it cannot be read."""
    try:
        options = DecodeOptions(draft_pixels=2 * side * side)
        photo = first_frame(path, options) if video else open_photo(path, options=options)
    except MediaError:
        return None
    photo.thumbnail((side, side))
    packed = io.BytesIO()
    photo.save(packed, "JPEG", quality=78 if side == LARGE else 70, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(packed.getvalue()).decode('ascii')}"
