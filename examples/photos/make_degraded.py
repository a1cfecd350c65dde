"""Make the sample photos of this folder from their originals: `python make_degraded.py ORIGINALS_FOLDER`.

Every sample is its original at 800 pixels on the longest side. Some are here a second time, damaged
on purpose, so that a reader sees the scores fall. The noise is seeded: the script always writes the same
pictures. LICENSES.md says whose photos these are.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

HERE = Path(__file__).resolve().parent
ORIGINALS = {
    "bee": "european-honey-bee.jpg",
    "brushes": "picture_1a_by_freespace.jpg",
    "dandelion": "seeding_by_clements_engelhardt.jpg",
    "dogs": "friends_by_aitzol_berasategi.jpg",
    "mountain": "picosdeeuropa_by_aitzol_berasategi.jpg",
}
LONGEST_SIDE = 800
QUALITY = 85


def noisy(photo: Image.Image, sigma: float) -> Image.Image:
    """Gaussian noise of `sigma` grey levels on every channel."""
    pixels_H_W_C = np.asarray(photo, dtype=np.float32)
    grain_H_W_C = np.random.default_rng(0).normal(0, sigma, pixels_H_W_C.shape)
    return Image.fromarray(np.clip(pixels_H_W_C + grain_H_W_C, 0, 255).astype(np.uint8))


def main(originals: Path) -> None:
    """Write the samples and their damaged versions next to this script."""
    photos = {}
    for name, file in ORIGINALS.items():
        with Image.open(originals / file) as original:
            photo = original.convert("RGB")
        photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        photo.save(HERE / f"{name}.jpg", quality=QUALITY, optimize=True)
        photos[name] = photo

    bee, mountain = photos["bee"], photos["mountain"]
    damaged = {
        "bee_blurred": (bee.filter(ImageFilter.GaussianBlur(4)), QUALITY),
        "bee_dark": (ImageEnhance.Brightness(bee).enhance(0.25), QUALITY),
        "bee_jpeg": (bee, 5),
        "bee_noisy": (noisy(bee, 40), 75),
        "mountain_blurred": (mountain.filter(ImageFilter.GaussianBlur(2)), QUALITY),
        "mountain_blurred_more": (mountain.filter(ImageFilter.GaussianBlur(6)), QUALITY),
    }
    for name, (photo, quality) in damaged.items():
        photo.save(HERE / f"{name}.jpg", quality=quality, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python make_degraded.py ORIGINALS_FOLDER")
    main(Path(sys.argv[1]))
