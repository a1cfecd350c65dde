"""What can be measured in a photo at its full size, without a model: sharpness, noise, clipping, brightness.

All values are of the 8-bit sRGB photo. They describe, and do not judge: a silhouette has clipped shadows.
"""

from typing import TypedDict

import numpy as np
import numpy.typing as npt
from PIL import Image

from realqa_cli.media.sharpness import measure_sharpness

_TILE = 32
_FLATTEST = 0.1  # quantile of the tiles' noise: others have texture
_NOISE_GAIN = 6.0  # what the filter makes of the standard deviation of white noise
_MAD = 0.67448975  # median absolute deviation of a normal distribution with standard deviation 1
_BLOWN, _BLACK = 254, 1  # of 255: lossy files move clipped pixels by a level
_BAND_ROWS = 1024  # rows that are measured at once: 100 megapixels of float32 would take 400 MB


class PhotoMeasures(TypedDict):
    """sharpness: see `media.sharpness`.  noise: standard deviation in levels of 255.

    clipped_highlights, clipped_shadows: per cent of the pixels.

    mean_luminance: per cent of white (Rec. 709 luma of the stored values).  pixels: (width, height).
    """

    sharpness: float
    noise: float
    clipped_highlights: float
    clipped_shadows: float
    mean_luminance: float
    pixels: tuple[int, int]


def measure_photo_values(photo: Image.Image) -> PhotoMeasures:
    """Measures an RGB photo at its full size."""
    blown = black = 0
    total = 0.0
    for top in range(0, photo.height, _BAND_ROWS):
        band = np.asarray(photo.crop((0, top, photo.width, min(photo.height, top + _BAND_ROWS))))
        blown += int((band.min(axis=2) >= _BLOWN).sum())
        black += int((band.max(axis=2) <= _BLACK).sum())
        total += float((band.reshape(-1, 3).mean(axis=0) @ (0.2126, 0.7152, 0.0722)) * band.shape[0])
    count = photo.width * photo.height
    return {
        "sharpness": measure_sharpness(photo),
        "noise": estimate_noise(photo),
        "clipped_highlights": 100 * blown / count,
        "clipped_shadows": 100 * black / count,
        "mean_luminance": 100 * total / photo.height / 255,
        "pixels": photo.size,
    }


def estimate_noise(photo: Image.Image) -> float:
    """Standard deviation of the noise, in levels of 255, estimated in the flattest tiles of a photo.

    The filter of Immerkær (1996), which removes edges and slopes; its median absolute deviation in tiles of 32
    pixels; of these the lowest tenth, as texture counts as noise. Clipped tiles are left out. 0 for photos that are
    smaller than a tile.
    """
    tiles: list[npt.NDArray[np.float32]] = []
    step = _BAND_ROWS // _TILE * _TILE
    for top in range(0, photo.height - _TILE - 1, step):
        bottom = min(photo.height, top + step + 2)
        grey = np.asarray(photo.crop((0, top, photo.width, bottom)).convert("L"), dtype=np.float32)
        tiles.append(_noise_of_tiles(grey))
    found = np.concatenate(tiles) if tiles else np.zeros(0, np.float32)
    return float(np.quantile(found, _FLATTEST)) if found.size else 0.0


def _noise_of_tiles(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The noise of each complete tile that is not clipped."""
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    filtered = np.abs(across[:-2] - 2 * across[1:-1] + across[2:])
    rows, columns = filtered.shape[0] // _TILE, filtered.shape[1] // _TILE
    if not rows or not columns:
        return np.zeros(0, np.float32)

    def tiled(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        cut = values[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
        return cut.transpose(0, 2, 1, 3).reshape(rows * columns, -1)

    means = tiled(grey[1:-1, 1:-1]).mean(axis=1)
    noise = np.median(tiled(filtered), axis=1) / (_MAD * _NOISE_GAIN)
    kept: npt.NDArray[np.float32] = noise[(means > 4) & (means < 251)].astype(np.float32)
    return kept
