"""Model inputs: pixels -> patches, and the conversation with a tree of numerals after it.

The tree holds several continuations of one prompt in one sequence. A node sees the prompt and its own
ancestors only, and its position is its depth, so that one forward pass gives the same conditionals as many
plain ones.

Shapes: B images, N patches an image, P = 3 * 2 * 14 * 14 values a patch, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from realqa_cli.domain import prompts

PATCH = 14
MERGE = 2
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP, as in Qwen2-VL
STD = (0.26862954, 0.26130258, 0.27577711)
DIGITS = "0123456789"


def patches(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images of one size (B, height, width, 3) -> Qwen2-VL's patch order, (B * N, P) float32."""
    batch, height, width, _ = images.shape
    pixels = torch.from_numpy(images.astype(np.float32)) / 255
    pixels = (pixels - torch.tensor(MEAN)) / torch.tensor(STD)
    rows, columns = height // (PATCH * MERGE), width // (PATCH * MERGE)
    grid = pixels.reshape(batch, rows, MERGE, PATCH, columns, MERGE, PATCH, 3)
    grid = grid.permute(0, 1, 4, 2, 5, 7, 3, 6)  # B, rows, columns, 2, 2, colour, 14, 14
    both_frames = grid.unsqueeze(6).expand(*grid.shape[:6], 2, PATCH, PATCH)
    return both_frames.reshape(batch * rows * columns * MERGE * MERGE, -1)


@dataclass(frozen=True)
class Prompt:
    """Tokens up to the numeral for one image size; `answer` is where the assistant's turn begins."""

    ids: list[int]
    answer: int
    grid: tuple[int, int, int]


class Conversation:
    """The direct question about a subject as token ids, for one tokenizer."""

    def __init__(self, tokenizer: Any, subject: prompts.Subject = "image") -> None:
        self.tokenizer = tokenizer
        self.digits = [self._single(digit) for digit in DIGITS]
        self.point = self._single(".")
        self.end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.image_pad = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        asked = prompts.about(prompts.DIRECT_QUESTION, subject)
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": asked}]}
        text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        question = tokenizer(text, add_special_tokens=False)["input_ids"]
        whole = tokenizer(text + prompts.direct_answer("3.99", subject), add_special_tokens=False)["input_ids"]
        numeral = [self.digits[3], self.point, self.digits[9], self.digits[9], self.point]
        if whole[-5:] != numeral or whole[: len(question)] != question:
            raise ValueError("the tokenizer does not keep every digit and the decimal point as one token")
        self._question, self._prefix = question, whole[len(question) : -5]

    def _single(self, text: str) -> int:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise ValueError(f"{text!r} is {len(ids)} tokens, not one")
        return int(ids[0])

    @lru_cache(maxsize=256)  # noqa: B019 - lives as long as the program
    def prompt(self, height: int, width: int) -> Prompt:
        """The prompt for an image of this size in pixels (multiples of 28)."""
        rows, columns = height // PATCH, width // PATCH
        at = self._question.index(self.image_pad)
        pads = [self.image_pad] * (rows * columns // MERGE**2)
        question = self._question[:at] + pads + self._question[at + 1 :]
        return Prompt(question + self._prefix, len(question), (1, rows, columns))

    def full_tree(self) -> Tree:
        """All paths d1 . d2 with d1 in 1..5: 5 + 5 + 50 nodes; their outputs give every conditional of
        d1.d2d3."""
        ids, parents = [], []
        for first in range(1, 6):
            ids.append(self.digits[first])
            parents.append(-1)
        for first in range(5):
            ids.append(self.point)
            parents.append(first)
        for first in range(5):
            for second in range(10):
                ids.append(self.digits[second])
                parents.append(5 + first)
        return Tree(tuple(ids), tuple(parents))

    def path_tree(self, first: int) -> Tree:
        """The nodes d1 and "." for d1 in 1..5, and one path d2 d3 "." below `first`; d2 and d3 are to be
        filled in."""
        ids = [*self.digits[1:6], *[self.point] * 5, self.digits[0], self.digits[0], self.point]
        parents = [-1] * 5 + [0, 1, 2, 3, 4] + [4 + first, 10, 11]
        return Tree(tuple(ids), tuple(parents))


@dataclass(frozen=True)
class Tree:
    """Nodes after a prompt; `parents` are node indices, -1 is the prompt's last token."""

    ids: tuple[int, ...]
    parents: tuple[int, ...]

    @lru_cache(maxsize=64)  # noqa: B019
    def ancestors(self) -> torch.Tensor:
        """Bool (nodes, nodes): row sees column. A node sees itself."""
        sees = torch.eye(len(self.ids), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                sees[node] |= sees[parent]
        return sees


def mask(prompt_length: int, tree: Tree) -> torch.Tensor:
    """Bool (T, T), True where a token may look: causal over the prompt, ancestors only within the tree."""
    nodes = len(tree.ids)
    total = prompt_length + nodes
    sees = torch.ones(total, total, dtype=torch.bool).tril()
    sees[prompt_length:, prompt_length:] = tree.ancestors()
    return sees


def positions(model: Any, prompt: Prompt, tree: Tree) -> torch.Tensor:
    """Multimodal rotary positions (3, T): the model's own for the prompt, depth for the tree."""
    ids = torch.tensor([prompt.ids])
    kinds = (ids == model.config.image_token_id).int()
    grid = torch.tensor([prompt.grid])
    plain, _ = model.model.get_rope_index(ids, image_grid_thw=grid, mm_token_type_ids=kinds)
    depth = tree.ancestors().sum(1)
    after = plain[:, 0, -1:] + depth[None]
    return torch.cat([plain[:, 0], after], dim=1)
