"""The last leg of training: damage, ladders, attributes and chains of thought together.

Each of them alone takes from the others: after chains of thought a ladder no longer falls, after ladders the
exposure is forgotten. Here every step adds the gradients of batches drawn from all of them, on two threads
side by side. The vision part is trained along, at a lower rate; beside the scores it keeps its quality.

A lesson is a conversation of `realqa build-cot`, with realqa's own batches and loss. What differs from
`realqa train` is its weight: nearly all words of an answer are its form and soon cost nothing, so a lesson
counts by the sum over its words and not by their mean. What is learnt are the few that are choices.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ladders
import numpy as np
import numpy.typing as npt
import torch
from export import settle, write_settings
from inputs import Conversation
from labels import fit_ranks, read_records
from PIL import Image
from train import WHOLE, Sizes, Windows, cosine, save, step_loss
from train import Settings as WindowSettings
from transformers import AutoModelForImageTextToText, AutoTokenizer

from realqa_cli import models
from realqa_cli.backends import Loading
from realqa_cli.backends.lean import lean
from realqa_cli.backends.onnx_graphs import GATE
from realqa_cli.training import conversations
from realqa_cli.training.lessons import Lessons as Told
from realqa_cli.training.objectives import Setup
from realqa_cli.training.objectives.next_token import NextToken
from realqa_cli.training.rows import on_cpu

# Shares of the lessons, and by what the sum over an answer's words is divided; free wording counts less.
FORMATS = {
    "mix": (0.52, 10.0),
    "levels": (0.06, 10.0),
    "attributes": (0.06, 10.0),
    "cot-regular": (0.18, 10.0),
    "cot": (0.05, 60.0),
    "direct": (0.13, 10.0),
}
PIXELS = 600_000  # of a batch of lessons
MOST = 12  # lessons in a batch
WORDS = 60_000  # pixels that take about as long as the words of a lesson
PROMPT = 20_000  # and as those of a bare score
TASKS = 6  # batches in a step at most


@dataclass(frozen=True)
class Settings:
    """Optimiser and schedule; the schedule runs on the clock."""

    minutes: float = 66.0
    language_rate: float = 3e-4
    vision_rate: float = 1.2e-4
    warm_up: int = 60  # steps
    weight_decay: float = 0.05
    clip: float = 1.0
    order: float = 3.0  # weight of the order within ladders
    windows: float = 0.34  # shares of the batches
    ladders: float = 0.13
    whole_ladders: float = 0.06
    lessons: float = 0.47
    sizes: Sizes = (
        (112, 32, 0.40, 0.25), (224, 12, 0.40, 0.40), (448, 4, 0.10, 0.18), (WHOLE, 3, 0.10, 0.17),
    )  # fmt: skip
    seed: int = 31


@dataclass(frozen=True)
class Batch:
    """kind: as in the log.  content: images of one size (B, height, width, 3), or lessons.

    cost: about how long it takes, in pixels.  values: the scores of windows.
    """

    kind: str
    content: Any
    cost: float
    values: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Learnt:
    """What a batch gave; told: for windows the PLCC, for ladders the share of steps that fall."""

    gradients: tuple[torch.Tensor | None, ...]
    kind: str
    loss: float
    told: float


class Lessons:
    """Conversations of `realqa build-cot`, in batches of one format and of about one size."""

    def __init__(self, files: list[Path], folder: Path, model: Any) -> None:
        """folder: of the model that learns, for its tokenizer and settings."""
        found: dict[tuple[str, int], list[conversations.Conversation]] = defaultdict(list)
        for line in conversations.read(files):
            found[line.format or "", _area(line.images[0])].append(line)
        counts: dict[str, int] = defaultdict(int)
        for (name, _), lines in found.items():
            counts[name] += len(lines)
        # Large photos come in smaller batches, so there are more of these.
        weights = [
            FORMATS[name][0] * len(lines) / counts[name] * area**0.5 for (name, area), lines in found.items()
        ]
        self._groups, self._shares = [*found.values()], np.array(weights) / sum(weights)
        prepares = on_cpu(models.find(str(folder)), Loading(min_pixels=12_544), model)
        told = Told((1.0, 5.0), 3, None, {})
        self._objective = NextToken(
            Setup(prepares=prepares, lessons=told, max_length=4096, takes_mask=True, number_loss=1.0)
        )

    def draw(self, rng: np.random.Generator) -> Batch:
        """A batch of lessons."""
        lines = self._groups[int(rng.choice(len(self._groups), p=self._shares))]
        area = _area(lines[0].images[0])
        count = max(2, min(MOST, PIXELS // area))
        chosen = [lines[int(i)] for i in rng.integers(0, len(lines), count)]
        return Batch(chosen[0].format or "", chosen, count * (0.75 * area + WORDS))

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Scalar: of the words, and of direct scores the number-aware one."""
        lost = self._objective.loss(model, self._objective.collate(batch.content))
        words: torch.Tensor = lost.total / (len(batch.content) * FORMATS[batch.kind][1])
        return words if lost.more is None else words + lost.more


class Batches:
    """All that is learnt from."""

    def __init__(self, windows: Windows, lessons: Lessons, photos: list[Path], settings: Settings) -> None:
        """photos: for ladders."""
        self._windows, self._lessons, self._settings = windows, lessons, settings
        self._ladders = {
            whole: ladders.batches(photos, 1 if whole else 4, settings.seed + whole, whole=whole)
            for whole in (False, True)
        }

    def step(self, progress: float, rng: np.random.Generator) -> tuple[list[Batch], list[Batch]]:
        """What two threads are to do, as equally long as a few batches allow."""
        parts: tuple[list[Batch], list[Batch]] = [self.draw(progress, rng)], [self.draw(progress, rng)]
        while len(parts[0]) + len(parts[1]) < TASKS:
            less, more = sorted(parts, key=lambda part: sum(batch.cost for batch in part))
            if sum(batch.cost for batch in less) > 0.7 * sum(batch.cost for batch in more):
                break
            less.append(self.draw(progress, rng))
        return parts

    def draw(self, progress: float, rng: np.random.Generator) -> Batch:
        """A batch of some kind; large windows more and more."""
        told = self._settings
        shares = np.array([told.lessons, told.windows, told.ladders, told.whole_ladders])
        kind = int(rng.choice(4, p=shares / shares.sum()))
        if kind == 0:
            return self._lessons.draw(rng)
        if kind == 1:
            weights = np.array([begin + progress * (end - begin) for _, _, begin, end in told.sizes])
            side, count, _, _ = told.sizes[int(rng.choice(len(weights), p=weights / weights.sum()))]
            images, values = self._windows.draw(side, count, rng)
            return Batch("windows", images, _cost(images), values)
        images = next(self._ladders[kind == 3])
        return Batch("whole ladders" if kind == 3 else "ladders", images, _cost(images))


class Learner:
    """Gradients of batches; several threads may ask."""

    def __init__(self, model: Any, talk: Conversation, lessons: Lessons, settings: Settings) -> None:
        self._model, self._talk, self._lessons, self._settings = model, talk, lessons, settings
        self.named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]

    def learn(self, work: tuple[list[Batch], int]) -> list[Learnt]:
        """Of some batches, one after the other. work: the batches, and a seed."""
        rng = np.random.default_rng(work[1])
        return [self._learn(batch, rng) for batch in work[0]]

    def _learn(self, batch: Batch, rng: np.random.Generator) -> Learnt:
        told = math.nan
        with torch.autocast("cpu", torch.bfloat16):
            if batch.kind in FORMATS:
                loss = self._lessons.loss(self._model, batch)
            else:
                blank = np.full(len(batch.content), 3.0, np.float32)  # of ladders only the order counts
                values = blank if batch.values is None else batch.values
                loss, expected = step_loss(
                    self._model, self._talk, batch.content, values, WindowSettings(), rng
                )
                if batch.values is None:
                    loss = self._settings.order * ladders.order_loss(expected)
                    falls = expected.detach().reshape(-1, len(ladders.RUNGS)).diff(dim=1) < 0
                    told = float(falls.float().mean())
                else:
                    told = float(np.corrcoef(expected.detach().numpy(), values)[0, 1])
        gradients = torch.autograd.grad(loss, [p for _, p in self.named], allow_unused=True)
        return Learnt(gradients, batch.kind, float(loss.detach()), told)


def finish(
    trained: Path,
    output: Path,
    photos: list[Path],
    data: Path,
    lessons: list[Path],
    settings: Settings,
    checkpoint: Path,
) -> None:
    """The folder `output` with what the leg makes of `trained`, its weights of half the size.

    photos: those of training.  data: with the shards of `windows`.  lessons: files of conversations.
    """
    model = AutoModelForImageTextToText.from_pretrained(trained, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(trained)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(GATE not in name or ".visual." not in name)
    records = read_records(data, "train")
    told = Lessons(lessons, trained, model)
    batches = Batches(Windows(records, fit_ranks(records)), told, photos, settings)
    train(lean(model), Conversation(tokenizer), told, batches, settings, checkpoint)
    for part in (model.config.text_config, model.config.vision_config):
        part.dtype = None  # that of the whole counts
    settle(model, tokenizer, output)
    file: dict[str, Any] = json.loads((trained / "realqa.json").read_text())
    file["trained_on"] = f"synthetic scenes and degradations of {len(photos)} photographs; no human ratings"
    write_settings(output, file | {"started_from": None})


def train(
    model: Any, talk: Conversation, lessons: Lessons, batches: Batches, settings: Settings, checkpoint: Path
) -> dict[str, float]:
    """Trains in place, on two threads; returns steps and minutes. Goes on from its last checkpoint."""
    torch.set_num_threads(1)
    learner = Learner(model, talk, lessons, settings)
    params = [p for _, p in learner.named]
    optimiser = torch.optim.AdamW(_groups(learner.named, settings), betas=(0.9, 0.98))
    step, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    rng = np.random.default_rng([settings.seed, step])
    history: list[Learnt] = []
    model.train()
    start = time.time() - spent
    saved = logged = time.time()
    with ThreadPoolExecutor(2) as pool:
        while (progress := (time.time() - start) / (60 * settings.minutes)) < 1:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * cosine(progress, step, settings.warm_up)
            seeds = [int(seed) for seed in rng.integers(2**62, size=2)]
            work = zip(batches.step(progress, rng), seeds, strict=True)
            done = [each for part in pool.map(learner.learn, work) for each in part]
            for param, gradient in zip(params, _means(done), strict=True):
                param.grad = gradient
            torch.nn.utils.clip_grad_norm_(params, settings.clip)
            optimiser.step()
            step, history = step + 1, history + done
            if time.time() - logged > 30:
                _log(step, time.time() - start, history)
                logged, history = time.time(), []
            if time.time() - saved > 120:
                save(checkpoint, model, optimiser, step=step, spent=time.time() - start)
                saved = time.time()
    save(checkpoint, model, optimiser, step=step, spent=time.time() - start)
    model.eval()
    return {"steps": step, "minutes": settings.minutes}


def _groups(named: list[tuple[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Vision and language, matrices and others: each with its peak rate and its weight decay."""
    return [
        {
            "params": [p for name, p in named if (".visual." in name) == vision and (p.ndim > 1) == matrices],
            "lr": 0.0,
            "peak": settings.vision_rate if vision else settings.language_rate,
            "weight_decay": settings.weight_decay * matrices,
        }
        for vision in (True, False)
        for matrices in (True, False)
    ]


def _means(done: list[Learnt]) -> Iterator[torch.Tensor | None]:
    """The gradient of each parameter: the sum over the batches that have one, by the number of batches."""
    for gradients in zip(*(each.gradients for each in done), strict=True):
        given = [gradient for gradient in gradients if gradient is not None]
        yield torch.stack(given).sum(0) / len(done) if given else None


def _cost(images: npt.NDArray[np.uint8]) -> float:
    return float(np.prod(images.shape[:3])) + PROMPT * len(images)


@cache
def _area(image: Path) -> int:
    """Of a photo in pixels, rounded up to a power of two."""
    with Image.open(image) as opened:
        return int(2 ** math.ceil(math.log2(opened.width * opened.height)))


def _log(step: int, spent: float, history: list[Learnt]) -> None:
    """One line: for each kind of batch the mean loss, what is told of it, and how many there were."""
    kinds = {learnt.kind: [each for each in history if each.kind == learnt.kind] for learnt in history}
    parts = [
        f"{kind} {np.mean([e.loss for e in kinds[kind]]):.3f}/{np.mean([e.told for e in kinds[kind]]):.3f}"
        f" ({len(kinds[kind])})"
        for kind in sorted(kinds)
    ]
    print(f"{spent:6.0f} s  step {step:5d}  {'  '.join(parts)}", flush=True)
