"""Part 2 of the training on real photographs: the language part learns to read what the vision blocks see.

The vision blocks stay as part 1 left them. Their states are computed once for each view, ladder, scene and blank
frame, and kept in memory; a crop of a view is a crop of its states. So a step costs a fraction of a step of part
1. The merger and the language part are trained. Each step adds the gradients of

- crops of photographs that people rated, and of other and changed views by their pseudo-labels (`opinions`);
- one of: blank frames, ladders of damage (`ladders`), conversations about attributes (`reminders`).

With several processes each has views of its own; since the gradients are averaged, all learn from all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ladders
import numpy as np
import numpy.typing as npt
import torch
from blank_frames import SCORES, blank
from distill_features import plcc
from inputs import Conversation, patches
from mixed_precision import autocast
from photos import GRID
from pseudo_labels import PseudoLabels
from train import Settings as NumberSettings
from train import step_loss
from train_mixture import Conversations, Sight
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.vision_utils import get_vision_window_index
from views import View
from workers import Training, Workers, run_workers

from realqa_cli.backends.hf.fused_ops import fuse_operations

Images = npt.NDArray[np.uint8]
RATED, WHOLE, UNRATED = "rated", "rated, whole", "unrated"
BLANK, LADDERS, WHOLE_LADDERS, CONVERSATIONS = "blank", "ladders", "whole ladders", "attributes"


@dataclass(frozen=True)
class Settings:
    """Optimiser and schedule; the schedule runs on the clock.

    rated, whole, unrated: crops of a batch, and the least and the largest side of a crop in cells. Of a larger
    photo one random region of the largest size is kept.
    others: shares of the steps by their third batch.
    """

    minutes: float = 12.0
    vision_rate: float = 3e-4  # of the merger
    language_rate: float = 3e-4
    warm_up: int = 15  # steps
    weight_decay: float = 0.05
    clip: float = 1.0
    sigma: float = 0.5
    order: float = 3.0  # weight of the order within ladders
    rated: tuple[int, int, int] = (8, 8, 14)
    whole: tuple[int, int, int] = (4, 16, 18)
    unrated: tuple[int, int, int] = (8, 8, 14)
    whole_share: float = 0.3  # of the batches of rated photos
    whole_photos: int = 100  # of a process that are kept as a whole
    videos: float = 0.1  # share of the batches that ask about a video
    others: tuple[tuple[str, float], ...] = ((BLANK, 0.25), (LADDERS, 0.25), (WHOLE_LADDERS, 0.1), (CONVERSATIONS, 0.4))
    blanks: int = 80  # blank frames of a process
    ladders: int = 40
    whole_ladders: int = 6
    mean: float = 0.97
    processes: int = 2
    seed: int = 18


@dataclass(frozen=True)
class Data:
    """photos: for ladders.  conversations: files of conversations about attributes; may be empty."""

    views: list[View]
    opinions: PseudoLabels
    photos: list[Path]
    conversations: list[Path]


class CachedTower(Sight):
    """A vision tower with frozen blocks, which can be handed their states. H: its width."""

    def __init__(self, visual: Any) -> None:
        super().__init__(visual)
        self._visual = visual
        self.given: torch.Tensor | None = None  # (cells of all crops * 4, H), or None to look at pixels
        self._states: dict[tuple[str, int], torch.Tensor] = {}

    def _see(self, visual: Any, pixels: torch.Tensor, grid_thw: torch.Tensor, **more: Any) -> Any:
        if self.given is None:
            return super()._see(visual, pixels, grid_thw, **more)
        return BaseModelOutputWithPooling(last_hidden_state=self.given, pooler_output=visual.merger(self.given))

    def states(self, kind: str, number: int, images: Callable[[], Images]) -> torch.Tensor:
        """The states of images of one size, cell by cell: (B, R, C, 4, H). images: gives (B, 28 R, 28 C, 3)."""
        key = kind, number
        if key not in self._states:
            pixels = images()
            self._states[key] = torch.cat([self._of_image(image) for image in pixels])
        return self._states[key]

    def _of_image(self, image: Images) -> torch.Tensor:
        rows, columns = (side // GRID for side in image.shape[:2])
        grid = torch.tensor([[1, 2 * rows, 2 * columns]])
        visual = self._visual
        order, _ = get_vision_window_index(
            grid,
            spatial_merge_size=visual.spatial_merge_size,
            window_size=visual.window_size,
            patch_size=visual.patch_size,
            kwargs={},
        )
        with autocast():
            states = self._blocks(visual, patches(image[None]), grid)
        cells = states.reshape(rows * columns, 4, -1)[torch.argsort(order)]
        return cells.reshape(1, rows, columns, 4, -1).bfloat16()


class Losses:
    """Losses of batches, with gradients for the merger and the language part only."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        conversations: Conversations | None,
        data: Data,
        settings: Settings,
        workers: Workers,
    ) -> None:
        self._model, self._conversations, self._data, self._settings = model, conversations, data, settings
        self._of_images, self._of_videos = Conversation(tokenizer), Conversation(tokenizer, "video")
        self._numbers = NumberSettings(sigma=settings.sigma, regression=1.0, keeps_mean=True)
        self._tower, self._rank = CachedTower(model.model.visual), workers.rank
        rated = [i for i, view in enumerate(data.views) if view.score is not None]
        unrated = [i for i, view in enumerate(data.views) if view.score is None]
        mine = rated[workers.rank :: workers.size]
        self._views = {
            RATED: mine,
            WHOLE: mine[: settings.whole_photos],
            UNRATED: unrated[workers.rank :: workers.size],
        }
        self._sizes = {RATED: settings.rated, WHOLE: settings.whole, UNRATED: settings.unrated}
        others = [(kind, share) for kind, share in settings.others if kind != CONVERSATIONS or conversations]
        self._kinds, self._shares = [kind for kind, _ in others], np.array([share for _, share in others])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".visual." not in name or ".merger." in name)

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Adds the gradients of the batches of a step. Returns figures for the log."""
        figures = {}
        rated = WHOLE if rng.random() < self._settings.whole_share else RATED
        for kind in (rated, UNRATED):
            if self._views[kind]:
                loss, figures[f"PLCC {kind}"] = self._crops(kind, rng)
                (loss / 3).backward()
        kind = str(rng.choice(self._kinds, p=self._shares / self._shares.sum()))
        if kind == CONVERSATIONS:
            loss = self._conversation(rng)
            figures["loss of attributes"] = float(loss.detach())
        elif kind == BLANK:
            loss, figures["mean score of blank frames"] = self._blank(rng)
        else:
            loss, figures[f"{kind} that fall"] = self._ladder(kind, rng)
        (loss / 3).backward()
        return figures

    def _crops(self, kind: str, rng: np.random.Generator) -> tuple[torch.Tensor, float]:
        """(loss, PLCC of the scores) of crops of views."""
        count, least, most = self._sizes[kind]
        rows, columns = (int(side) for side in rng.integers(least, most + 1, 2))
        chosen = [int(number) for number in rng.choice(self._views[kind], count)]
        states = [self._tower.states(kind, number, partial(self._view, number, most))[0] for number in chosen]
        rows = min([rows, *(len(one) for one in states)])
        columns = min([columns, *(one.shape[1] for one in states)])
        parts, scores = [], []
        for number, one in zip(chosen, states, strict=True):
            top, left = (int(rng.integers(one.shape[i] - side + 1)) for i, side in enumerate((rows, columns)))
            parts.append(one[top : top + rows, left : left + columns])
            first = self._corner(number, most)
            top, left = first[0] + top, first[1] + left
            cells = self._data.views[number].cells()[top : top + rows, left : left + columns]
            scores.append(self._data.opinions.of_crop(number, cells))
        wanted = np.array(scores, np.float32)
        loss, expected = self._scored(torch.stack(parts), wanted, rng)
        return loss, plcc(expected, wanted)

    def _blank(self, rng: np.random.Generator) -> tuple[torch.Tensor, float]:
        """(loss, mean score) of frames that show nothing."""
        numbers = rng.integers(self._settings.blanks, size=8)
        states = [self._tower.states(BLANK, int(n), partial(self._blank_frame, int(n)))[0] for n in numbers]
        side = int(rng.integers(6, BLANK_SIDE + 1))
        wanted = rng.uniform(*SCORES, len(states)).astype(np.float32)
        loss, expected = self._scored(torch.stack([one[:side, :side] for one in states]), wanted, rng)
        return loss, float(expected.detach().mean())

    def _ladder(self, kind: str, rng: np.random.Generator) -> tuple[torch.Tensor, float]:
        """(loss, the share of the steps that fall) of one ladder."""
        whole = kind == WHOLE_LADDERS
        number = int(rng.integers(self._settings.whole_ladders if whole else self._settings.ladders))
        states = self._tower.states(kind, number, lambda: self._ladder_images(number, whole))
        placeholder = np.full(len(states), 3.0, np.float32)  # only the order counts
        _, expected = self._scored(states, placeholder, rng)
        falls = expected.detach().reshape(-1, len(ladders.RUNGS)).diff(dim=1) < 0
        return self._settings.order * ladders.order_loss(expected), float(falls.float().mean())

    def _conversation(self, rng: np.random.Generator) -> torch.Tensor:
        assert self._conversations is not None
        self._tower.keeps = True
        with autocast():
            loss = self._conversations.loss(self._model, self._conversations.draw(rng))
        self._tower.keeps = False
        return loss

    def _scored(
        self, states: torch.Tensor, scores: npt.NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss, expected scores). states: (B, R, C, 4, H)."""
        count, rows, columns = states.shape[:3]
        talk = self._of_videos if rng.random() < self._settings.videos else self._of_images
        empty = np.zeros((count, rows * GRID, columns * GRID, 3), np.uint8)  # only its size counts
        self._tower.given = states.flatten(0, 3).float()
        with autocast():
            result = step_loss(self._model, talk, empty, scores, self._numbers, rng)
        self._tower.given = None
        return result

    def _corner(self, number: int, most: int) -> tuple[int, int]:
        """The upper left cell of the region of a view that is kept, whose sides have at most `most` cells."""
        rows, columns = self._data.views[number].cells().shape[:2]
        rng = np.random.default_rng([self._settings.seed, number])
        return int(rng.integers(max(0, rows - most) + 1)), int(rng.integers(max(0, columns - most) + 1))

    def _view(self, number: int, most: int) -> Images:
        top, left = (place * GRID for place in self._corner(number, most))
        return self._data.views[number].pixels()[None, top : top + most * GRID, left : left + most * GRID]

    def _blank_frame(self, number: int) -> Images:
        side = BLANK_SIDE * GRID
        return blank(side, side, np.random.default_rng([self._settings.seed, self._rank, number]))[None]

    def _ladder_images(self, number: int, whole: bool) -> Images:
        rng = np.random.default_rng([self._settings.seed, self._rank, number, whole])
        return ladders.ladder(self._data.photos[int(rng.integers(len(self._data.photos)))], rng, whole)


BLANK_SIDE = 12  # of the blank frames, in cells


def train_language(data: Data, start: Path, weights: Path, checkpoint: Path, settings: Settings) -> None:
    """Trains the model folder `start` with the mean weights of the checkpoint `weights`; writes `checkpoint`."""
    run_workers(_learn, (data, start, weights, checkpoint, settings), settings.processes, checkpoint)


def _learn(workers: Workers, data: Data, start: Path, weights: Path, checkpoint: Path, settings: Settings) -> None:
    torch.manual_seed(settings.seed)
    model = fuse_operations(AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32)).train()
    model.load_state_dict(torch.load(weights, weights_only=True)["mean"])
    conversations = Conversations(data.conversations, start, model) if data.conversations else None
    losses = Losses(model, AutoTokenizer.from_pretrained(start), conversations, data, settings, workers)
    training = Training(model, None, settings, checkpoint, workers)
    rng = np.random.default_rng([settings.seed, training.step, workers.rank])
    while training.progress < 1:
        training.update(None, losses.step(rng))
