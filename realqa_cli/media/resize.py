"""Pixel budgets: the size at which a model gets photos and the frames of a video.

Areas and bounds are in pixels.
"""

from math import ceil, floor, sqrt

from PIL import Image

from realqa_cli.errors import MediaError

MAX_RATIO = 200  # long side : short side, Qwen2-VL's own limit

VIDEO_TOKENS = 16_384
"""Most visual tokens of a whole video: what Qwen2-VL was trained with (its report, Sec. 2.1)."""


def smart_resize(height: int, width: int, *, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Qwen2-VL's rule: (height, width) as multiples of `factor`, area within the bounds, aspect ratio nearly kept.

    The bounds are areas in pixels. Raises `MediaError` (unsupported) beyond a ratio of `MAX_RATIO`.
    """
    check_ratio(width, height)
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    if rows * columns > max_pixels:
        shrink = sqrt((height * width) / max_pixels)
        rows = max(factor, floor(height / shrink / factor) * factor)
        columns = max(factor, floor(width / shrink / factor) * factor)
    elif rows * columns < min_pixels:
        grow = sqrt(min_pixels / (height * width))
        rows, columns = ceil(height * grow / factor) * factor, ceil(width * grow / factor) * factor
    return rows, columns


def resize_within_bounds(image: Image.Image, *, factor: int, min_pixels: int, max_pixels: int) -> Image.Image:
    """Resize to `smart_resize`'s size, bicubic with antialiasing, as Qwen2-VL's image processor does."""
    area = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    rows, columns = smart_resize(image.height, image.width, factor=factor, **area)
    if image.size == (columns, rows):
        return image
    return image.resize((columns, rows), Image.Resampling.BICUBIC)


def frame_bounds(frames: int, *, factor: int, temporal: int, min_pixels: int, max_pixels: int) -> dict[str, int]:
    """The bounds of one frame's area in a video of `frames` frames, as keyword arguments.

    They are those of a photo, limited by the frame's equal share of `VIDEO_TOKENS`. factor: side in pixels of the
    square that becomes a token.  temporal: frames that share their tokens.
    """
    share = VIDEO_TOKENS * factor**2 * temporal // frames
    high = max(min(max_pixels, share), factor**2)
    return {"min_pixels": min(min_pixels, high), "max_pixels": high}


def shrink_to_area(image: Image.Image, area: int, resample: Image.Resampling) -> Image.Image:
    """The image, shrunk to at most `area` pixels if it has more; the aspect ratio is kept."""
    if image.width * image.height <= area:
        return image
    factor = sqrt(area / (image.width * image.height))
    size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
    return image.resize(size, resample)


def check_ratio(width: int, height: int, name: str | None = None) -> None:
    """Raises `MediaError` (unsupported) if one side is over `MAX_RATIO` times the other."""
    if max(width, height) > MAX_RATIO * min(width, height):
        what = f"{width} x {height} pixels: one side is over {MAX_RATIO} times the other"
        raise MediaError(what, type="unsupported", where=name, remedy="crop it")
