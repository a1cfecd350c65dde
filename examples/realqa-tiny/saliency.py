"""What catches the eye and how busy a picture is, from documented image statistics; no model, no ratings.

Substitutes for judgements that only people can give: subject, clutter, composition and eye-catching here are
these numbers and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import fft, ndimage

Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float64]
SIDE = 64  # cells of a map's side


@dataclass(frozen=True)
class Statistics:
    """Numbers on a whole photo; their ranks among many photos say what is high and low."""

    subject_clutter: float
    background_clutter: float
    composition: float
    eye_catching: float


def saliency(image: Pixels) -> Map:
    """The spectral residual of Hou and Zhang (CVPR 2007) on luma and two colours; (SIDE, SIDE), sums to 1."""
    small = _small(image)
    channels = small @ np.array([[0.299, 0.5, -0.25], [0.587, -0.5, -0.25], [0.114, 0.0, 0.5]])
    total = np.zeros((SIDE, SIDE))
    for channel in np.moveaxis(channels, -1, 0):
        spectrum = fft.fft2(channel)
        logs = np.log(np.abs(spectrum) + 1e-6)
        residual = np.exp(logs - ndimage.uniform_filter(logs, 3) + 1j * np.angle(spectrum))
        total += ndimage.gaussian_filter(np.abs(fft.ifft2(residual)) ** 2, 3.0)
    return np.asarray(total / total.sum())


def statistics(image: Pixels) -> Statistics:
    """Of an undamaged photo (height, width, 3).

    Clutter: share of strong edges (Mack and Oliva's edge density) where the saliency is high, and elsewhere.
    Composition: how close the centre of saliency is to a crossing of thirds or to the middle, and how well
    left and right balance.  Eye-catching: colourfulness (Hasler and Suesstrunk 2003), contrast, and how much
    of the saliency is in few places.
    """
    small = _small(image)
    salient = saliency(image)
    luma = small @ np.array([0.299, 0.587, 0.114])
    edges = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1)) > 60
    subject = salient >= np.quantile(salient, 0.7)
    places = (np.arange(SIDE) + 0.5) / SIDE
    y, x = float(salient.sum(1) @ places), float(salient.sum(0) @ places)
    anchors = [(a, b) for a in (1 / 3, 2 / 3) for b in (1 / 3, 2 / 3)] + [(0.5, 0.5)]
    distance = min(np.hypot(y - a, x - b) for a, b in anchors)
    balance = abs(float(salient[:, : SIDE // 2].sum()) - 0.5)
    return Statistics(
        float(edges[subject].mean()),
        float(edges[~subject].mean()),
        -float(distance) - 0.3 * balance,
        _colourfulness(small) / 60 + float(luma.std()) / 60 + 2 * float(salient[subject].sum()),
    )


def _colourfulness(image: npt.NDArray[np.float64]) -> float:
    red, green, blue = np.moveaxis(image, -1, 0)
    a, b = red - green, (red + green) / 2 - blue
    return float(np.hypot(a.std(), b.std()) + 0.3 * np.hypot(a.mean(), b.mean()))


def _small(image: Pixels) -> npt.NDArray[np.float64]:
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
