"""From a photo to the patches that a Qwen-VL vision tower takes, without its image processor's detours.

What becomes of a value of 0 to 255 (rescaling, normalising) is computed once as the image processor does it,
so the patches are its own to the bit; they are laid out as bytes, a quarter of the memory, and looked up.
Knows neither torch nor transformers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from realqa_cli.pixels import fit

Patches = npt.NDArray[np.float32]
"""(patches, channels * frames * patch * patch), the four of a merged token one after the other."""


class Patcher:
    """Makes the patches of photos as `images`, an image processor of transformers or its settings, does."""

    def __init__(self, images: Any, *, min_pixels: int, max_pixels: int) -> None:
        self._patch, self._merge = images.patch_size, images.merge_size
        self._frames = images.temporal_patch_size
        factor = self._patch * self._merge
        self.bounds = {"factor": factor, "min_pixels": min_pixels, "max_pixels": max_pixels}
        self._table_C_256 = _levels(images)

    @staticmethod
    def serves(images: Any) -> bool:
        """Whether the image processor does what this class does, and nothing else."""
        if type(images).__name__ != "Qwen2VLImageProcessorPil":
            return False
        plain = images.do_resize and images.do_rescale and images.do_normalize
        return bool(plain and images.resample == Image.Resampling.BICUBIC)

    def fit(self, photo: Image.Image) -> Image.Image:
        """The photo in the size in which it is seen."""
        return fit(photo, **self.bounds)

    def __call__(self, photo: Image.Image) -> tuple[Patches, tuple[int, int, int]]:
        """The patches, and their grid (1, rows, columns)."""
        return self.together([np.asarray(self.fit(photo))])

    def together(self, frames: Sequence[npt.NDArray[np.uint8]]) -> tuple[Patches, tuple[int, int, int]]:
        """The same of frames that share their patches, in their size already; a single one stands for all."""
        height, width, channels = frames[0].shape
        grid = 1, height // self._patch, width // self._patch
        made = np.empty((grid[1] * grid[2], channels, self._frames, self._patch, self._patch), np.float32)
        for place, frame in enumerate(frames):
            bytes_P_C_1_N_N = self._laid_out(frame)
            places = slice(None) if len(frames) == 1 else slice(place, place + 1)
            for channel in range(channels):
                made[:, channel, places] = self._table_C_256[channel][bytes_P_C_1_N_N[:, channel]]
        return made.reshape(len(made), -1), grid

    def _laid_out(self, pixels_H_W_C: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(patches, channels, 1, patch, patch): squares of merged patches, row by row."""
        height, width, channels = pixels_H_W_C.shape
        merge, patch = self._merge, self._patch
        rows, columns = height // (merge * patch), width // (merge * patch)
        split = pixels_H_W_C.reshape(rows, merge, patch, columns, merge, patch, channels)
        return split.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, channels, 1, patch, patch)


def _levels(images: Any) -> Patches:
    """(channels, 256) what becomes of each value in each channel."""
    values_256 = (np.arange(256, dtype=np.float64) * images.rescale_factor).astype(np.float32)
    mean_C_1, std_C_1 = (
        np.array(numbers, np.float32)[:, None] for numbers in (images.image_mean, images.image_std)
    )
    return np.asarray((values_256 - mean_C_1) / std_C_1)
