"""The last phase on synthetic damage: windows, ladders, attributes and chains of thought in a mixture.

Each of them alone takes from the others: after chains of thought a ladder no longer falls, after ladders the
exposure is forgotten. Here every step adds the gradients of batches drawn from all of them.

The vision blocks stay as they are: trained along, they came nearer to our labels and farther from people's
(EXPERIMENTS.md). So what they make of a conversation's photo is computed once and kept (`Sight`); only the merger
behind them, which hands it on to the language part, is trained with that.

A conversation is a conversation of `realqa build-cot`, with realqa's own batches and loss. What differs from
`realqa train` is its weight: nearly all words of an answer are its form and soon cost nothing, so a conversation
counts by the sum over its words and not by their mean. What is learnt are the few that are choices.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import ladders
import numpy as np
import numpy.typing as npt
import torch
from export import settle, write_settings
from inputs import Conversation
from labels import fit_ranks, read_records
from mixed_precision import autocast
from PIL import Image
from train import WHOLE, Sizes, Windows, cosine, save, step_loss
from train import Settings as WindowSettings
from transformers import AutoTokenizer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.vision_utils import get_vision_window_index
from window_attention import windowed

from realqa_cli import models
from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.fused_ops import fuse_operations
from realqa_cli.domain.scales import Scale
from realqa_cli.inference.teacher_forcing import conversations as conversation_files
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.inference.teacher_forcing.rows import processor_on_cpu
from realqa_cli.steps.train.objectives.next_token import NextTokenObjective
from realqa_cli.steps.train.objectives.objective import ObjectiveSetup

# Shares of the conversations, and by what the sum over an answer's words is divided; free wording counts less.
FORMATS = {
    "mix": (0.52, 10.0),
    "levels": (0.06, 10.0),
    "attributes": (0.06, 10.0),
    "cot-regular": (0.18, 10.0),
    "cot": (0.05, 60.0),
    "direct": (0.13, 10.0),
}
PIXELS = 600_000  # of a batch of conversations
MOST = 6  # conversations in a batch
BATCHES = 4  # in a step
VIDEOS = "windows as videos"  # so that the sentence is not forgotten for the other subject
AFTER = 0.5  # share of the phase's outcome in the weights; the rest is what it started from


@dataclass(frozen=True)
class Settings:
    """Optimiser and schedule; the schedule runs on the clock."""

    minutes: float = 90.0
    language_rate: float = 4e-4
    merger_rate: float = 1.5e-4
    warm_up: int = 60  # steps
    weight_decay: float = 0.05
    clip: float = 1.0
    order: float = 3.0  # weight of the order within ladders
    windows: float = 0.32  # shares of the batches
    ladders: float = 0.17
    whole_ladders: float = 0.06
    conversations: float = 0.45
    videos: float = 0.1  # share of the windows that are asked for as if they were videos
    sizes: Sizes = (
        (112, 24, 0.30, 0.20), (224, 12, 0.40, 0.40), (448, 4, 0.15, 0.20), (WHOLE, 3, 0.15, 0.20),
    )  # fmt: skip
    seed: int = 77


@dataclass(frozen=True)
class Batch:
    """kind: as in the log.  content: images of one size (B, height, width, 3), or conversations.

    values: the scores of windows.
    """

    kind: str
    content: Any
    values: npt.NDArray[np.float32] | None = None


class Conversations:
    """Conversations of `realqa build-cot`, in batches of one format and of about one size."""

    def __init__(self, files: list[Path], folder: Path, model: Any) -> None:
        """folder: of the model that learns, for its tokenizer and settings."""
        found: dict[tuple[str, int], list[conversation_files.Conversation]] = defaultdict(list)
        for line in conversation_files.read_conversations(files):
            found[line.format or "", _area(line.images[0])].append(line)
        counts: dict[str, int] = defaultdict(int)
        for (name, _), lines in found.items():
            counts[name] += len(lines)
        # Large photos come in smaller batches, so there are more of these.
        weights = [FORMATS[name][0] * len(lines) / counts[name] * area**0.5 for (name, area), lines in found.items()]
        self._groups, self._shares = [*found.values()], np.array(weights) / sum(weights)
        prepares = processor_on_cpu(models.find(str(folder)), LoadOptions(min_pixels=12_544), model)
        spec = DataSpec(Scale.of((1.0, 5.0)), 3, None, {})
        self._objective = NextTokenObjective(
            ObjectiveSetup(processor=prepares, spec=spec, max_length=4096, takes_mask=True, number_loss=1.0)
        )

    def draw(self, rng: np.random.Generator) -> Batch:
        """A batch of conversations."""
        lines = self._groups[int(rng.choice(len(self._groups), p=self._shares))]
        area = _area(lines[0].images[0])
        count = max(2, min(MOST, PIXELS // area))
        chosen = [lines[int(i)] for i in rng.integers(0, len(lines), count)]
        return Batch(chosen[0].format or "", chosen)

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Scalar: of the words, and of direct scores the number-aware one."""
        lost = self._objective.loss(model, self._objective.collate(batch.content))
        words: torch.Tensor = lost.total / (len(batch.content) * FORMATS[batch.kind][1])
        return words if lost.batch_loss is None else words + lost.batch_loss


class Batches:
    """All that is learnt from."""

    def __init__(self, windows: Windows, conversations: Conversations, photos: list[Path], settings: Settings) -> None:
        """photos: for ladders."""
        self._windows, self._conversations, self._settings = windows, conversations, settings
        self._ladders = {
            whole: ladders.batches(photos, 1 if whole else 4, settings.seed + whole, whole=whole)
            for whole in (False, True)
        }

    def draw(self, progress: float, rng: np.random.Generator) -> Batch:
        """A batch of some kind; large windows more and more."""
        settings = self._settings
        shares = np.array([settings.conversations, settings.windows, settings.ladders, settings.whole_ladders])
        kind = int(rng.choice(4, p=shares / shares.sum()))
        if kind == 0:
            return self._conversations.draw(rng)
        if kind == 1:
            weights = np.array([begin + progress * (end - begin) for _, _, begin, end in settings.sizes])
            side, count, _, _ = settings.sizes[int(rng.choice(len(weights), p=weights / weights.sum()))]
            images, values = self._windows.draw(side, count, rng)
            return Batch(VIDEOS if rng.random() < settings.videos else "windows", images, values)
        images = next(self._ladders[kind == 3])
        return Batch("whole ladders" if kind == 3 else "ladders", images)


class Sight:
    """A vision tower whose blocks are frozen: what they make of a conversation's photo is kept.

    kept: by photo, the states (P, H) before the merger; about 100 KB a photo.
    """

    def __init__(self, visual: Any) -> None:
        visual.forward = MethodType(self._see, visual)
        self.keeps = False
        self.kept: dict[bytes, torch.Tensor] = {}

    def _see(self, visual: Any, pixels: torch.Tensor, grid_thw: torch.Tensor, **_: Any) -> Any:
        """In the place of the tower's own `forward`."""
        sizes = grid_thw.prod(dim=1).tolist()
        if self.keeps:
            photos = zip(pixels.split(sizes), grid_thw.split(1), strict=True)
            states: torch.Tensor = torch.cat([self._kept(visual, *photo) for photo in photos]).float()
        else:
            states = self._blocks(visual, pixels, grid_thw)
        order, _bounds = get_vision_window_index(
            grid_thw,
            spatial_merge_size=visual.spatial_merge_size,
            window_size=visual.window_size,
            patch_size=visual.patch_size,
            kwargs={},
        )
        merged = visual.merger(states)[torch.argsort(order)]
        return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=merged)

    def _kept(self, visual: Any, pixels: torch.Tensor, grid_thw: torch.Tensor) -> torch.Tensor:
        sample = pixels[::29].numpy().tobytes() + bytes(grid_thw.numpy())
        key = hashlib.blake2b(sample, digest_size=12).digest()
        if key not in self.kept:
            self.kept[key] = self._blocks(visual, pixels, grid_thw).bfloat16()
        return self.kept[key]

    @staticmethod
    @torch.no_grad()
    def _blocks(visual: Any, pixels: torch.Tensor, grid_thw: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = type(visual).forward(visual, pixels, grid_thw=grid_thw).last_hidden_state
        return states


class Learner:
    """Losses of batches, with gradients."""

    def __init__(self, model: Any, tokenizer: Any, conversations: Conversations, settings: Settings) -> None:
        self._model, self._conversations, self._settings = model, conversations, settings
        self._of_images, self._of_videos = Conversation(tokenizer), Conversation(tokenizer, "video")
        self._sight = Sight(model.model.visual)

    def loss(self, batch: Batch, rng: np.random.Generator) -> tuple[torch.Tensor, float]:
        """(the loss, a scalar; of windows the PLCC, of ladders the share of steps that fall)."""
        figure = math.nan
        self._sight.keeps = batch.kind in FORMATS
        with autocast():
            if batch.kind in FORMATS:
                return self._conversations.loss(self._model, batch), figure
            blank = np.full(len(batch.content), 3.0, np.float32)  # of ladders only the order counts
            values = blank if batch.values is None else batch.values
            talk = self._of_videos if batch.kind == VIDEOS else self._of_images
            loss, expected = step_loss(self._model, talk, batch.content, values, WindowSettings(), rng)
            if batch.values is not None:
                return loss, float(np.corrcoef(expected.detach().numpy(), values)[0, 1])
            falls = expected.detach().reshape(-1, len(ladders.RUNGS)).diff(dim=1) < 0
            return self._settings.order * ladders.order_loss(expected), float(falls.float().mean())


def finish(
    trained: Path,
    output: Path,
    photos: list[Path],
    data: Path,
    conversations: list[Path],
    settings: Settings,
    checkpoint: Path,
) -> None:
    """The folder `output` with what the phase makes of `trained`, with windows and weights of half the size.

    photos: those of training.  data: with the shards of `windows`.  conversations: files of conversations.
    """
    model = windowed(trained)
    tokenizer = AutoTokenizer.from_pretrained(trained)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".visual." not in name or ".merger." in name)
    records = read_records(data, "train")
    teaching = Conversations(conversations, trained, model)
    batches = Batches(Windows(records, fit_ranks(records)), teaching, photos, settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(fuse_operations(model), tokenizer, teaching, batches, settings, checkpoint)
    after = model.state_dict()
    model.load_state_dict({name: before[name].lerp(after[name], AFTER) for name in after})
    for part in (model.config.text_config, model.config.vision_config):
        part.dtype = None  # that of the whole counts
    settle(model, tokenizer, output)
    file: dict[str, Any] = json.loads((trained / "realqa.json").read_text())
    file["trained_on"] = f"synthetic scenes and degradations of {len(photos)} photographs; no human ratings"
    write_settings(output, file | {"started_from": None})


def train(
    model: Any, tokenizer: Any, conversations: Conversations, batches: Batches, settings: Settings, checkpoint: Path
) -> dict[str, float]:
    """Trains in place; returns steps and minutes. Goes on from its last checkpoint."""
    learner = Learner(model, tokenizer, conversations, settings)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(_groups(named, settings), betas=(0.9, 0.98))
    step, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    rng = np.random.default_rng([settings.seed, step])
    history: list[tuple[str, float, float]] = []
    model.train()
    start = time.time() - spent
    saved = logged = time.time()
    while (progress := (time.time() - start) / (60 * settings.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * cosine(progress, step, settings.warm_up)
        optimiser.zero_grad(set_to_none=True)
        for _ in range(BATCHES):
            batch = batches.draw(progress, rng)
            loss, figure = learner.loss(batch, rng)
            (loss / BATCHES).backward()
            history.append((batch.kind, float(loss.detach()), figure))
        torch.nn.utils.clip_grad_norm_([p for _, p in named], settings.clip)
        optimiser.step()
        step += 1
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
    """Merger and language, matrices and others: each with its peak rate and its weight decay."""
    return [
        {
            "params": [p for name, p in named if (".merger." in name) == merger and (p.ndim > 1) == matrices],
            "lr": 0.0,
            "peak": settings.merger_rate if merger else settings.language_rate,
            "weight_decay": settings.weight_decay * matrices,
        }
        for merger in (True, False)
        for matrices in (True, False)
    ]


@cache
def _area(image: Path) -> int:
    """Of a photo in pixels, rounded up to a power of two."""
    with Image.open(image) as opened:
        return int(2 ** math.ceil(math.log2(opened.width * opened.height)))


def _log(step: int, spent: float, history: list[tuple[str, float, float]]) -> None:
    """One line: for each kind of batch the mean loss, its figure, and how many there were."""
    parts = []
    for kind in sorted({kind for kind, _, _ in history}):
        losses, figures = np.array([row[1:] for row in history if row[0] == kind]).T
        parts.append(f"{kind} {losses.mean():.3f}/{figures.mean():.3f} ({len(losses)})")
    print(f"{spent:6.0f} s  step {step:5d}  {'  '.join(parts)}", flush=True)
