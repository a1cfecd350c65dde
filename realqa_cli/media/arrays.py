"""Photos in memory: NumPy arrays, torch tensors and Pillow images to upright RGB, 8 bits.

The layout and the range of an array follow from its type, and anything else is an error: a photo that is
interpreted wrongly would get a wrong score without notice. Knows no model and imports no torch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from realqa_cli.errors import MediaError
from realqa_cli.media.color import to_rgb
from realqa_cli.media.decode import is_turned, turn_upright
from realqa_cli.media.resize import check_ratio

_CHANNELS = (1, 3, 4)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def is_tensor(value: object) -> bool:
    """Whether the value is a torch tensor, found without importing torch."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == "torch.Tensor" for kind in type(value).__mro__)


def is_array(value: object) -> bool:
    """Whether the value is a NumPy array, a torch tensor, or another object that becomes an array."""
    return hasattr(value, "__array__") and not isinstance(value, Image.Image | np.generic)


def photo_of_image(image: Image.Image, name: str, *, color_management: bool = True) -> Image.Image:
    """The upright RGB photo of a Pillow image, by the rules for files. Raises `MediaError`."""
    try:
        image.load()
        check_ratio(image.width, image.height, name)
        if is_turned(image):
            image = image.copy()  # the caller's stays as it is
            turn_upright(image)
        rgb = to_rgb(image, name, color_management=color_management)
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise MediaError(f"this image cannot be loaded ({error})", type="broken", where=name) from error
    rgb.info = {}
    return rgb


def photo_of_array(array: Any, name: str) -> Image.Image:
    """The RGB photo of an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or of a tensor with channels first.

    Integers of 8 bits are 0 to 255 and unsigned ones of 16 bits 0 to 65,535; wider integers must lie within 0 to
    255, and floats within 0 to 1. The fourth channel is transparency, which is composited on white. Raises
    `MediaError` of type "array" for another shape, type or range.
    """
    try:
        pixels = _pixels_of_tensor(array, name) if is_tensor(array) else _pixels_of_array(np.asarray(array), name)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _array_error(f"cannot be read as an array: {error}", name) from error
    eight_bits = _eight_bits(pixels, name)
    channels = eight_bits.shape[2]
    image = Image.fromarray(np.ascontiguousarray(eight_bits if channels > 1 else eight_bits[:, :, 0]), _MODES[channels])
    check_ratio(image.width, image.height, name)
    return to_rgb(image, name)


def _pixels_of_tensor(tensor: Any, name: str) -> NDArray[Any]:
    """(H, W, channels) from (channels, H, W) or (H, W)."""
    tensor = tensor.detach().cpu()
    array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim != 3 or array.shape[0] not in _CHANNELS or not array.size:
        last = array.ndim == 3 and array.shape[2] in _CHANNELS
        remedy = "put the channels first: tensor.permute(2, 0, 1)" if last else "give one photo as (3, H, W)"
        raise _array_error(f"a tensor of shape {tuple(array.shape)} is not (channels, H, W)", name, remedy)
    return array.transpose(1, 2, 0)


def _pixels_of_array(array: NDArray[Any], name: str) -> NDArray[Any]:
    """(H, W, channels) from the same or (H, W)."""
    if array.ndim == 2 and array.size:
        return array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in _CHANNELS or not array.size:
        first = array.ndim == 3 and array.shape[0] in _CHANNELS
        remedy = "put the channels last: array.transpose(1, 2, 0)" if first else "give one photo as (H, W, 3)"
        raise _array_error(f"an array of shape {array.shape} is not (H, W, channels)", name, remedy)
    return array


def _eight_bits(pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint16:
        return np.rint(pixels / 257.0).astype(np.uint8)
    if pixels.dtype.kind not in "uif":
        raise _array_error(f"pixels of type {pixels.dtype} are not numbers", name, "use uint8, or floats from 0 to 1")
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind in "ui":
        if low < 0 or high > 255:
            what = f"integers from {low:.0f} to {high:.0f} are not 0 to 255"
            raise _array_error(what, name, "convert to uint8, or to uint16 for 0 to 65,535")
        return pixels.astype(np.uint8)
    if not (low >= 0 and high <= 1):  # also for NaN
        what = f"floats from {low:.4g} to {high:.4g} are not 0 to 1"
        remedy = "divide them by 255" if low >= 0 and 1 < high <= 255 else "undo the normalization of the values"
        raise _array_error(what, name, remedy)
    return np.rint(pixels.astype(np.float64) * 255).astype(np.uint8)


def _array_error(what: str, name: str, remedy: str | None = None) -> MediaError:
    return MediaError(what, type="array", where=name, remedy=remedy)
