"""Camera RAW files: the largest preview that the camera embedded, by `rawpy` (the extra `realqa[raw]`).

The sensor data is not developed: the preview is the camera's own rendering, and most cameras embed one at full
size. This module is called where time and memory are limited, in a worker process (`media.worker_pool`).
"""

import io
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from realqa_cli.errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

REMEDY = "pip install 'realqa[raw]' to use the preview in RAW files, or export them as JPEG"

_ORIENTATIONS = {3: 3, 5: 8, 6: 6}  # LibRaw's flip (180, 90 left, 90 right) as EXIF orientation
_ORIENTATION = 0x0112
_UPRIGHT = 1


def can_read_raw() -> bool:
    """Whether `rawpy` is installed."""
    return find_spec("rawpy") is not None


def raw_preview(data: bytes, name: str | None) -> "Image":
    """The preview, not decoded yet, with the orientation of the RAW file in its EXIF data. Raises `MediaError`."""
    try:
        import rawpy
    except ImportError as error:
        what = "camera RAW files need the package rawpy"
        raise MediaError(what, type="unsupported", where=name, remedy=REMEDY) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            preview, flip = raw.extract_thumb(), raw.sizes.flip
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError) as error:
        what = "this RAW file has no preview that can be read"
        raise MediaError(what, type="unsupported", where=name, remedy="export it as JPEG") from error
    except rawpy.LibRawError as error:
        what = f"this RAW file is truncated, corrupt or of an unknown camera ({_reason(error)})"
        raise MediaError(what, type="broken", where=name, remedy="export it as JPEG") from error
    from PIL import Image

    if isinstance(preview.data, bytes):
        photo: Image.Image = Image.open(io.BytesIO(preview.data), formats=("JPEG",))
    else:
        photo = Image.fromarray(preview.data)
    exif = photo.getexif()
    if exif.get(_ORIENTATION, _UPRIGHT) == _UPRIGHT and flip in _ORIENTATIONS:
        exif[_ORIENTATION] = _ORIENTATIONS[flip]
    return photo


def _reason(error: Any) -> str:
    text = error.args[0] if error.args else error
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
