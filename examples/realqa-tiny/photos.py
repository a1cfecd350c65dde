"""Photographs: which ones may be learned from, and how they reach the size at which a model sees them.

Knows the split and the resize rule of Qwen2-VL. Does not know degradations, labels or models.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
from PIL import Image

GRID = 28  # pixels: patch 14 x merge 2
MIN_PIXELS = 200_704
MAX_PIXELS = 401_408
# Pixels; smaller photos are soft at full size and are halved before they serve as a reference.
SMALL_PHOTO = 300_000

# Sample photos that ship with the project. They stay out of every training and fitting step,
# so that what the project demonstrates on them is honest.
SHIPPED = frozenset(
    {
        "seeding_by_clements_engelhardt.jpg",
        "citrus-fruits.jpg",
        "european-honey-bee.jpg",
        "aitzgorri_by_aitzol_berasategi.jpg",
        "friends_by_aitzol_berasategi.jpg",
        "life_by_aitzol_berasategi.jpg",
        "picosdeeuropa_by_aitzol_berasategi.jpg",
        "sunset_by_aitzol_berasategi.jpg",
        "picture_0b_by_freespace.jpg",
        "picture_1a_by_freespace.jpg",
        "wine_by_jakkub_mede.jpg",
    }
)
HELD_OUT = 20  # further photos that are never trained on


def split(folder: Path) -> dict[str, list[Path]]:
    """The photos of a folder as `train`, `held_out` and `shipped`; the choice depends on file names only."""
    photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    others = [p for p in photos if p.name not in SHIPPED]
    others.sort(key=lambda p: hashlib.sha256(p.name.encode()).hexdigest())
    return {
        "train": others[HELD_OUT:],
        "held_out": others[:HELD_OUT],
        "shipped": [p for p in photos if p.name in SHIPPED],
    }


def fitted_size(width: int, height: int, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height after Qwen2-VL's rule: multiples of 28, area within the bounds, aspect ratio kept."""
    fitted_width = round(width / GRID) * GRID
    fitted_height = round(height / GRID) * GRID
    if fitted_width * fitted_height > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        fitted_width = max(GRID, math.floor(width / shrink / GRID) * GRID)
        fitted_height = max(GRID, math.floor(height / shrink / GRID) * GRID)
    elif fitted_width * fitted_height < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        fitted_width = math.ceil(width * grow / GRID) * GRID
        fitted_height = math.ceil(height * grow / GRID) * GRID
    return fitted_width, fitted_height


def fit(photo: Image.Image, min_pixels: int = MIN_PIXELS, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The photo as the model sees it: RGB, bicubic, on the 28-pixel grid."""
    return photo.convert("RGB").resize(fitted_size(*photo.size, min_pixels, max_pixels), Image.Resampling.BICUBIC)


def load(path: Path) -> Image.Image:
    """A decoded RGB photo."""
    with Image.open(path) as photo:
        return photo.convert("RGB")


def reference(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A sharp version of the photo at a random zoom; three times out of five exactly the fitted size."""
    width, height = photo.size
    if width * height < SMALL_PHOTO:
        zoom = 0.5
    elif rng.random() < 0.6:
        return fit(photo)
    else:
        zoom = rng.uniform(0.5, 0.9)
    size = (max(GRID * 4, round(width * zoom)), max(GRID * 4, round(height * zoom)))
    return photo.resize(size, Image.Resampling.BICUBIC)


def region(image: Image.Image, side: int, rng: np.random.Generator) -> Image.Image:
    """A random window of at most `side` pixels a side; both sides are multiples of 28."""
    width, height = (min(side, extent // GRID * GRID) for extent in image.size)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))
