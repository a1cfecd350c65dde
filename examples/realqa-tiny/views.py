"""Views: photographs as the student sees them, with what the teacher's network and an earlier model say.

A view is a whole photo, fitted to the model's grid: as it is, or changed (cut, exposed, damaged).
Views are written one by one, so that a run that was cut off goes on where it stopped. What they are worth
as labels is decided in `opinions`.
"""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from degrade import DEGRADATIONS, TONES, draw_chain
from ladders import SHARES
from mixed_precision import autocast
from photos import MIN_PIXELS, fit, load, region
from PIL import Image
from scenes import exposed
from teacher import Cells, Network, imagenet_weights
from windows import SHARES as WINDOW_SHARES

Pixels = npt.NDArray[np.uint8]
UNRATED_PIXELS = 230_000  # of a photo without ratings at most, so that more can be made
SIDE = 392  # pixels of a changed view's side at most, so that twice as many can be made
KEPT = 0.6  # least share of a side that a cut keeps
EXPOSED = 0.35  # probability that a changed view is exposed otherwise
STOPS = (-3.2, 1.8)
DAMAGED = 0.8  # probability that a changed view is damaged
# Half as ladders have it, half as the windows of the start, among which are more coded and scaled frames.
DAMAGES = {name: share + WINDOW_SHARES.get(name, 0) for name, share in SHARES.items() if name not in TONES}


@dataclass(frozen=True)
class Task:
    """One view to make. change: 0 as it is, 1 and more: a seed for changes."""

    photo: Path
    change: int
    score: float | None = None  # people's, of the photo as it is


@dataclass(frozen=True)
class View:
    """What is known of a view; its pixels and cells are files."""

    stem: Path
    photo: str
    change: int
    score: float | None
    earlier: float | None  # score by the earlier model; None of photos that people rated

    def pixels(self) -> Pixels:
        return np.asarray(load(self.stem.with_suffix(".png")))

    def cells(self) -> Cells:
        return np.asarray(np.load(self.stem.with_suffix(".npy"), mmap_mode="r"))


def changed(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A cut, another exposure, damage: each with some probability, and at least one of the last two."""
    width, height = (max(28, round(side * rng.uniform(KEPT, 1))) for side in photo.size)
    left, top = int(rng.integers(photo.width - width + 1)), int(rng.integers(photo.height - height + 1))
    pixels = np.asarray(photo.crop((left, top, left + width, top + height)))
    tones = rng.random() < EXPOSED
    if tones:
        pixels = exposed(pixels, float(rng.uniform(*STOPS)))
    if not tones or rng.random() < DAMAGED:
        for name, severity in draw_chain(DAMAGES, 0.2, rng):
            pixels = DEGRADATIONS[name](pixels, severity, rng)
    return Image.fromarray(pixels)


def make(task: Task) -> Pixels:
    """The pixels of a view, on the model's grid."""
    photo = load(task.photo)
    if task.change:
        name = [*task.photo.name.encode()]
        rng = np.random.default_rng([task.change, *name])
        return np.asarray(region(fit(changed(photo, rng)), SIDE, rng))
    return np.asarray(fit(photo) if task.score is not None else fit(photo, MIN_PIXELS, UNRATED_PIXELS))


def write_views(
    tasks: list[Task], folder: Path, earlier: Path, *, processes: int = 2, weights: Path | None = None
) -> list[View]:
    """All views of `tasks`. earlier: model folder.  weights: of the network (default: those of ImageNet)."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = weights or imagenet_weights()
    if processes == 1:
        _write(tasks, folder, earlier, chosen, range(len(tasks)))
        return read_views(folder)
    context = multiprocessing.get_context("spawn")
    shares = [range(first, len(tasks), processes) for first in range(processes)]
    workers = [context.Process(target=_write, args=(tasks, folder, earlier, chosen, share)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a data process failed; its traceback is above")
    return read_views(folder)


def read_views(folder: Path) -> list[View]:
    """Those that are there, in the order of their numbers."""
    lines = [
        json.loads(line) for file in sorted(folder.glob("views-*.jsonl")) for line in file.read_text().splitlines()
    ]
    lines.sort(key=lambda line: line["number"])
    return [View(folder / f"{line.pop('number'):06d}", **line) for line in lines]


def _write(tasks: list[Task], folder: Path, earlier: Path, weights: Path, numbers: range) -> None:
    from evaluate import Judge

    torch.set_num_threads(1)
    network, judge = Network(weights), Judge(earlier)
    index = folder / f"views-{numbers.start}.jsonl"
    done = len(index.read_text().splitlines()) if index.exists() else 0
    with index.open("a") as lines:
        for number in list(numbers)[done:]:
            task = tasks[number]
            pixels = make(task)
            stem = folder / f"{number:06d}"
            Image.fromarray(pixels).save(stem.with_suffix(".png"), compress_level=1)
            np.save(stem.with_suffix(".npy"), network.cells(pixels))
            line: dict[str, Any] = {"number": number, "photo": task.photo.name, "change": task.change}
            line |= {"score": task.score, "earlier": None if task.score is not None else _judged(judge, pixels)}
            lines.write(json.dumps(line) + "\n")
            lines.flush()


def _judged(judge: Any, pixels: Pixels) -> float:
    with autocast():
        return round(float(judge.scores([pixels])[0]), 4)


def plan(rated: list[tuple[Path, float]], others: list[Path], changed_views: int, seed: int = 4) -> list[Task]:
    """Rated photos and the others as they are, then changed versions of the others.

    Both come in a random order, so that those that there was time for are an even choice.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(others))
    tasks = [Task(photo, 0, score) for photo, score in rated] + [Task(others[i], 0) for i in order]
    for number in range(changed_views if others else 0):
        version, place = divmod(number, len(others))
        tasks.append(Task(others[order[place]], 1 + version))
    return tasks
