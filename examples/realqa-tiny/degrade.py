"""Degradations with a severity: what cameras, editors and networks do to a photo.

Every function takes an RGB array (height, width, 3; uint8), a severity in 0..1 and a random generator, and
returns an array of the same shape. Severity 0 is about invisible, 1 is a ruin; parameters grow geometrically
in between. Does not know what the result is worth: see `fidelity` and `windows`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from scipy import fft, ndimage, signal

Pixels = npt.NDArray[np.uint8]
Degradation = Callable[[Pixels, float, np.random.Generator], Pixels]


def draw_chain(shares: dict[str, float], second: float, rng: np.random.Generator) -> list[tuple[str, float]]:
    """Names and severities of one degradation, of two with the probability `second`, or of "none"."""
    names = list(shares)
    first = str(rng.choice(names, p=np.array(list(shares.values())) / sum(shares.values())))
    if first == "none":
        return []
    two = rng.random() < second
    chain = [(first, float(rng.random() * (0.7 if two else 1.0)))]
    if two:
        others = [name for name in names if name not in {"none", first}]
        chain.append((str(rng.choice(others)), float(rng.random() * 0.7)))
    return chain


def _between(gentle: float, harsh: float, severity: float) -> float:
    """Geometric interpolation from the gentlest to the harshest parameter."""
    return float(gentle * (harsh / gentle) ** severity)


def _to_pixels(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _filtered(image: Pixels, kernel: npt.NDArray[np.floating]) -> Pixels:
    """Convolution with a small kernel of any shape, edges repeated."""
    margin = max(kernel.shape) // 2
    padded = np.pad(image.astype(np.float32), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    kernel = (kernel / kernel.sum()).astype(np.float32)
    blurred = signal.fftconvolve(padded, kernel[:, :, None], mode="same", axes=(0, 1))
    return _to_pixels(blurred[margin : margin + image.shape[0], margin : margin + image.shape[1]])


# -- blur


def gaussian_blur(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    radius = _between(0.4, 9.0, severity)
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def defocus(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A disc, as a lens out of focus draws it."""
    radius = _between(0.7, 12.0, severity)
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _filtered(image, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def motion_blur(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A straight line of random direction, as a shaken camera draws it."""
    length = _between(1.5, 36.0, severity)
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    return _filtered(image, np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1))


def ringing(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A sharp cut in the spectrum: detail above the limit is lost and edges echo."""
    limit = 0.5 / _between(1.2, 9.0, severity)  # cycles a pixel
    height, width = image.shape[:2]
    padded = np.pad(image.astype(np.float32), ((16, 16), (16, 16), (0, 0)), mode="reflect")
    spectrum = fft.rfft2(padded, axes=(0, 1))
    frequency = np.hypot(fft.fftfreq(height + 32)[:, None], fft.rfftfreq(width + 32)[None, :])
    spectrum *= (frequency <= limit)[:, :, None]
    return _to_pixels(fft.irfft2(spectrum, s=padded.shape[:2], axes=(0, 1))[16:-16, 16:-16])


# -- resolution and compression


def rescale(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A small version, enlarged again; filters differ as programs differ."""
    factor = _between(1.15, 9.0, severity)
    height, width = image.shape[:2]
    smaller = (max(4, round(width / factor)), max(4, round(height / factor)))
    down = rng.choice([Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
    up = rng.choice(
        [
            Image.Resampling.NEAREST,
            Image.Resampling.BILINEAR,
            Image.Resampling.BICUBIC,
            Image.Resampling.LANCZOS,
        ],
        p=[0.05, 0.25, 0.45, 0.25],
    )
    small = Image.fromarray(image).resize(smaller, Image.Resampling(down))
    return np.asarray(small.resize((width, height), Image.Resampling(up)))


def _through_file(image: Pixels, **options: object) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **options)  # type: ignore[arg-type]
    return np.asarray(Image.open(buffer).convert("RGB"))


def jpeg(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    quality = round(_between(95, 4, severity))
    return _through_file(image, format="JPEG", quality=quality, subsampling=int(rng.choice([0, 2])))


def webp(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    quality = round(_between(96, 2, severity)) - 1
    return _through_file(image, format="WEBP", quality=quality, method=2)


def _through_codec(
    image: Pixels, encoder: str, decoder: str, factor: int, severity: float, rng: np.random.Generator
) -> Pixels:
    """A video codec's key frame; half the time it is coded at a lower resolution and enlarged again."""
    height, width = image.shape[:2]
    shrink = float(rng.uniform(1.2, 3.0)) if rng.random() < 0.5 else 1.0
    coded_width, coded_height = (max(64, int(extent / shrink) // 4 * 4) for extent in (width, height))
    crf = 16 + factor * severity
    still = Image.fromarray(image).resize((coded_width, coded_height), Image.Resampling.BICUBIC)
    options = {"crf": f"{crf:.0f}", "preset": "superfast"}
    if encoder == "libx265":
        options["x265-params"] = "log-level=none:pools=1:frame-threads=1"
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = coded_width, coded_height, "yuv420p"
    context.time_base, context.thread_count, context.options = Fraction(1, 25), 1, options
    reader: Any = av.CodecContext.create(decoder, "r")
    frame_class: Any = av.VideoFrame
    frame = frame_class.from_image(still)
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    frames = [f for packet in packets for f in reader.decode(packet)] + list(reader.decode(None))
    decoded = frames[0].to_image().resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(decoded)


def h264(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    return _through_codec(image, "libx264", "h264", 35, severity, rng)


def h265(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    return _through_codec(image, "libx265", "hevc", 35, severity, rng)


# -- noise and its cures


def gaussian_noise(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    sigma = _between(2.0, 70.0, severity)
    channels = 1 if rng.random() < 0.3 else 3
    grain = rng.standard_normal((*image.shape[:2], channels), dtype=np.float32)
    return _to_pixels(image + sigma * grain)


def shot_noise(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Noise whose variance is proportional to the light, as on a sensor."""
    peak = _between(2500.0, 5.0, severity)  # photons at white
    return _to_pixels(rng.poisson(image / 255.0 * peak) * (255.0 / peak))


def chroma_noise(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Coloured blotches that leave the luma alone."""
    sigma = _between(4.0, 90.0, severity)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    size = rng.uniform(0.0, 1.5)
    grain = ndimage.gaussian_filter(grain, (size, size, 0))
    grain *= sigma / grain.std()
    grain -= (grain @ np.array([0.299, 0.587, 0.114], np.float32))[:, :, None]
    return _to_pixels(image + grain)


def denoise(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Over-eager noise reduction: weak detail is wiped away, strong edges stay."""
    radius, threshold = _between(1.0, 5.0, severity), _between(3.0, 60.0, severity)
    smooth = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)), np.float32)
    detail = image - smooth
    return _to_pixels(smooth + np.sign(detail) * np.maximum(np.abs(detail) - threshold, 0))


def oversharpen(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    percent = round(_between(60, 900, severity))
    radius = float(rng.uniform(0.8, 2.5))
    return np.asarray(Image.fromarray(image).filter(ImageFilter.UnsharpMask(radius, percent, 0)))


def banding(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Too few levels: smooth gradients become steps."""
    step = 255.0 / (round(_between(48, 3, severity)) - 1)
    return _to_pixels(np.rint(image / step) * step)


# -- what image generators do


def melt(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Straight lines wobble and shapes flow into each other."""
    reach, grain = _between(0.8, 12.0, severity), float(rng.uniform(4.0, 12.0))
    field = ndimage.gaussian_filter(rng.standard_normal((2, *image.shape[:2]), np.float32), (0, grain, grain))
    places = np.indices(image.shape[:2], np.float32) + field * (reach / field.std())
    bent = [ndimage.map_coordinates(image[..., c], places, order=1, mode="reflect") for c in range(3)]
    return np.stack(bent, axis=-1)


def smear(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Texture turns into flat dabs with sharp borders, as if painted."""
    still = Image.fromarray(image).filter(ImageFilter.MedianFilter(3))
    side = round(_between(1.0, 6.0, severity)) * 2 + 1
    return np.asarray(still.filter(ImageFilter.MedianFilter(side) if side > 3 else ImageFilter.SMOOTH))


def checkerboard(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """The grid that up-sampling convolutions leave, strongest where there is detail."""
    period = int(rng.choice([2, 4, 8]))
    y, x = np.indices(image.shape[:2])
    grid = np.where((y // (period // 2) + x // (period // 2)) % 2, 1.0, -1.0)
    luma = image.mean(axis=2)
    detail = ndimage.gaussian_filter(np.abs(luma - ndimage.gaussian_filter(luma, 3.0)), 4.0)
    strength = _between(1.5, 34.0, severity) * (0.4 + np.minimum(detail / 12.0, 1.2))
    return _to_pixels(image + (strength * grid)[:, :, None])


def patchwork(image: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Parts of the picture turn up again where they do not belong."""
    height, width = image.shape[:2]
    result = image.astype(np.float32)
    for _ in range(round(_between(1.0, 14.0, severity))):
        side = int(rng.uniform(0.1, 0.24) * min(height, width))
        (top, to_top), (left, to_left) = (rng.integers(0, extent - side, 2) for extent in (height, width))
        edge = np.minimum(np.arange(side), np.arange(side)[::-1])
        alpha = np.clip(np.minimum(edge[:, None], edge[None, :]) / 5.0, 0, 1)[:, :, None]
        target = result[to_top : to_top + side, to_left : to_left + side]
        target += alpha * (image[top : top + side, left : left + side] - target)
    return _to_pixels(result)


# -- tone: the reference changes with it, so each returns what it costs on the 1-5 scale


def exposure(image: Pixels, severity: float, rng: np.random.Generator) -> tuple[Pixels, float]:
    stops = (0.3 + 2.5 * severity) * rng.choice([-1, 1])
    light = (image / 255.0) ** 2.2 * 2.0**stops
    return _to_pixels(np.clip(light, 0, 1) ** (1 / 2.2) * 255), 2.8 * severity


def saturation(image: Pixels, severity: float, rng: np.random.Generator) -> tuple[Pixels, float]:
    stronger = rng.random() < 0.5
    grey = image @ np.array([0.299, 0.587, 0.114])
    gain = 1 + 2 * severity if stronger else 1 - severity
    toned = grey[:, :, None] + gain * (image - grey[:, :, None])
    return _to_pixels(toned), (2.0 if stronger else 1.0) * severity


def contrast(image: Pixels, severity: float, rng: np.random.Generator) -> tuple[Pixels, float]:
    stronger = rng.random() < 0.4
    gain = 1 + 1.5 * severity if stronger else 1 - 0.85 * severity
    middle = image.mean()
    return _to_pixels(middle + gain * (image - middle)), (2.0 if stronger else 2.6) * severity


DEGRADATIONS: dict[str, Degradation] = {
    f.__name__: f
    for f in (
        gaussian_blur,
        defocus,
        motion_blur,
        ringing,
        rescale,
        jpeg,
        webp,
        h264,
        h265,
        gaussian_noise,
        shot_noise,
        chroma_noise,
        denoise,
        oversharpen,
        banding,
        melt,
        smear,
        checkerboard,
        patchwork,
    )
}
TONES: dict[str, Callable[[Pixels, float, np.random.Generator], tuple[Pixels, float]]] = {
    f.__name__: f for f in (exposure, saturation, contrast)
}
NOISES = frozenset({"gaussian_noise", "shot_noise", "chroma_noise", "banding", "oversharpen", "checkerboard"})
"""Degradations that add structure instead of removing it; DSS is a poor judge of them."""
DISPLACED = frozenset({"melt", "patchwork"})
"""Degradations that move things; a full-reference metric punishes that far more than an eye does."""
BLURRING = frozenset(
    {
        "gaussian_blur",
        "defocus",
        "motion_blur",
        "ringing",
        "rescale",
        "jpeg",
        "webp",
        "h264",
        "h265",
        "denoise",
        "smear",
    }
)
"""Degradations that take detail away."""
GRAINS = frozenset({"gaussian_noise", "shot_noise", "chroma_noise"})
"""Degradations that lie over the detail and leave it there."""
