"""Flags of photos with next to no content, whose scores mean little.

They are computed from samples and small crops of the decoded photo, in a few milliseconds for any size.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Flag = Literal["blank", "tiny", "extreme_aspect", "upscaled"]
"""blank: one color, up to noise; tiny: the shorter side has under `TINY_SIDE` pixels; extreme_aspect: the longer side
is over `EXTREME_ASPECT` times the shorter one; upscaled: no detail at the photo's own resolution, as after
enlarging to about twice the size (not all such photos are found)."""

TINY_SIDE = 96
EXTREME_ASPECT = 5
_SAMPLES, _BLOCK = 128, 8
_BLANK_DEVIATION = 2.0  # of the mean colors of 256 blocks, in levels of 255
_BLANK_RANGE = 80  # from the 0.1 to the 99.9 percentile of a channel: noise is below, stars are above
_UPSCALED_SIDE = 384  # shorter photos are not checked
_CROP, _CROPS = 128, 5
# Detail of the finest octave relative to the next but one. In 56 photographs it was 0.46 and more; 62 % of them had
# less than 0.3 after enlarging to twice the size, and a fifth to a third after enlarging more.
_UPSCALED_DETAIL = 0.3
_TEXTURE = 1.0  # least detail of the coarser octave, in levels, for a crop to be judged


def content_flags(photo: Image.Image) -> list[Flag]:
    """The flags of an RGB photo at its full size; most photos have none."""
    flags: list[Flag] = []
    short, long = sorted(photo.size)
    if blank := is_blank(photo):
        flags.append("blank")
    if short < TINY_SIDE:
        flags.append("tiny")
    if long > EXTREME_ASPECT * short:
        flags.append("extreme_aspect")
    if not blank and short >= _UPSCALED_SIDE and _is_upscaled(photo):
        flags.append("upscaled")
    return flags


def is_blank(photo: Image.Image) -> bool:
    """Whether an RGB photo has one color only, up to noise."""
    sampled = np.asarray(photo.resize((_SAMPLES, _SAMPLES), Image.Resampling.NEAREST), dtype=np.float32)
    low, high = np.percentile(sampled, (0.1, 99.9), axis=(0, 1))
    if float((high - low).max()) > _BLANK_RANGE:
        return False
    side = _SAMPLES // _BLOCK
    blocks = sampled.reshape(side, _BLOCK, side, _BLOCK, 3).mean(axis=(1, 3))
    return float(blocks.std(axis=(0, 1)).max()) < _BLANK_DEVIATION


def _is_upscaled(photo: Image.Image) -> bool:
    """Whether all crops with texture lack the finest octave; a photo with detail is known by its first crops."""
    judged = False
    for row in range(_CROPS):
        for column in range(_CROPS):
            left = (photo.width - _CROP) * column // (_CROPS - 1)
            top = (photo.height - _CROP) * row // (_CROPS - 1)
            crop = photo.crop((left, top, left + _CROP, top + _CROP)).convert("L")
            half = crop.reduce(2)
            quarter = half.reduce(2)
            coarse = _detail(quarter, quarter.reduce(2))
            if coarse >= _TEXTURE:
                judged = True
                if _detail(crop, half) >= _UPSCALED_DETAIL * coarse:
                    return False
    return judged


def _detail(image: Image.Image, reduced: Image.Image) -> float:
    """Root mean square of what reducing an image to a half removes."""
    before: npt.NDArray[np.float32] = np.asarray(image, dtype=np.float32)
    after = np.asarray(reduced.resize(image.size, Image.Resampling.BICUBIC), dtype=np.float32)
    return float(np.sqrt(np.mean((before - after) ** 2)))
