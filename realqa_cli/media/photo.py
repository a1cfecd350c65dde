"""Photos: recognize, check the header, decode within bounds, turn upright, convert to 8-bit sRGB.

It takes bytes or a path and returns a plain RGB image, or raises a `MediaError` whose `type` is a
`decode.ErrorType`. Knows nothing of records, prompts or models.

The result is that of ``Image.open(...).convert("RGB")``, the loader that the models of this field were trained
with, except that the orientation from EXIF (or the container) is applied, once, and for the colors and tones
that `media.color` lists. Of animations and multi-page files the first frame is used.

Plain photos (`media.limits`) are decoded in this process. All others are decoded by a worker process
(`media.worker_pool`), whose time and memory are limited.
"""

import io
from pathlib import Path

from PIL import Image

from realqa_cli.errors import MediaError
from realqa_cli.media import worker_pool
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions, decode_photo, mute_decoder_warnings
from realqa_cli.media.files import read_bytes
from realqa_cli.media.formats import photo_format, prepare_decoder
from realqa_cli.media.limits import read_header


def open_photo(
    data: bytes | Path, *, name: str | None = None, options: DecodeOptions = DEFAULT_DECODING
) -> Image.Image:
    """Decodes one photo completely to an upright image of mode RGB, 8 bits, without metadata.

    `name` is used in error messages (default: the path). Raises `MediaError` and nothing else: any type
    of `ErrorType` for a path, all but missing and unreadable for bytes.
    """
    if isinstance(data, Path):
        name = str(data) if name is None else name
        data = read_bytes(data)
    image_format = photo_format(data, name)
    header = read_header(data, image_format, options.memory * 10**6, name)
    if worker_pool.AVAILABLE and (header is None or not header.plain):
        return worker_pool.decode_in_worker(data, image_format, name, options)
    prepare_decoder(image_format)
    return decode_photo(data, image_format, name, options)


def stated_area(data: bytes) -> int:
    """The photo's area in pixels where its header states it and no decoder is needed to read it; else 0."""
    try:
        header = read_header(data, photo_format(data, None), 2**62, None)
    except MediaError:  # `open_photo` reports it
        return 0
    return 0 if header is None else header.width * header.height


def photo_area(source: bytes | Path) -> int:
    """The photo's area in pixels from its header, without decoding it; 0 if the header does not say."""
    name = None if isinstance(source, bytes) else str(source)
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            start = file.read(2**21)
            image_format = photo_format(start, name)
            header = read_header(start, image_format, 2**62, name)
            if header is not None:
                return header.width * header.height
            prepare_decoder(image_format)
            mute_decoder_warnings()
            with Image.open(file, formats=(image_format,)) as photo:
                return photo.width * photo.height
    except Exception:  # noqa: BLE001 - as in `open_photo`, which reports what is wrong when the photo is opened
        return 0
