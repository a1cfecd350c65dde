"""Part 1 of the training on real photographs: the vision tower learns what the teacher's network sees.

Feature distillation on small crops. Behind the merger, a linear head predicts the main components of the
teacher's early and middle feature maps (`teacher.Summary`) in every cell of 28 pixels; the head is thrown away
afterwards. Most weight has the combination that predicts people's ratings. A crop of 224 pixels has 64 such
targets and takes a fifth of the time of a whole photo, so a minute of this teaches the vision blocks far more
than a minute of scores does. The last part of the schedule uses larger crops, because full attention over a
whole photo must work as well.

The scores of the same crops (`opinions`) are a second, small loss, so that the language part follows what the
vision part becomes. All weights are trained.

Several processes of one thread each share the batch; their gradients are averaged in each step. A run that was
cut off continues from its last checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from blank_frames import SCORES, blank
from inputs import Conversation, patches
from mixed_precision import autocast
from photos import GRID
from pseudo_labels import PseudoLabels
from teacher import Cells, Summary
from torch import nn
from train import Settings as NumberSettings
from train import step_loss
from transformers import AutoModelForImageTextToText, AutoTokenizer
from views import View
from workers import Training, Workers, run_workers

from realqa_cli.backends.hf.fused_ops import fuse_operations

Floats = npt.NDArray[np.float32]
HEAD_BATCHES, RIDGE = 6, 0.1  # batches that the head is first fitted on; its penalty


@dataclass(frozen=True)
class Settings:
    """Optimiser and schedule; the schedule runs on the clock.

    sizes: (cells along a side, crops of a process, share of the steps at the start, share at the end).
    rated, changed, blank: shares of the crops from photographs that people rated, from changed views, and of
    blank frames.
    sigma: of the soft target in points; the width of the distribution that the model gives.
    """

    minutes: float = 30.0
    vision_rate: float = 4e-4
    language_rate: float = 3e-4
    scored: float = 0.25  # share of the steps with the loss of the scores, whose language part takes time
    scores: float = 0.3  # weight of that loss; that of the features has the weight 1
    means: float = 1.0  # weight of the features' means over a crop, which tell more of quality than one cell does
    sigma: float = 0.5
    warm_up: int = 40  # steps
    weight_decay: float = 0.05
    clip: float = 1.0
    sizes: tuple[tuple[int, int, float, float], ...] = ((8, 8, 0.95, 0.55), (12, 3, 0.05, 0.25), (17, 2, 0.0, 0.2))
    rated: float = 0.5
    changed: float = 0.25
    blank: float = 0.04
    mean: float = 0.985  # of the running mean of the weights, a step
    processes: int = 2
    seed: int = 29


@dataclass(frozen=True)
class Batch:
    """images: (B, 28 R, 28 C, 3).  scores: (B,).  features: (B, R, C, K), zero where `known`, (B,), is false."""

    images: npt.NDArray[np.uint8]
    scores: Floats
    features: Floats
    known: npt.NDArray[np.bool_]


class Crops:
    """Square crops of views: pixels, scores, and the components of the teacher's features."""

    def __init__(self, views: list[View], opinions: PseudoLabels, summary: Summary) -> None:
        self._views, self._opinions, self._summary = views, opinions, summary
        self._loaded: dict[int, tuple[npt.NDArray[np.uint8], Cells]] = {}
        numbers = range(len(views))
        self._groups = {
            "rated": [i for i in numbers if views[i].score is not None],
            "changed": [i for i in numbers if views[i].change > 0],
            "other": [i for i in numbers if views[i].score is None and views[i].change == 0],
        }

    def draw(self, side: int, count: int, settings: Settings, rng: np.random.Generator) -> Batch:
        """side: in cells.  Half of the crops are mirrored. If a view is smaller, the whole batch is smaller."""
        shares = {"rated": settings.rated, "changed": settings.changed}
        shares["other"] = 1 - sum(shares.values())
        kinds = [kind for kind, group in self._groups.items() if group]
        weights = np.array([shares[kind] for kind in kinds])
        chosen = [
            int(rng.choice(self._groups[str(kind)]))
            for kind in rng.choice(kinds, size=count, p=weights / weights.sum())
        ]
        side = min([side, *(min(self._load(number)[1].shape[:2]) for number in chosen)])
        parts = [
            self._blank(side, rng) if rng.random() < settings.blank else self._crop(number, side, rng)
            for number in chosen
        ]
        images, scores, features, known = zip(*parts, strict=True)
        return Batch(
            np.stack(images), np.array(scores, np.float32), np.stack(features).astype(np.float32), np.array(known)
        )

    def _crop(self, number: int, side: int, rng: np.random.Generator) -> tuple[Any, float, Any, bool]:
        pixels, cells = self._load(number)
        rows, columns = cells.shape[:2]
        top, left = int(rng.integers(rows - side + 1)), int(rng.integers(columns - side + 1))
        cut = pixels[top * GRID : (top + side) * GRID, left * GRID : (left + side) * GRID]
        cells = cells[top : top + side, left : left + side]
        score = self._opinions.of_crop(number, cells)
        features = self._summary(cells)
        return (cut[:, ::-1], score, features[:, ::-1], True) if rng.random() < 0.5 else (cut, score, features, True)

    def _blank(self, side: int, rng: np.random.Generator) -> tuple[Any, float, Any, bool]:
        features = np.zeros((side, side, self._summary.components.shape[1]), np.float32)
        return blank(side * GRID, side * GRID, rng), float(rng.uniform(*SCORES)), features, False

    def _load(self, number: int) -> tuple[npt.NDArray[np.uint8], Cells]:
        if number not in self._loaded:
            view = self._views[number]
            self._loaded[number] = view.pixels(), np.array(view.cells())
        return self._loaded[number]


class Losses:
    """The losses of a batch, with gradients for the whole model and for the head."""

    def __init__(self, model: Any, tokenizer: Any, components: int, settings: Settings) -> None:
        self._model, self._settings = model, settings
        self._conversation = Conversation(tokenizer)
        self.head = nn.Linear(model.config.vision_config.out_hidden_size, components)
        self._numbers = NumberSettings(sigma=settings.sigma, regression=1.0, keeps_mean=True)
        self._tokens: torch.Tensor | None = None
        model.model.visual.register_forward_hook(self._keep)

    def _keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._tokens = output.pooler_output

    @torch.no_grad()
    def fit_head(self, batches: list[Batch]) -> None:
        """Sets the head to the ridge regression of the features on the tokens, so that training starts there."""
        tokens = torch.cat([self._see(batch) for batch in batches]).double()
        wanted = torch.cat([torch.from_numpy(batch.features).reshape(-1, self.head.out_features) for batch in batches])
        offset, middle = wanted.double().mean(0), tokens.mean(0)
        centred = tokens - middle
        gram = centred.T @ centred
        gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.double)
        weight = torch.linalg.solve(gram, centred.T @ (wanted.double() - offset)).T
        self.head.weight.copy_(weight)
        self.head.bias.copy_(offset - weight @ middle)

    def _see(self, batch: Batch) -> torch.Tensor:
        """The tokens behind the merger: (B * R * C, width)."""
        grid = torch.tensor([[1, 2 * batch.features.shape[1], 2 * batch.features.shape[2]]])
        tokens: torch.Tensor = self._model.model.visual(
            patches(batch.images), grid_thw=grid.repeat(len(batch.images), 1)
        ).pooler_output
        return tokens

    def __call__(self, batch: Batch, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """(loss, a scalar; figures for the log).

        The figures: the share of the mean square of the features that is not predicted, in cells and in means
        over crops; PLCC of the teacher's opinion of the crops with what the head predicts; PLCC of the scores.
        """
        scored = rng.random() < self._settings.scored
        scores, agreement = torch.tensor(0.0), math.nan
        with autocast():
            if scored:
                talk, numbers = self._conversation, self._numbers
                scores, expected = step_loss(self._model, talk, batch.images, batch.scores, numbers, rng)
                agreement = plcc(expected, batch.scores)
            else:
                self._see(batch)
            assert self._tokens is not None
            found = self.head(self._tokens).float()
        wanted = torch.from_numpy(batch.features).flatten(1, 2)
        known = torch.from_numpy(batch.known)
        found, wanted = found.view_as(wanted)[known], wanted[known]
        error, of_means = unexplained(found, wanted), unexplained(found.mean(1), wanted.mean(1))
        loss = error + self._settings.means * of_means + self._settings.scores * scores
        quality = plcc(found.mean(1)[:, 0], wanted.mean(1)[:, 0].numpy())
        return loss, {
            "features": float(error.detach()),
            "means": float(of_means.detach()),
            "quality": quality,
            "PLCC": agreement,
        }


def unexplained(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The squared error divided by the mean square of what is wanted: a scalar."""
    return ((found - wanted) ** 2).sum() / (wanted**2).sum().clamp(min=1e-6)


def plcc(expected: torch.Tensor, scores: Floats) -> float:
    """Of a batch; NaN where it has no deviation."""
    values = expected.detach().numpy()
    return float(np.corrcoef(values, scores)[0, 1]) if values.std() > 0 and scores.std() > 0 else math.nan


def distill_features(
    views: list[View], opinions: PseudoLabels, summary: Summary, start: Path, checkpoint: Path, settings: Settings
) -> None:
    """Trains the model folder `start` and leaves the last state in the file `checkpoint`."""
    crops = Crops(views, opinions, summary)
    run_workers(
        _learn, (crops, summary.components.shape[1], start, checkpoint, settings), settings.processes, checkpoint
    )


def _learn(workers: Workers, crops: Crops, components: int, start: Path, checkpoint: Path, settings: Settings) -> None:
    torch.manual_seed(settings.seed)
    model = fuse_operations(AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32)).train()
    losses = Losses(model, AutoTokenizer.from_pretrained(start), components, settings)
    training = Training(model, losses.head, settings, checkpoint, workers)
    rng = np.random.default_rng([settings.seed, training.step, workers.rank])
    if training.step == 0:
        same = np.random.default_rng(settings.seed)
        losses.fit_head([crops.draw(settings.sizes[0][0], 8, settings, same) for _ in range(HEAD_BATCHES)])
    while training.progress < 1:
        side, count = _size(settings, training.progress, np.random.default_rng([settings.seed, training.step]))
        loss, figures = losses(crops.draw(side, count, settings, rng), rng)
        training.update(loss, {f"{name} {side}": figure for name, figure in figures.items()})


def _size(settings: Settings, progress: float, rng: np.random.Generator) -> tuple[int, int]:
    """The side of the crops in cells and their number, the same in all processes."""
    weights = np.array([begin + progress * (end - begin) for _, _, begin, end in settings.sizes])
    side, count, _, _ = settings.sizes[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return side, count
