"""Full-reference fidelity: how close a degraded image is to its original, window by window.

Three published indices, each computed once as maps over the whole image and then pooled over any window:

- DSS: A. Balanov et al., "Image quality assessment based on DCT subband similarity", ICIP 2015
- MDSI: H. Ziaei Nafchi et al., "Mean deviation similarity index", IEEE Access 2016
- HaarPSI: R. Reisenhofer et al., "A Haar wavelet-based perceptual similarity index", 2018

Images are (height, width, 3) arrays of 0..255; windows are (top, left, height, width) in pixels.
Knows nothing of degradations or labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Array = npt.NDArray[np.floating]
Window = tuple[int, int, int, int]
METRICS = ("dss", "mdsi", "haarpsi")


def fidelity(reference: npt.NDArray[np.uint8], degraded: npt.NDArray[np.uint8], windows: Sequence[Window]) -> Array:
    """Shape (windows, 3): DSS, 1 - MDSI, HaarPSI; each grows with fidelity and is 1 for identical windows."""
    pair = np.stack([reference, degraded]).astype(np.float32)
    columns = (_dss(pair, windows), _mdsi(pair, windows), _haarpsi(pair, windows))
    return np.stack(columns, axis=1).astype(np.float32)


def _cut(values: Array, window: Window, pixels: int) -> Array:
    """The part of a map (..., rows, columns) under a window, when one map cell covers `pixels` pixels."""
    top, left, height, width = window
    return values[..., top // pixels : (top + height) // pixels, left // pixels : (left + width) // pixels]


def _mix(pair: Array, weights: Sequence[float]) -> Array:
    """A weighted sum of the colour channels."""
    return pair @ np.asarray(weights, np.float32)


def _halve(channel: Array) -> Array:
    """Means over 2 x 2 pixels; shape (2, rows, columns)."""
    rows, columns = channel.shape[1] // 2 * 2, channel.shape[2] // 2 * 2
    even = channel[:, :rows, :columns]
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4


def _similar(a: Array, b: Array, constant: float) -> Array:
    return (2 * a * b + constant) / (a * a + b * b + constant)


# -- DSS


def _dss(pair: Array, windows: Sequence[Window]) -> Array:
    luma = _mix(pair, (0.299, 0.587, 0.114))
    rows, columns = luma.shape[1] // 8, luma.shape[2] // 8
    blocks = luma[:, : rows * 8, : columns * 8].reshape(2, rows, 8, columns, 8)
    coefficients = fft.dctn(blocks, axes=(2, 4), norm="ortho")
    total = np.zeros(len(windows))
    weight_sum = 0.0
    for u in range(8):
        for v in range(8):
            weight = float(np.exp(-((u + 0.5) ** 2 + (v + 0.5) ** 2) / (2 * 1.55**2)))
            if weight < 0.01:
                continue
            maps = _subband_maps(coefficients[:, :, u, :, v], first=u == v == 0)
            total += weight * np.array([np.prod([_worst(_cut(m, w, 8)) for m in maps]) for w in windows])
            weight_sum += weight
    return total / weight_sum


def _subband_maps(subband: Array, first: bool) -> list[Array]:
    """Similarity of local variances and, for the mean subband, of structure. subband: (2, rows, columns)."""
    constant = 1000.0 if first else 300.0

    def smooth(x: Array) -> Array:
        return np.asarray(ndimage.gaussian_filter(x, 1.5, truncate=0.8, axes=(-2, -1), mode="reflect"))

    mean = smooth(subband)
    variance = np.maximum(smooth(subband * subband) - mean * mean, 0)
    product = np.sqrt(variance[0] * variance[1])
    maps = [(2 * product + constant) / (variance[0] + variance[1] + constant)]
    if first:
        covariance = smooth(subband[0] * subband[1]) - mean[0] * mean[1]
        maps.append((covariance + constant) / (product + constant))
    return maps


def _worst(values: Array, share: float = 0.05) -> float:
    """The mean of the lowest values."""
    count = max(1, round(share * values.size))
    return float(np.partition(values, count - 1, axis=None)[:count].mean())


# -- MDSI


def _mdsi(pair: Array, windows: Sequence[Window]) -> Array:
    luma, hue_h, hue_m = (
        _halve(_mix(pair, weights)) for weights in ((0.2989, 0.587, 0.114), (0.30, 0.04, -0.35), (0.34, -0.6, 0.17))
    )
    fused = luma.mean(axis=0)
    a, b, f = (_gradient(x) for x in (luma[0], luma[1], fused))
    gradient = _similar(a, b, 140.0) + _similar(b, f, 55.0) - _similar(a, f, 55.0)
    chroma = (2 * (hue_h[0] * hue_h[1] + hue_m[0] * hue_m[1]) + 550.0) / (
        (hue_h**2).sum(axis=0) + (hue_m**2).sum(axis=0) + 550.0
    )
    similarity = 0.6 * gradient + 0.4 * chroma
    root = np.abs(similarity) ** 0.25
    # The fourth root of a negative number is complex.
    quarter = np.where(similarity < 0, root * np.exp(0.25j * np.pi), root)
    scores = []
    for window in windows:
        part = _cut(quarter, window, 2)
        scores.append(1 - np.abs(part - part.mean()).mean() ** 0.25)
    return np.array(scores)


def _gradient(channel: Array) -> Array:
    """Magnitude of the Prewitt gradient."""
    dy, dx = (ndimage.prewitt(channel, axis=axis, mode="constant") / 3 for axis in (0, 1))
    return np.asarray(np.hypot(dy, dx))


# -- HaarPSI

_ALPHA = 4.2
_HAAR_CONSTANT = 30.0


def _haarpsi(pair: Array, windows: Sequence[Window]) -> Array:
    luma, chroma_i, chroma_q = (
        _halve(_mix(pair, weights))
        for weights in ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
    )
    similarities, weights = [], []
    for axis in (1, 2):
        bands = [np.abs(_haar(luma, scale, axis)) for scale in (1, 2, 3)]
        similarities.append(sum(_similar(band[0], band[1], _HAAR_CONSTANT) for band in bands[:2]) / 2)
        weights.append(bands[2].max(axis=0))
    low_pass = [np.abs(ndimage.uniform_filter(c, (0, 2, 2), mode="constant")) for c in (chroma_i, chroma_q)]
    similarities.append(sum(_similar(c[0], c[1], _HAAR_CONSTANT) for c in low_pass) / 2)
    weights.append((weights[0] + weights[1]) / 2)
    squashed = 1 / (1 + np.exp(-_ALPHA * np.stack(similarities)))
    weight_maps = np.stack(weights) + 1e-6
    scores = []
    for window in windows:
        weight = _cut(weight_maps, window, 2)
        mean = float((_cut(squashed, window, 2) * weight).sum() / weight.sum())
        scores.append((np.log(mean / (1 - mean)) / _ALPHA) ** 2)
    return np.array(scores)


def _haar(channel: Array, scale: int, axis: int) -> Array:
    """Haar coefficients of one orientation: difference of two half windows along `axis`, mean across it."""
    length = 2**scale
    step = np.repeat(np.array([1, -1], np.float32), length // 2) / length
    across = 3 - axis
    edges = ndimage.correlate1d(channel, step, axis=axis, mode="constant")
    return np.asarray(ndimage.correlate1d(edges, np.ones(length, np.float32), axis=across, mode="constant"))
