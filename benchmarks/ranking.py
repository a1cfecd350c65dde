"""How well `realqa rank` culls: blurred frames in made bursts, planted copies among different photos, and its time.

    python -m benchmarks.ranking PHOTOS                        all three
    python -m benchmarks.ranking PHOTOS --only bursts --sigma 2 4

Bursts: each scene is a photo, continued by its mirror images to 24 megapixels so that it has detail at full
resolution, in five frames that differ by a shift of the camera, exposure, noise and JPEG compression. One of them
is blurred by sigma 2 or 4 pixels, which is half a pixel or less at the size at which the model looks at it.

Copies: each photo and three copies of it, reduced to a half, compressed again at quality 40, and cropped by 2 %.
"""

import argparse
import contextlib
import io
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from realqa_cli.cli import main as realqa

FRAMES = 5
MEGAPIXELS = 24.0
NOISE = 3.0  # levels of 255
SHIFT = 40  # pixels, at most
START = datetime(2026, 5, 1, 12)
_EXIF_FOLDER, _TIME, _FRACTION = 0x8769, 0x9003, 0x9291


def mirrored(photo: Image.Image, width: int, height: int) -> Image.Image:
    """The photo continued to the right and downwards by its mirror images."""
    tile = np.asarray(photo.convert("RGB"))
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    tile = np.concatenate([tile, tile[::-1]], axis=0)
    times = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    return Image.fromarray(np.tile(tile, times)[:height, :width])


def burst(
    photo: Image.Image, sigma: float, *, seed: int, megapixels: float = MEGAPIXELS
) -> tuple[list[Image.Image], int]:
    """The frames of a burst, and the index of the one that is blurred by `sigma` pixels."""
    width, height = round((megapixels * 1.5e6) ** 0.5), round((megapixels / 1.5e-6) ** 0.5)
    scene = mirrored(photo, width + SHIFT, height + SHIFT)
    chance, numbers = random.Random(seed), np.random.default_rng(seed)
    blurred = chance.randrange(FRAMES)
    noise = numbers.normal(0, NOISE, (height, width, 1)).astype(np.float32)
    frames = []
    for index in range(FRAMES):
        left, top = chance.randrange(SHIFT), chance.randrange(SHIFT)
        frame = scene.crop((left, top, left + width, top + height))
        frame = ImageEnhance.Brightness(frame).enhance(chance.uniform(0.97, 1.03))
        if index == blurred:
            frame = frame.filter(ImageFilter.GaussianBlur(sigma))
        rolled = np.roll(noise, chance.randrange(height), axis=0)
        pixels = np.clip(np.asarray(frame, dtype=np.float32) + rolled, 0, 255)
        frames.append(Image.fromarray(pixels.astype(np.uint8)))
    return frames, blurred


def save(photo: Image.Image, path: Path, taken: datetime | None = None, quality: int = 92) -> None:
    """Write a JPEG, with the time at which it was taken."""
    exif = Image.Exif()
    if taken is not None:
        fraction = f"{taken.microsecond // 10_000:02}"
        exif.get_ifd(_EXIF_FOLDER).update({_TIME: taken.strftime("%Y:%m:%d %H:%M:%S"), _FRACTION: fraction})
    photo.save(path, quality=quality, exif=exif)


def write_bursts(
    photos: Sequence[Path], folder: Path, sigma: float, *, megapixels: float = MEGAPIXELS
) -> dict[str, int]:
    """Write a burst of each photo. Returns the index of the blurred frame by the name of the scene."""
    blurred = {}
    for number, file in enumerate(photos):
        with Image.open(file) as photo:
            frames, blurred[f"{number:03}"] = burst(photo, sigma, seed=number, megapixels=megapixels)
        for index, frame in enumerate(frames):
            taken = START + timedelta(seconds=60 * number + 0.2 * index)
            save(frame, folder / f"{number:03}_{index}.jpg", taken)
    return blurred


def write_copies(photos: Sequence[Path], folder: Path) -> None:
    """Write each photo and three copies of it: NUMBER_original.jpg, _half, _quality40 and _cropped."""
    for number, file in enumerate(photos):
        with Image.open(file) as opened:
            photo = opened.convert("RGB")
        width, height = photo.size
        margin = round(0.01 * width), round(0.01 * height)
        save(photo, folder / f"{number:03}_original.jpg")
        save(photo.resize((width // 2, height // 2), Image.Resampling.LANCZOS), folder / f"{number:03}_half.jpg")
        save(photo, folder / f"{number:03}_quality40.jpg", quality=40)
        save(photo.crop((*margin, width - margin[0], height - margin[1])), folder / f"{number:03}_cropped.jpg")


def ranked(*arguments: object) -> list[dict[str, Any]]:
    """The records that `realqa rank ARGUMENTS` prints."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(out):
        realqa(["rank", *map(str, arguments), "--json", "--quiet"])
    return [json.loads(line) for line in out.buffer.getvalue().splitlines()]


def scene_of(record: dict[str, Any]) -> str:
    """The number of the scene in the name of a made photo."""
    return Path(record["image"]).stem.split("_")[0]


def judge_bursts(records: Sequence[dict[str, Any]], blurred: dict[str, int]) -> dict[str, int]:
    """Counts of bursts: that are one group, whose last frame is the blurred one, and whose first one is not."""
    counts: Counter[str] = Counter(scenes=len(blurred))
    for scene, index in blurred.items():
        group = [record for record in records if scene_of(record) == scene]
        order = sorted(group, key=lambda record: record["rank_in_group"])
        frames = [int(Path(record["image"]).stem.split("_")[1]) for record in order]
        counts["one group"] += len({record["group"] for record in group}) == 1 and order[0]["group_size"] == FRAMES
        counts["blurred last"] += frames[-1] == index
        counts["best is sharp"] += frames[0] != index
        by_score = sorted(group, key=lambda record: record["score"])
        counts["blurred last by the score alone"] += by_score[0]["image"] == order[frames.index(index)]["image"]
    return dict(counts)


def judge_copies(records: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Counts of scenes: in one group with all copies, and of groups that hold several scenes."""
    groups: dict[int, set[str]] = {}
    scenes: dict[str, set[int]] = {}
    for record in records:
        groups.setdefault(record["group"], set()).add(scene_of(record))
        scenes.setdefault(scene_of(record), set()).add(record["group"])
    best = [record for record in records if record["rank_in_group"] == 1]
    return {
        "scenes": len(scenes),
        "whole": sum(len(found) == 1 for found in scenes.values()),
        "groups with several scenes": sum(len(found) > 1 for found in groups.values()),
        "best is the original or its crop": sum(
            Path(record["image"]).stem.endswith(("original", "cropped")) for record in best
        ),
    }


def timing(photos: Sequence[Path]) -> Iterator[str]:
    """Seconds of scoring and of ranking the same photos, by turns."""
    for command in ("score", "rank") * 2:
        start = time.perf_counter()
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(out):
            realqa([command, *map(str, photos), "--json", "--quiet"])
        yield f"{command}: {time.perf_counter() - start:.1f} s for {len(photos)} photos"


def main() -> None:
    """Print the counts and times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of JPEGs of different scenes")
    parser.add_argument("--only", choices=["bursts", "copies", "time"])
    parser.add_argument("--scenes", type=int, default=16, help="bursts")
    parser.add_argument("--sigma", type=float, nargs="+", default=[2.0, 4.0])
    parser.add_argument("--megapixels", type=float, default=MEGAPIXELS)
    chosen = parser.parse_args()
    photos = sorted(chosen.photos.glob("*.jpg"))
    if chosen.only in (None, "bursts"):
        step = max(1, len(photos) // chosen.scenes)
        for sigma in chosen.sigma:
            with tempfile.TemporaryDirectory() as folder:
                scenes = photos[::step][: chosen.scenes]
                blurred = write_bursts(scenes, Path(folder), sigma, megapixels=chosen.megapixels)
                print(f"bursts, sigma {sigma:g}: {judge_bursts(ranked(folder), blurred)}", flush=True)
    if chosen.only in (None, "copies"):
        with tempfile.TemporaryDirectory() as folder:
            write_copies(photos, Path(folder))
            print(f"copies: {judge_copies(ranked(folder))}", flush=True)
    if chosen.only in (None, "time"):
        for line in timing(photos):
            print(line, flush=True)


if __name__ == "__main__":
    main()
