"""Converts a photo to the patches of a Qwen-VL vision tower, bit-identical to its image processor but faster.

Rescaling and normalising are computed once for each of the 256 values, as the image processor does it. The
pixels are rearranged as integers, in a quarter of the memory, and then looked up in that table. Imports
neither torch nor transformers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from realqa_cli.media.resize import resize_within_bounds

Patches = npt.NDArray[np.float32]
"""(patches, channels * frames * patch * patch); the four patches of a merged token are consecutive."""


class Patcher:
    """Computes patches like `images`, an image processor of transformers or an object with its settings."""

    def __init__(self, images: Any, *, min_pixels: int, max_pixels: int) -> None:
        self._patch, self._merge = images.patch_size, images.merge_size
        self._frames = images.temporal_patch_size
        factor = self._patch * self._merge
        self.bounds = {"factor": factor, "min_pixels": min_pixels, "max_pixels": max_pixels}
        self._table = _levels(images).ravel()

    @staticmethod
    def serves(images: Any) -> bool:
        """Whether this class computes exactly what the image processor does."""
        if type(images).__name__ != "Qwen2VLImageProcessorPil":
            return False
        plain = images.do_resize and images.do_rescale and images.do_normalize
        return bool(plain and images.resample == Image.Resampling.BICUBIC)

    def fit(self, photo: Image.Image) -> Image.Image:
        """The photo, resized to the pixel bounds."""
        return resize_within_bounds(photo, **self.bounds)

    def __call__(self, photo: Image.Image) -> tuple[Patches, tuple[int, int, int]]:
        """The patches of a photo, repeated over the frames of a patch, and their grid (1, rows, columns)."""
        return self.together([np.asarray(self.fit(photo))], self._frames)

    def once(self, photo: Image.Image) -> tuple[Patches, tuple[int, int, int]]:
        """The patches of a single frame, for a kernel that is summed over the frames, and their grid."""
        return self.together([np.asarray(self.fit(photo))], 1)

    def together(self, frames: Sequence[npt.NDArray[np.uint8]], count: int) -> tuple[Patches, tuple[int, int, int]]:
        """The patches over `count` frames of one size, and their grid; a single frame is repeated.

        frames: (H, W, C) each, already resized.
        """
        height, width, _ = frames[0].shape
        grid = 1, height // self._patch, width // self._patch
        laid_P_C_T_N_N = np.concatenate([self._laid_out(frame) for frame in frames], axis=2)
        made = self._table.take(laid_P_C_T_N_N, mode="clip")  # no index is out of range, and "clip" is the fastest mode
        if len(frames) < count:
            made = made.repeat(count, axis=2)
        return made.reshape(len(made), -1), grid

    def _laid_out(self, pixels_H_W_C: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
        """(P, C, 1, N, N) table indices: the patches of each merged square are consecutive, squares row by row."""
        height, width, channels = pixels_H_W_C.shape
        merge, patch = self._merge, self._patch
        rows, columns = height // (merge * patch), width // (merge * patch)
        split = pixels_H_W_C.reshape(rows, merge, patch, columns, merge, patch, channels)
        laid = split.transpose(0, 3, 1, 4, 6, 2, 5).reshape(-1, channels, 1, patch, patch).astype(np.int16)
        laid += np.arange(0, 256 * channels, 256, dtype=np.int16)[:, None, None, None]
        return laid


def _levels(images: Any) -> Patches:
    """(channels, 256) the normalised value of each pixel value in each channel."""
    values_256 = (np.arange(256, dtype=np.float64) * images.rescale_factor).astype(np.float32)
    mean_C_1, std_C_1 = (np.array(numbers, np.float32)[:, None] for numbers in (images.image_mean, images.image_std))
    return np.asarray((values_256 - mean_C_1) / std_C_1)
