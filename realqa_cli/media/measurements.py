"""What `realqa rank` needs to know of a photo beyond its score, measured while it is decoded at full size."""

from collections.abc import Mapping
from typing import Any

from PIL.Image import Image

from realqa_cli.media.capture_time import capture_time
from realqa_cli.media.fingerprint import fingerprint_of
from realqa_cli.media.sharpness import measure_sharpness

VERSION = 1
"""Of the measurements; records of other versions are not continued."""


def measure_photo(photo: Image, data: bytes | None = None, name: str | None = None) -> Mapping[str, Any]:
    """JSON-ready: `sharpness`, `pixels` (width, height), `taken`, and the fingerprint's `phash` and `thumbnail`.

    photo: upright RGB at its full size.  data: the file, for the time at which the photo was taken.
    """
    return {
        "sharpness": measure_sharpness(photo),
        "pixels": [photo.width, photo.height],
        "taken": None if data is None else capture_time(data, name),
        **fingerprint_of(photo).as_fields(),
    }
