"""Sharpness at full resolution: how much fine detail the sharpest parts of a photo hold.

A model looks at a photo of 24 megapixels through 0.4 megapixels, at which a slight miss of the focus is invisible.
This module measures the photo as it was taken: the energy of its Laplacian of Gaussian (sigma 1 pixel), by tiles,
of which the sharpest tenth counts. So a sharp subject before a soft background is sharp.

The measure compares photos of one scene: the frames of a burst, or copies of one photo. It depends on the texture
of the scene, and therefore says nothing about photos of different scenes. Noise raises it a little.
"""

from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image

LARGE_PIXELS = 6_000_000
"""Of larger photos, only the tiles with most contrast are measured at full resolution."""

_SIGMA = 1.0
_MARGIN = 4  # pixels around a tile that the filter reaches
_LEAST_SIDE = 16  # of a tile
_TILES_A_SIDE = 16  # along the shorter side of a photo
_COUNTED = 0.1  # share of the tiles whose mean is the sharpness
_MEASURED = 0.25  # share of the tiles that are measured in large photos
_REDUCTION = 4  # of large photos, to find these tiles
_DARKEST = 4.0  # levels of 255: the mean luminance of a darker photo counts as this

_Tile = tuple[int, int]
"""Row and column of a tile."""
_Array = npt.NDArray[np.float32]


def measure_sharpness(photo: Image.Image) -> float:
    """Mean energy of the Laplacian of Gaussian in the sharpest tenth of the tiles, per squared mean luminance.

    At least 0, without unit: the same for a photo and a darker copy of it. For an RGB photo at its full size.
    """
    grey = photo.convert("L")
    side = max(_LEAST_SIDE, min(grey.size) // _TILES_A_SIDE)
    rows, columns = max(1, grey.height // side), max(1, grey.width // side)
    luminance = np.asarray(grey)
    if grey.width * grey.height > LARGE_PIXELS:
        tiles = [(row, column) for row in range(rows) for column in range(columns)]
        energies = np.array([_energy(luminance, side, tile) for tile in _most_contrast(grey, side, tiles)])
    else:
        energies = _all_energies(luminance, side, rows, columns)
    counted = np.sort(energies)[::-1][: max(1, ceil(_COUNTED * rows * columns))]
    return float(counted.mean()) / max(_DARKEST, float(luminance.mean())) ** 2


def _most_contrast(grey: Image.Image, side: int, tiles: list[_Tile]) -> list[_Tile]:
    """The tiles with the largest deviation in the reduced photo, in their order."""
    reduced: _Array = np.asarray(grey.reduce(_REDUCTION), dtype=np.float32)
    small = side // _REDUCTION
    deviations = np.array(
        [reduced[row * small : (row + 1) * small, column * small : (column + 1) * small].std() for row, column in tiles]
    )
    chosen = np.argsort(-deviations, kind="stable")[: ceil(_MEASURED * len(tiles))]
    return [tiles[index] for index in sorted(chosen)]


def _all_energies(luminance: npt.NDArray[np.uint8], side: int, rows: int, columns: int) -> _Array:
    """`_energy` of all tiles; a photo that is smaller than a tile is one tile."""
    filtered = _filtered(luminance)[: rows * side, : columns * side]
    if filtered.shape != (rows * side, columns * side):
        whole: _Array = np.mean(filtered * filtered, keepdims=True).reshape(1)
        return whole
    tiles = filtered.reshape(rows, side, columns, side)
    energies: _Array = np.mean(tiles * tiles, axis=(1, 3)).reshape(-1)
    return energies


def _energy(luminance: npt.NDArray[np.uint8], side: int, tile: _Tile) -> float:
    """Mean square of the filtered tile; its neighbourhood is included, as far as the photo reaches."""
    top, left = tile[0] * side, tile[1] * side
    above, before = min(_MARGIN, top), min(_MARGIN, left)
    around = luminance[top - above : top + side + _MARGIN, left - before : left + side + _MARGIN]
    inside = _filtered(around)[above : above + side, before : before + side]
    return float(np.mean(inside * inside))


def _filtered(luminance: npt.NDArray[np.uint8]) -> _Array:
    """The Laplacian of Gaussian."""
    from scipy.ndimage import gaussian_laplace  # takes 0.1 s to import

    level = luminance.mean(dtype=np.float32)  # the filter, cut off at four sigma, would respond to it a little
    filtered: _Array = gaussian_laplace(luminance - level, _SIGMA, mode="nearest")
    return filtered
