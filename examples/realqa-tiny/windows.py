"""Training data: photos -> degraded images with scored windows, appended to shards on disk.

An item is one reference region (or whole photo), one chain of degradations, and several windows on the
28-pixel grid, each with its full-reference fidelities. A shard is a pair of files: `NAME.bin`, the degraded
images' RGB bytes one after the other, and `NAME.jsonl`, one item a line. Items are numbered and each number
seeds its own generator, so that a run that was cut off goes on where it stopped and ends with the same data.
Does not know what fidelities are worth on the 1-5 scale: see `labels`.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from degrade import DEGRADATIONS, TONES, draw_chain
from fidelity import Window, fidelity
from photos import GRID, load, reference, region
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Chain = list[tuple[str, float]]
SIDE = 448  # pixels of a region's side
WHOLE_EVERY = 8  # one item in eight is a whole photo

# Shares of the first degradation. Three quarters lose detail by scaling, codecs or blur, as most photos do.
SHARES = {
    "rescale": 0.16,
    "gaussian_blur": 0.12,
    "defocus": 0.06,
    "motion_blur": 0.05,
    "ringing": 0.03,
    "jpeg": 0.11,
    "webp": 0.06,
    "h264": 0.09,
    "h265": 0.09,
    "gaussian_noise": 0.06,
    "shot_noise": 0.03,
    "chroma_noise": 0.02,
    "denoise": 0.03,
    "oversharpen": 0.02,
    "banding": 0.02,
    "none": 0.05,
}
SECOND = 0.2  # probability that a second degradation follows the first
TONED = 0.1  # probability that a change of tone comes before everything else
NATIVE = 0.35  # probability that the damage is done at a larger size, before the photo is fitted


@dataclass(frozen=True)
class Item:
    """A degraded image with what was done to it and how each window fared."""

    pixels: Pixels
    photo: str
    whole: bool
    chain: Chain
    penalty: float  # points of the 1-5 scale that the change of tone costs
    windows: list[Window]
    fidelities: npt.NDArray[np.float32]  # (windows, 3)


def draw_damage(rng: np.random.Generator) -> Chain:
    """Names and severities, in the order in which they are applied; tone first."""
    toned = [(str(rng.choice(list(TONES))), float(rng.random()))] if rng.random() < TONED else []
    return toned + draw_chain(SHARES, SECOND, rng)


def apply_chain(image: Pixels, chain: Chain, rng: np.random.Generator) -> tuple[Pixels, Pixels, float]:
    """(toned reference, degraded image, penalty for the tone)."""
    toned, penalty = image, 0.0
    for name, severity in chain:
        if name in TONES:
            toned, penalty = TONES[name](toned, severity, rng)
    degraded = toned
    for name, severity in chain:
        if name in DEGRADATIONS:
            degraded = DEGRADATIONS[name](degraded, severity, rng)
    return toned, degraded, penalty


def draw_windows(height: int, width: int, rng: np.random.Generator) -> list[Window]:
    """The whole image, two windows of 224 pixels and four of 112, as far as they fit."""
    windows = [(0, 0, height, width)]
    for side, count in ((224, 2), (112, 4)):
        if min(height, width) > side:
            for _ in range(count):
                top = int(rng.integers(0, (height - side) // GRID + 1)) * GRID
                left = int(rng.integers(0, (width - side) // GRID + 1)) * GRID
                windows.append((top, left, side, side))
    return windows


def make_item(path: Path, number: int, seed: int) -> Item:
    """The item with this number; the same for the same photo, number and seed."""
    rng = np.random.default_rng([seed, number])
    whole = number % WHOLE_EVERY == 0
    sharp = reference(load(path), rng)
    clean = region(sharp, max(sharp.size) if whole else SIDE, rng)
    chain = draw_damage(rng)
    if rng.random() < NATIVE:
        zoom = rng.uniform(1.1, 1.7)
        larger = clean.resize([round(zoom * side) for side in clean.size], Image.Resampling.BICUBIC)
        toned, degraded, penalty = apply_chain(np.asarray(larger), chain, rng)
        toned, degraded = _resized(toned, clean.size), _resized(degraded, clean.size)
    else:
        toned, degraded, penalty = apply_chain(np.asarray(clean), chain, rng)
    windows = draw_windows(degraded.shape[0], degraded.shape[1], rng)
    return Item(degraded, path.name, whole, chain, penalty, windows, fidelity(toned, degraded, windows))


def _resized(image: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def write_shard(photos: list[Path], stem: Path, numbers: range, seed: int, deadline: float | None = None) -> None:
    """Append items to a shard, after those that are already there, until the numbers or the time run out.

    deadline: seconds of `time.time()`.
    """
    lines, pixels = stem.with_suffix(".jsonl"), stem.with_suffix(".bin")
    done = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    offset = done[-1]["offset"] + done[-1]["height"] * done[-1]["width"] * 3 if done else 0
    pixels.touch()
    with pixels.open("r+b") as binary, lines.open("a") as index:
        binary.seek(offset)
        for number in numbers[len(done) :]:
            if deadline is not None and time.time() > deadline:
                return
            order = np.random.default_rng([seed, number // len(photos)]).permutation(len(photos))
            item = make_item(photos[order[number % len(photos)]], number, seed)
            height, width = item.pixels.shape[:2]
            binary.write(item.pixels.tobytes())
            binary.flush()
            record = {
                "number": number,
                "photo": item.photo,
                "whole": item.whole,
                "offset": offset,
                "height": height,
                "width": width,
                "chain": item.chain,
                "penalty": round(item.penalty, 4),
                "windows": item.windows,
                "fidelities": [[round(float(v), 5) for v in row] for row in item.fidelities],
            }
            index.write(json.dumps(record) + "\n")
            index.flush()
            offset += item.pixels.size


def write_shards(
    photos: list[Path],
    folder: Path,
    count: int,
    *,
    name: str = "train",
    processes: int = 2,
    seed: int = 0,
    deadline: float | None = None,
) -> None:
    """`count` items in one shard per process; resumes where an earlier run stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=write_shard,
            args=(photos, folder / f"{name}-{index}", range(index, count, processes), seed, deadline),
        )
        for index in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a data process failed; its traceback is above")
