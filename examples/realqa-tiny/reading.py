"""The second part of the leg on real photographs: the language part learns to read what the vision part sees.

The vision blocks stay as the first part left them. What they make of a view is computed once and kept, and a
crop of a view is a crop of that, so a step costs a fraction of what it costs in the first part. Every process
has views of its own; since the weights are averaged, all learn from all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from blank import SCORES, blank
from inputs import patches
from photographs import LESSONS, OPINIONS, PEOPLE, Crops, Draw, Learner, Settings, plcc
from photos import GRID
from together import Lessons, Sight
from train import step_loss
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import get_vision_window_index

if TYPE_CHECKING:
    from collections.abc import Callable

BLANKS, BLANK_SIDE = 8, 18  # blank frames of a process; their sides in cells


class Kept(Sight):
    """A vision tower with frozen blocks, which can be handed what they made of crops. H: its width."""

    def __init__(self, visual: Any) -> None:
        super().__init__(visual)
        self._visual = visual
        self.given: torch.Tensor | None = None  # (cells of all crops * 4, H), or None to look at pixels
        self._views: dict[int, torch.Tensor] = {}

    def _see(self, visual: Any, pixels: torch.Tensor, grid_thw: torch.Tensor, **more: Any) -> Any:
        if self.given is None:
            return super()._see(visual, pixels, grid_thw, **more)
        merged = visual.merger(self.given)
        return BaseModelOutputWithPooling(last_hidden_state=self.given, pooler_output=merged)

    def view(self, number: int, pixels: Callable[[], npt.NDArray[np.uint8]]) -> torch.Tensor:
        """What the blocks make of a view, cell by cell: (R, C, 4, H). pixels: gives (28 R, 28 C, 3)."""
        if number not in self._views:
            image = pixels()
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
            states = self._blocks(visual, patches(image[None]), grid)
            cells = states.reshape(rows * columns, 4, -1)[torch.argsort(order)]
            self._views[number] = cells.reshape(rows, columns, 4, -1).bfloat16()
        return self._views[number]


class Reader(Learner):
    """Losses of batches, with gradients for the merger and the language part only."""

    def __init__(
        self, model: Any, tokenizer: Any, lessons: Lessons | None, settings: Settings, crops: Crops, rank: int
    ) -> None:
        super().__init__(model, tokenizer, lessons, settings)
        self._sight, self._crops = Kept(model.model.visual), crops
        plain = [number for number in crops.groups[PEOPLE] if crops.views[number].change == 0]
        groups = {PEOPLE: plain, OPINIONS: crops.groups[OPINIONS]}
        self._mine = {kind: group[rank :: settings.processes] for kind, group in groups.items()}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".visual." not in name or ".merger." in name)

    def losses(self, draw: Draw, rng: np.random.Generator) -> Iterator[tuple[str, torch.Tensor, float]]:
        for kind in (PEOPLE, OPINIONS):
            yield kind, *self._of_kept(kind, rng)
        if rng.random() < self._settings.other:
            kind = draw.other(rng)
            self._sight.keeps = kind == LESSONS
            yield from self.of_others(kind, draw, rng)

    def _of_kept(self, kind: str, rng: np.random.Generator) -> tuple[torch.Tensor, float]:
        """(loss, a scalar; PLCC of the scores) of crops of what is kept."""
        states, scores = self._cut(kind, rng)
        count, rows, columns = states.shape[:3]
        empty = np.zeros((count, rows * GRID, columns * GRID, 3), np.uint8)  # only its size counts
        talk = self._talk(kind, rng)
        self._sight.given = states.flatten(0, 3)
        with torch.autocast("cpu", torch.bfloat16):
            loss, expected = step_loss(self._model, talk, empty, scores, self._told, rng)
        self._sight.given = None
        return loss, plcc(expected.detach().numpy(), scores)

    def _cut(self, kind: str, rng: np.random.Generator) -> tuple[torch.Tensor, npt.NDArray[np.float32]]:
        """What is kept of crops of one size, (B, R, C, 4, H), and their scores, (B,)."""
        count, rows, columns = self._crops.size(kind, rng)
        states: list[torch.Tensor] = []
        scores: list[float] = []
        while len(states) < count:
            is_blank = kind == OPINIONS and rng.random() < self._settings.blank
            number = -1 - int(rng.integers(BLANKS)) if is_blank else int(rng.choice(self._mine[kind]))
            with torch.autocast("cpu", torch.bfloat16):
                view = self._sight.view(number, lambda number=number: self._pixels(number))
            high, wide = view.shape[:2]
            if high < rows or wide < columns:
                continue
            top, left = int(rng.integers(high - rows + 1)), int(rng.integers(wide - columns + 1))
            box = slice(top, top + rows), slice(left, left + columns)
            states.append(view[box].float())
            if is_blank:
                scores.append(float(rng.uniform(*SCORES)))
            else:
                cells = self._crops.views[number].cells()[box]
                scores.append(self._crops.opinions.of_crop(number, cells))
        return torch.stack(states), np.array(scores, np.float32)

    def _pixels(self, number: int) -> npt.NDArray[np.uint8]:
        if number >= 0:
            return self._crops.views[number].pixels()
        side = BLANK_SIDE * GRID
        return blank(side, side, np.random.default_rng([self._settings.seed, -number]))
