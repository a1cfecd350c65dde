"""The training loop: windows of several sizes, soft numerals as targets, a checkpoint every minute.

The loss at the numeral is exact: the target is a Gaussian over the 401 scores 1.00 .. 5.00, and the model's
conditionals of the first two digits are trained on every branch, those of the third on one sampled path. To
it come the squared error and the correlation of the expected score, and the cross-entropy of the sentence
around the numeral. Knows shards and labels; does not know how they were made or how the model is judged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from inputs import Conversation, mask, patches, positions
from labels import Record, scores
from ladders import RUNGS, batches, order_loss
from mixed_precision import autocast
from torch.nn import functional as F

NUMERALS = np.round(np.arange(100, 501) / 100, 2)


# Side of the window (0: a whole photo), images a step, and the share of steps at the start and at the end.
Sizes = tuple[tuple[int, int, float, float], ...]
WHOLE, LADDER = 0, -1  # sides that are none


@dataclass(frozen=True)
class Settings:
    """Optimiser and schedule; the schedule runs on the clock, so that a run ends when it was asked to."""

    minutes: float = 30.0
    rate: float = 3e-4
    warm_up: int = 100  # steps
    weight_decay: float = 0.05
    clip: float = 1.0
    sigma: float = 0.25  # of the soft target, in points of the 1-5 scale
    regression: float = 0.5  # weight of squared error and correlation
    sentence: float = 0.2  # weight of the words around the numeral
    keeps_mean: bool = False  # whether the soft target is shifted so that the ends of the scale do not move it
    order: float = 3.0  # weight of the order within ladders
    ladders: int = 4  # in a step that trains on them
    ladder_share: float = 0.0  # of the steps
    sizes: Sizes = (
        (112, 32, 0.45, 0.25),
        (224, 12, 0.42, 0.42),
        (448, 4, 0.08, 0.19),
        (WHOLE, 3, 0.05, 0.14),
    )
    threads: int = 2
    seed: int = 0


# The shipped model went through both: the first finds its way, the second adds the order within ladders.
PHASES = (
    Settings(minutes=25),
    Settings(
        minutes=38,
        rate=1.2e-4,
        ladder_share=0.2,
        seed=11,
        sizes=((112, 32, 0.50, 0.35), (224, 12, 0.40, 0.40), (448, 4, 0.06, 0.13), (WHOLE, 3, 0.04, 0.12)),
    ),
)


@dataclass(frozen=True)
class Sample:
    record: Record
    window: tuple[int, int, int, int]
    score: float


class Windows:
    """All labelled windows by size, with the shards' pixels mapped into memory."""

    def __init__(self, records: list[Record], quantiles: npt.NDArray[np.float64]) -> None:
        self.maps = {shard: np.memmap(shard, np.uint8, "r") for shard in {r.shard for r in records}}
        self.by_size: dict[tuple[int, int], list[Sample]] = {}
        whole: dict[tuple[int, int], list[Sample]] = {}
        for record in records:
            for window, score in zip(record.windows, scores(record, quantiles), strict=True):
                size = window[2], window[3]
                is_whole = record.whole and size == (record.height, record.width)
                target = whole if is_whole else self.by_size
                target.setdefault(size, []).append(Sample(record, window, float(score)))
        self.whole = list(whole.values())
        self.sides = {height for height, width in self.by_size if height == width} | ({0} if whole else set())

    def pixels(self, sample: Sample) -> npt.NDArray[np.uint8]:
        record, (top, left, height, width) = sample.record, sample.window
        flat = self.maps[record.shard][record.offset : record.offset + record.height * record.width * 3]
        return flat.reshape(record.height, record.width, 3)[top : top + height, left : left + width]

    def draw(self, side: int, count: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Any]:
        """Images of one size (count, height, width, 3) and their scores (count,); half of them mirrored."""
        if side:
            pool = self.by_size[side, side]
        else:
            sizes = np.array([len(group) for group in self.whole], float)
            pool = self.whole[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
        chosen = [pool[int(i)] for i in rng.integers(0, len(pool), count)]
        images = [self.pixels(sample) for sample in chosen]
        images = [image[:, ::-1] if rng.random() < 0.5 else image for image in images]
        return np.stack(images), np.array([sample.score for sample in chosen], np.float32)


def soft_targets(values: npt.NDArray[np.float32], sigma: float, *, keeps_mean: bool = False) -> npt.NDArray[np.float64]:
    """Gaussian over the 401 numerals as (B, 500) probabilities of d1 d2 d3, d1 in 1..5; zero above 5.00.

    keeps_mean: the Gaussian is shifted so that its mean is the value although it is cut off at 1 and 5.
    """
    centres = _centres(sigma)(values) if keeps_mean else values
    table = np.zeros((len(values), 500))
    table[:, :401] = _gaussian(np.asarray(centres, np.float64), sigma)
    return table


def _gaussian(centres: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    """Probabilities of the 401 numerals: (B, 401)."""
    logs = -0.5 * ((NUMERALS[None] - centres[:, None]) / sigma) ** 2
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@cache
def _centres(sigma: float) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]:
    """From the mean of a Gaussian that is cut off at 1 and 5 to its centre."""
    centres = np.linspace(-5, 11, 1601)
    means = _gaussian(centres, sigma) @ NUMERALS
    return lambda values: np.interp(values, means, centres)


def step_loss(
    model: Any,
    talk: Conversation,
    images: npt.NDArray[np.uint8],
    values: npt.NDArray[np.float32],
    settings: Settings,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, expected scores (B,), both with gradients) of images of one size."""
    batch, height, width, _ = images.shape
    prompt = talk.prompt(height, width)
    joint = soft_targets(values, settings.sigma, keeps_mean=settings.keeps_mean)
    paths = np.array([rng.choice(500, p=row) for row in joint])  # one numeral each: 100 (d1 - 1) + 10 d2 + d3
    tree = talk.path_tree(1)
    length, digits = len(prompt.ids), torch.tensor(talk.digits)

    ids = torch.tensor([[*prompt.ids, *tree.ids]]).repeat(batch, 1)
    ids[:, length + 10] = digits[torch.from_numpy(paths // 10 % 10)]
    ids[:, length + 11] = digits[torch.from_numpy(paths % 10)]
    sees = torch.stack([mask(length, talk.path_tree(int(first) + 1)) for first in paths // 100])[:, None]
    where = positions(model, prompt, tree)[:, None].expand(-1, batch, -1)
    hidden = model.model(
        input_ids=ids,
        pixel_values=patches(images),
        image_grid_thw=torch.tensor([prompt.grid]).repeat(batch, 1),
        attention_mask=sees,
        position_ids=where,
        use_cache=False,
    ).last_hidden_state
    logits = model.lm_head(hidden[:, prompt.answer - 1 :]).float()
    logs = logits.log_softmax(-1)
    at = length - prompt.answer  # index in `logs` of the token before the numeral

    table = torch.from_numpy(joint).float().reshape(batch, 5, 10, 10)
    first, second = table.sum((2, 3)), table.sum(3)
    log_first = logs[:, at][:, digits[1:6]]
    log_second = logs[:, at + 6 : at + 11][:, :, digits]  # after each "d1 ."
    rows = torch.arange(batch)
    third = table[rows, paths // 100, paths // 10 % 10]
    log_third = logs[:, at + 11][:, digits]
    numeral = (
        -(first * log_first).sum(-1)
        - (second * log_second).sum((1, 2))
        - (third / third.sum(-1, keepdim=True) * log_third).sum(-1)
    ).mean()

    words = F.cross_entropy(logits[:, :at].flatten(0, 1), ids[:, prompt.answer : length].flatten())
    point = -logs[:, at + 1 : at + 6, talk.point].mean() - logs[:, at + 12, talk.point].mean()
    ending = -logs[:, at + 13, talk.end].mean()

    expected = _expected(log_first, log_second)
    target = torch.from_numpy(values)
    regression = F.mse_loss(expected, target)
    if batch >= 8:
        regression = regression + 0.5 * (1 - _correlation(expected, target))
    loss = numeral + settings.sentence * (words + point + ending) + settings.regression * regression
    return loss, expected


def _expected(log_first: torch.Tensor, log_second: torch.Tensor) -> torch.Tensor:
    """The mean score from the first two digits; the third adds 0.045 on average, except at 5.00."""
    tenths = log_second.softmax(-1) @ torch.arange(10.0) / 10 + 0.045
    leaf = torch.arange(1.0, 6.0) + tenths * torch.tensor([1.0, 1, 1, 1, 0])
    return (log_first.softmax(-1) * leaf).sum(-1)


def _correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a - a.mean(), b - b.mean()
    correlation: torch.Tensor = (a * b).sum() / (a.norm() * b.norm() + 1e-6)
    return correlation


def cosine(progress: float, step: int, warm_up: int) -> float:
    """The share of the peak rate; progress from 0 to 1, warm_up in steps."""
    warm = min(1.0, (step + 1) / warm_up)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def _size(sizes: Sizes, progress: float, sides: set[int], rng: np.random.Generator) -> tuple[int, int]:
    """A random (side, images a step) among the sides that the data has; larger ones more and more."""
    choices = [size for size in sizes if size[0] in sides]
    shares = np.array([start + progress * (end - start) for _, _, start, end in choices])
    side, count, _, _ = choices[int(rng.choice(len(choices), p=shares / shares.sum()))]
    return side, count


def train(
    model: Any, talk: Conversation, data: Windows, photos: list[Path], settings: Settings, checkpoint: Path
) -> dict[str, float]:
    """Train one phase in place; returns what was done, in steps, windows and minutes. `photos` are for ladders.

    A checkpoint a minute; a run that was cut off goes on from its last one.
    """
    torch.set_num_threads(settings.threads)
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.rate,
        betas=(0.9, 0.98),
    )
    step, spent, seen = 0, 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, seen = state["step"], state["spent"], state["seen"]
    rng = np.random.default_rng([settings.seed, step])
    model.train()
    start = time.time() - spent
    saved = logged = time.time()
    history: list[tuple[int, float, npt.NDArray[np.float32], npt.NDArray[np.float32]]] = []
    climbs = batches(photos, settings.ladders, settings.seed + step)
    while (progress := (time.time() - start) / (60 * settings.minutes)) < 1:
        if rng.random() < settings.ladder_share:
            side, images = LADDER, next(climbs)
            values = np.full(len(images), 3.0, np.float32)  # not looked at: only the order counts
        else:
            side, count = _size(settings.sizes, progress, data.sides, rng)
            images, values = data.draw(side, count, rng)
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * cosine(progress, step, settings.warm_up)
        with autocast():
            loss, expected = step_loss(model, talk, images, values, settings, rng)
            if side == LADDER:
                loss = settings.order * order_loss(expected)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        step, seen = step + 1, seen + len(images)
        history.append((side, float(loss.detach()), expected.detach().numpy(), values))
        if time.time() - logged > 20:
            _log(step, seen, time.time() - start, history)
            logged, history = time.time(), []
        if time.time() - saved > 60:
            save(checkpoint, model, optimiser, step=step, spent=time.time() - start, seen=seen)
            saved = time.time()
    spent = time.time() - start
    save(checkpoint, model, optimiser, step=step, spent=spent, seen=seen)
    model.eval()
    return {"steps": step, "windows": seen, "minutes": round(min(spent / 60, settings.minutes), 1)}


def save(checkpoint: Path, model: Any, optimiser: Any, **figures: float) -> None:
    """A checkpoint that is complete or not there. figures: what else is needed to continue."""
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), **figures}
    partial = checkpoint.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(checkpoint)


def _log(step: int, seen: int, spent: float, history: list[Any]) -> None:
    """One line: progress, and loss and correlation for every window size since the last line."""
    parts = []
    for side in sorted({entry[0] for entry in history}):
        entries = [entry for entry in history if entry[0] == side]
        expected = np.concatenate([entry[2] for entry in entries])
        values = np.concatenate([entry[3] for entry in entries])
        loss = np.mean([entry[1] for entry in entries])
        if side == LADDER:
            falls = np.mean(np.diff(expected.reshape(-1, len(RUNGS)), axis=1) < 0)
            parts.append(f"ladders: loss {loss:.3f} falls {falls:.3f}")
            continue
        plcc = np.corrcoef(expected, values)[0, 1] if len(values) > 2 else float("nan")
        parts.append(f"{side or 'whole'}: loss {loss:.3f} plcc {plcc:.3f}")
    print(f"{spent:6.0f} s  step {step:6d}  {seen:7d} windows  " + "  ".join(parts), flush=True)
