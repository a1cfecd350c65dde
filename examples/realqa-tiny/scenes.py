"""Photos whose attributes are known because they were made so: tilted, cut, covered, toned and damaged.

A scene is a whole photo with one choice for each attribute and one chain of damage. The choices keep clear of
the borders between two options (an exposure is wrong by 0.7 stops or by 0.2, never by 0.5), since nobody
could say what is right there. Knows photos, degradations, fidelities and saliency; what the facts of a scene
are worth as labels is decided in `scene_labels`.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from degrade import BLURRING, DEGRADATIONS, draw_chain
from fidelity import fidelity
from photos import fitted_size, load
from PIL import Image
from saliency import SIDE, saliency, statistics

Pixels = npt.NDArray[np.uint8]
Chain = list[tuple[str, float]]
# Area of a scene in pixels, and the share of scenes: small ones are cheap, large ones are what is scored.
AREAS = {50_176: 0.5, 112_896: 0.25, 200_704: 0.2, 401_408: 0.05}
NATIVE = 0.35  # share of scenes that are damaged at a larger size, before the photo is fitted
SECOND = 0.2  # probability that a second degradation follows the first
SHARES = {
    "none": 0.12,
    "rescale": 0.13,
    "gaussian_blur": 0.11,
    "defocus": 0.05,
    "motion_blur": 0.05,
    "ringing": 0.02,
    "jpeg": 0.11,
    "webp": 0.04,
    "h264": 0.06,
    "h265": 0.06,
    "gaussian_noise": 0.06,
    "shot_noise": 0.03,
    "chroma_noise": 0.02,
    "denoise": 0.02,
    "oversharpen": 0.01,
    "banding": 0.01,
    "melt": 0.03,
    "smear": 0.03,
    "checkerboard": 0.02,
    "patchwork": 0.02,
}
# Option: (share, lowest, highest) of the stops, of the gain of chroma, of the degrees.
EXPOSURE = {
    "overexposed": (0.1, 1.6, 2.6),
    "slightly overexposed": (0.12, 0.7, 1.2),
    "properly exposed": (0.56, -0.25, 0.25),
    "slightly underexposed": (0.12, -1.3, -0.8),
    "underexposed": (0.1, -3.2, -2.0),
}
SATURATION = {
    "ultra-low": (0.1, 0.0, 0.12),
    "low": (0.15, 0.35, 0.55),
    "medium": (0.5, 0.9, 1.15),
    "high": (0.15, 1.6, 1.9),
    "ultra-high": (0.1, 2.5, 3.2),
}
LEVEL = {"yes": (0.6, -0.5, 0.5), "no": (0.4, 3.0, 25.0)}
INTEGRITY = {
    "fully complete": (0.7, 0.0, 0.0),
    "partially complete": (0.15, 0.1, 0.25),
    "incomplete": (0.15, 0.42, 0.7),
}


def draw(options: dict[str, tuple[float, float, float]], rng: np.random.Generator) -> tuple[str, float]:
    """(option, value within its range)."""
    shares = np.array([share for share, _, _ in options.values()])
    name = str(rng.choice(list(options), p=shares / shares.sum()))
    return name, float(rng.uniform(*options[name][1:]))


def tilted(photo: Image.Image, degrees: float, frame: float) -> Image.Image:
    """The largest middle part of the photo's shape that is free of corners after a turn by `frame` degrees.

    A level scene is cut by the frame of a tilted one, so that the cut tells nothing.
    """
    turned = photo.rotate(degrees, Image.Resampling.BICUBIC)
    angle = np.radians(abs(frame))
    ratio = photo.width / photo.height
    shrink = 1 / (np.cos(angle) + np.sin(angle) * max(ratio, 1 / ratio))
    width, height = (int(extent * shrink) - 2 for extent in photo.size)
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    return turned.crop((left, top, left + width, top + height))


def balanced(image: Pixels) -> Pixels:
    """The photo with ordinary brightness and colour, from which a shift is a known error.

    The gains are bounded, so a photo that was far from ordinary stays a little so.
    """
    light = (image / 255.0) ** 2.2
    gain = np.clip(0.17 / max(float(np.median(light.mean(2))), 1e-3), 0.3, 4.0)
    image = (np.clip(light * gain, 0, 1) ** (1 / 2.2) * 255).astype(np.float32)
    grey = image @ np.array([0.299, 0.587, 0.114])
    chroma = np.abs(image - grey[:, :, None]).mean()
    return saturated(image, float(np.clip(22 / max(chroma, 1.0), 0.3, 3.0)))


def saturated(image: npt.NDArray[Any], gain: float) -> Pixels:
    grey = (image @ np.array([0.299, 0.587, 0.114]))[:, :, None]
    return np.asarray(np.clip(np.rint(grey + gain * (image - grey)), 0, 255), np.uint8)


def exposed(image: Pixels, stops: float) -> Pixels:
    light = np.clip((image / 255.0) ** 2.2 * 2.0**stops, 0, 1)
    return np.asarray(np.rint(light ** (1 / 2.2) * 255), np.uint8)


def hidden(image: Pixels, share: float, stranger: Pixels, rng: np.random.Generator) -> Pixels:
    """The photo with about `share` of its saliency lost: half the time cut off by the frame, else covered."""
    if share == 0:
        return image
    salient = saliency(image)
    return _cut(image, share, salient, rng) if rng.random() < 0.5 else _cover(image, share, salient, stranger, rng)


def _cut(image: Pixels, share: float, salient: npt.NDArray[Any], rng: np.random.Generator) -> Pixels:
    side = int(rng.integers(4))
    along = salient.sum(axis=1 if side < 2 else 0)
    cells = int(np.searchsorted(np.cumsum(along if side % 2 == 0 else along[::-1]), share)) + 1
    extent = image.shape[0 if side < 2 else 1]
    pixels = min(int(cells / SIDE * extent), int(0.6 * extent))
    keep = slice(pixels, None) if side % 2 == 0 else slice(0, extent - pixels)
    return image[keep] if side < 2 else image[:, keep]


def _cover(
    image: Pixels, share: float, salient: npt.NDArray[Any], stranger: Pixels, rng: np.random.Generator
) -> Pixels:
    """A soft-edged blob of something else, or of darkness, over the middle of the saliency."""
    height, width = image.shape[:2]
    middle = np.unravel_index(int(rng.choice(salient.size, p=salient.ravel())), salient.shape)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    angle, long = rng.uniform(0, np.pi), rng.uniform(1.0, 2.0)
    dy, dx = y - middle[0], x - middle[1]
    across = dx * np.cos(angle) + dy * np.sin(angle)
    distance = np.hypot(across / long, dy * np.cos(angle) - dx * np.sin(angle))
    order = np.argsort(distance.ravel())
    radius = distance.ravel()[order[np.searchsorted(np.cumsum(salient.ravel()[order]), share)]]
    mask = np.clip((radius - distance) / 1.5 + 0.5, 0, 1) * 255
    alpha = Image.fromarray(mask.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.4:
        stranger = np.full((1, 1, 3), rng.integers(10, 70), np.uint8)
    over = Image.fromarray(stranger).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(Image.composite(over, Image.fromarray(image), alpha))


def sized(photo: Image.Image, area: float) -> Image.Image:
    """On the 28-pixel grid, at about `area` pixels and never enlarged."""
    area = min(area, photo.width * photo.height)
    return photo.resize(fitted_size(*photo.size, int(area * 0.93), int(area)), Image.Resampling.BICUBIC)


@functools.lru_cache(maxsize=256)
def _photo(path: Path) -> Image.Image:
    photo = load(path)
    return (
        photo.resize([extent // 2 for extent in photo.size], Image.Resampling.BICUBIC)
        if (photo.width * photo.height < 300_000)
        else photo
    )


def make_scene(
    paths: list[Path], number: int, seed: int, areas: dict[int, float] = AREAS
) -> tuple[Pixels, dict[str, Any]]:
    """(pixels, what is known of them); the same for the same photos, number, seed and areas."""
    rng = np.random.default_rng([seed, number])
    path, stranger = (paths[int(i)] for i in rng.integers(0, len(paths), 2))
    level, degrees = draw(LEVEL, rng)
    degrees *= float(rng.choice([-1, 1]))
    frame = degrees if level == "no" else draw({"no": LEVEL["no"]}, rng)[1]
    integrity, share = draw(INTEGRITY, rng)
    exposure, stops = draw(EXPOSURE, rng)
    saturation, gain = draw(SATURATION, rng)
    chain = draw_chain(SHARES, SECOND, rng)
    area = float(rng.choice(list(areas), p=list(areas.values())))
    zoom = float(rng.uniform(1.1, 1.7)) if rng.random() < NATIVE else 1.0

    photo = tilted(_photo(path), degrees, frame)
    whole = balanced(np.asarray(photo))
    shown = hidden(whole, share, np.asarray(_photo(stranger)), rng)
    reference = sized(Image.fromarray(shown), area)
    larger = reference.resize([round(extent * zoom) for extent in reference.size], Image.Resampling.BICUBIC)
    toned = saturated(exposed(np.asarray(larger), stops), gain)
    damaged = toned
    for name, severity in chain:
        damaged = DEGRADATIONS[name](damaged, severity, rng)
    clean, pixels = (
        np.asarray(Image.fromarray(part).resize(reference.size, Image.Resampling.BICUBIC)) if zoom > 1 else part
        for part in (toned, damaged)
    )
    return pixels, {
        "photo": path.name,
        "chain": chain,
        "fidelity": _fidelity(clean, pixels),
        "detail": _detail(larger, chain, reference.size, rng),
        "statistics": asdict(statistics(shown)),
        "degrees": degrees,
        "stops": stops,
        "gain": gain,
        "hidden": share,
        "attributes": {
            "subject_integrity": integrity,
            "level_shot": level,
            "exposure": exposure,
            "saturation": saturation,
        },
    }


def _detail(larger: Image.Image, chain: Chain, size: tuple[int, int], rng: np.random.Generator) -> list[float]:
    """Fidelity, at a size, of the photo in its own tones after nothing but what blurs in the chain."""
    blurred = np.asarray(larger)
    for name, severity in chain:
        if name in BLURRING:
            blurred = DEGRADATIONS[name](blurred, severity, rng)
    fitted = (part.resize(size, Image.Resampling.BICUBIC) for part in (larger, Image.fromarray(blurred)))
    return _fidelity(*map(np.asarray, fitted))


def _fidelity(reference: Pixels, pixels: Pixels) -> list[float]:
    values: list[float] = fidelity(reference, pixels, [(0, 0, *pixels.shape[:2])])[0].tolist()
    return values


def _write_share(paths: list[Path], folder: Path, numbers: range, seed: int, areas: dict[int, float]) -> None:
    facts = folder / f"facts-{numbers.start}.jsonl"
    done = len(facts.read_text().splitlines()) if facts.exists() else 0
    with facts.open("a") as lines:
        for number in list(numbers)[done:]:
            pixels, scene = make_scene(paths, number, seed, areas)
            Image.fromarray(pixels).save(folder / f"{number:06d}.png", compress_level=1)
            lines.write(json.dumps({"image": f"{number:06d}.png", **scene}) + "\n")
            lines.flush()


def write_scenes(
    paths: list[Path],
    folder: Path,
    count: int,
    *,
    processes: int = 2,
    seed: int = 0,
    areas: dict[int, float] = AREAS,
) -> list[dict[str, Any]]:
    """Images and facts of `count` scenes; goes on where an earlier run stopped. Returns the facts.

    areas: in pixels, each with its share.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    shares = [range(first, count, processes) for first in range(processes)]
    workers = [context.Process(target=_write_share, args=(paths, folder, share, seed, areas)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a data process failed; its traceback is above")
    facts = [
        json.loads(line)
        for share in shares
        for line in (folder / f"facts-{share.start}.jsonl").read_text().splitlines()
    ]
    return sorted(facts, key=lambda scene: scene["image"])
