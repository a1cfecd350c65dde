"""Ladders: one piece of a photo, damaged more and more in one way. Its scores must fall from rung to rung.

Full-reference labels are noisy where damage is slight; what is certain is the order within a ladder. Knows
photos and degradations; does not know labels or models.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import numpy as np
import numpy.typing as npt
import torch
from degrade import DEGRADATIONS, TONES
from photos import fitted_size, load
from PIL import Image
from torch.nn import functional as F

Pixels = npt.NDArray[np.uint8]
RUNGS = (0.0, 0.25, 0.48, 0.72, 0.95)  # severities before jitter; the first rung is mostly untouched
JITTER = 0.07
SIDE = 224  # pixels of a rung's side, as the model sees it
NATIVE = 0.5  # share of ladders whose damage is done at the photo's own size
MARGIN = 0.1  # points of the 1-5 scale by which a rung is to lie under the one before it
SHARES = {
    "gaussian_blur": 0.12,
    "defocus": 0.04,
    "motion_blur": 0.11,
    "rescale": 0.07,
    "jpeg": 0.15,
    "webp": 0.05,
    "h264": 0.03,
    "h265": 0.03,
    "gaussian_noise": 0.11,
    "shot_noise": 0.04,
    "chroma_noise": 0.02,
    "denoise": 0.03,
    "ringing": 0.02,
    "oversharpen": 0.02,
    "banding": 0.02,
    "melt": 0.04,
    "smear": 0.02,
    "checkerboard": 0.02,
    "patchwork": 0.02,
    "exposure": 0.02,
    "contrast": 0.01,
    "saturation": 0.01,
}


def ladder(path: Path, rng: np.random.Generator, whole: bool = False) -> Pixels:
    """The rungs of one ladder, least damaged first: (rungs, height, width, 3).

    A square of SIDE pixels; or the whole photo, which is always damaged at its own size.
    """
    photo = load(path)
    width, height = fitted_size(*photo.size)
    if not (native := whole or rng.random() < NATIVE):
        photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    if whole:
        clean, seen = np.asarray(photo), (width, height)
    else:
        clean, seen = _square(photo, round(SIDE * photo.width / width), rng), (SIDE, SIDE)
    name = str(rng.choice(list(SHARES), p=np.array(list(SHARES.values())) / sum(SHARES.values())))
    severities = np.clip(np.array(RUNGS) + rng.uniform(-JITTER, JITTER, len(RUNGS)), 0, 1)
    grain = int(rng.integers(2**32))  # the same noise, direction and filter on every rung
    rungs = [
        clean if i == 0 and rng.random() < 0.7 else _damaged(clean, name, s, np.random.default_rng(grain))
        for i, s in enumerate(severities)
    ]
    if native or clean.shape[1::-1] != seen:
        rungs = [np.asarray(Image.fromarray(rung).resize(seen, Image.Resampling.BICUBIC)) for rung in rungs]
    return np.stack(rungs)


def _damaged(clean: Pixels, name: str, severity: float, rng: np.random.Generator) -> Pixels:
    if name in TONES:
        return TONES[name](clean, severity, rng)[0]
    return DEGRADATIONS[name](clean, severity, rng)


def _square(photo: Image.Image, side: int, rng: np.random.Generator) -> Pixels:
    side = min(side, *photo.size)
    left = int(rng.integers(0, photo.width - side + 1))
    top = int(rng.integers(0, photo.height - side + 1))
    return np.asarray(photo.crop((left, top, left + side, top + side)))


def batches(paths: list[Path], ladders: int, seed: int, *, whole: bool = False) -> Iterator[Pixels]:
    """Endless batches of ladders one after the other, (ladders * rungs, height, width, 3), made by a thread.

    Whole photos differ in size, so only one of them is a batch.
    """
    queue: Queue[Pixels] = Queue(maxsize=4)

    def work() -> None:
        rng = np.random.default_rng([seed, 7])
        while True:
            chosen = rng.integers(0, len(paths), ladders)
            queue.put(np.concatenate([ladder(paths[int(i)], rng, whole) for i in chosen]))

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield queue.get()


def order_loss(expected: torch.Tensor) -> torch.Tensor:
    """How far the expected scores of ladders (ladders * rungs,) are from falling by MARGIN a rung."""
    scores = expected.reshape(-1, len(RUNGS))
    rises = scores[:, 1:] - scores[:, :-1]
    return F.softplus((rises + MARGIN) / MARGIN).mean() * MARGIN
