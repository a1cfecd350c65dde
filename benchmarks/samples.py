"""Photos to measure with: the project's samples, made large as a camera's or small as a thumbnail's."""

import os
from pathlib import Path

from PIL import Image

PHOTOS = Path(__file__).resolve().parent.parent / "examples" / "photos"


def large(folder: Path, count: int, size: tuple[int, int] = (1920, 1080)) -> Path:
    """JPEGs of one size, enlarged and cropped from the samples."""
    return _write(folder, count, size)


def small(folder: Path, count: int) -> Path:
    """So many links to four JPEGs of few pixels: reading a folder of them costs what reading photos does."""
    first = _write(folder / "first", 4, (128, 96))
    for number in range(count):
        name = folder / "links" / f"{number // 1000:03}" / f"{number:06}.jpg"
        name.parent.mkdir(parents=True, exist_ok=True)
        os.link(first / f"{number % 4}.jpg", name)
    return folder / "links"


def _write(folder: Path, count: int, size: tuple[int, int]) -> Path:
    folder.mkdir(parents=True)
    files = sorted(PHOTOS.glob("*.jpg"))
    for number in range(count):
        photo = Image.open(files[number % len(files)]).convert("RGB")
        scale = max(size[0] / photo.width, size[1] / photo.height)
        fitted = photo.resize((round(photo.width * scale) + 1, round(photo.height * scale) + 1))
        fitted.crop((0, 0, *size)).save(folder / f"{number}.jpg", quality=90)
    return folder
