"""Frames that show nothing: plain colours, gradients, a lens cap with noise. They are bad photographs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
SCORES = 1.0, 1.3  # from the least noisy to the most


def blank(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """A frame of some kind: (height, width, 3)."""
    kind = int(rng.integers(5))
    if kind == 0:  # black, grey or white
        colours = np.full((1, 1, 3), float(rng.choice([0, 255, rng.uniform(0, 255)])))
    elif kind == 1:  # one colour, often a pure one
        colours = rng.choice([0.0, 255.0, rng.uniform(0, 255)], size=(1, 1, 3))
    elif kind == 2:  # a lens cap
        colours = rng.uniform(0, 40, (1, 1, 1)) * np.ones(3)
    else:  # a gradient between two colours in any direction
        colours = _gradient(height, width, rng)
    sigma = float(rng.choice([0.0, rng.uniform(0.5, 4), rng.uniform(4, 25)], p=[0.5, 0.25, 0.25]))
    if kind == 2:
        sigma = rng.uniform(2, 20)
    grain = rng.standard_normal((height, width, 3)) * sigma
    return np.clip(np.rint(colours + grain), 0, 255).astype(np.uint8)


def _gradient(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    if rng.random() < 0.3:  # from the middle outwards
        along = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    along = (along - along.min()) / (np.ptp(along) + 1e-9)
    first, last = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    if rng.random() < 0.4:
        first, last = np.full(3, first[0]), np.full(3, last[0])
    return np.asarray(first + (last - first) * along[:, :, None])
