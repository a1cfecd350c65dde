"""From conversations to batches of tensors: photos opened, prompts masked, numerals located.

Direct answers get a `Spot`, by which the metric and the number-aware loss find their digits. Nodes of the
numeral trie that these need and that are not part of the answer follow the row, seen by their own line only.

Knows the preparer of a model family; knows no model. Batches are made on the CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from realqa_cli import media
from realqa_cli.backends import Loading
from realqa_cli.backends.preparing import Prepares, preparer
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.errors import MediaError, ModelError, UsageError
from realqa_cli.models import ModelSource
from realqa_cli.training.answer_logits import IGNORED, Look, Spot
from realqa_cli.training.answers import Encoded, Encoder
from realqa_cli.training.branches import Branches, Prefix
from realqa_cli.training.continuity import Digits
from realqa_cli.training.conversations import Conversation
from realqa_cli.training.number_loss import NumberTargets


@dataclass(frozen=True)
class _Shape:
    """What a preparer asks of a model, with a device of its own."""

    config: Any
    model: Any
    dtype: torch.dtype
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def on_cpu(source: ModelSource, loading: Loading, model: Any) -> Prepares:
    """The model's preparer with tensors that stay on the CPU, so that other processes can make batches."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return preparer(source, loading, _Shape(base.config, base.model, base.dtype))


class Collator:
    """Makes batches; callable as `torch.utils.data.DataLoader` wants it.

    digits: M of the direct answers.  max_length: of a row, in tokens.  takes_mask: whether the model's
    attention takes a mask of our own.  scale: given where the number-aware loss is wanted.
    """

    def __init__(
        self,
        prepares: Prepares,
        *,
        digits: int,
        max_length: int,
        takes_mask: bool,
        scale: tuple[float, float] | None = None,
    ) -> None:
        self.prepares, self.max_length, self.takes_mask, self.scale = prepares, max_length, takes_mask, scale
        self.encoder = Encoder(prepares, digits)
        self._targets = lru_cache(maxsize=64)(NumberTargets)

    def check(self, conversations: Sequence[Conversation]) -> None:
        """Encodes everything once: what cannot be trained is found before training, not hours into it.

        Photos are opened only where a row could be too long. Raises UsageError with file and line.
        """
        photo = _most_visual_tokens(self.prepares)
        for conversation in conversations:
            encoded = self.encoder.encode(conversation)
            if encoded.length + photo * len(conversation.images) > self.max_length:
                self._prompt([conversation], [encoded])

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """The model's inputs with `labels` (B, T), `window` and `spots`; see answer_logits.py.

        Raises UsageError, with file and line, for a photo that cannot be opened or a row that is too long.
        """
        encoded = [self.encoder.encode(conversation) for conversation in conversations]
        prompt = self._prompt(conversations, encoded)
        labels_B_T = _labels(prompt.ids_B_T, encoded)
        spots: list[Spot] = []
        beside: list[dict[Prefix, int]] = []
        for row, (conversation, one) in enumerate(zip(conversations, encoded, strict=True)):
            nodes: dict[Prefix, int] = {}
            if conversation.numeral is not None and one.digits is not None:
                width = prompt.ids_B_T.shape[1]
                spot, places = self._spot(row, conversation, conversation.numeral, one.digits, one, width)
                spots.append(spot)
                nodes = dict.fromkeys(places, spot.columns[0] - 1)
            beside.append(nodes)
        batch = _with_nodes(prompt, beside) if any(beside) else _plain(prompt)
        more = batch["input_ids"].shape[1] - labels_B_T.shape[1]
        return batch | {
            "labels": torch.nn.functional.pad(labels_B_T, (0, more), value=IGNORED),
            "window": max(len(one.tail) for one in encoded) + 1 + more,
            "spots": spots,
        }

    def safely(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """The batch, or {"error": ...}: an error that crosses processes by itself arrives as a traceback."""
        try:
            return self(conversations)
        except UsageError as error:
            return {"error": error}

    def _prompt(self, conversations: Sequence[Conversation], encoded: Sequence[Encoded]) -> PromptBatch:
        photos = [_open(conversation) for conversation in conversations]
        prompt = self.prepares.batch([one.text for one in encoded], photos)
        for conversation, length in zip(conversations, prompt.mask_B_T.sum(dim=1).tolist(), strict=True):
            if length > self.max_length:
                raise UsageError(
                    f"the conversation has {length:,} tokens, over the limit of {self.max_length:,}",
                    where=conversation.where,
                    remedy="raise --max-length, lower --max-pixels or shorten the answer",
                )
        return prompt

    def _spot(
        self, row: int, conversation: Conversation, text: str, digits: Digits, encoded: Encoded, width: int
    ) -> tuple[Spot, list[Prefix]]:
        """A direct answer's place, and the nodes that it needs beside the answer."""
        reading, path = digits.reading(text), digits.tokens(text)
        root = width - encoded.after_root - 1
        wanted = [*reading.branches.nodes]
        target = None
        if self.scale is not None:
            target = self._targets(digits, self.scale).target(text, on_scale(conversation, text, self.scale))
            wanted += target.plan.branches.nodes
        beside: list[Prefix] = []
        if self.takes_mask:
            beside = sorted({n for n in wanted if n != path[: len(n)]}, key=lambda n: (len(n), n))
        columns = {path[:n]: root + n for n in range(len(path))}
        columns |= {prefix: width + i for i, prefix in enumerate(beside)}
        spot = Spot(
            row=row,
            columns=(root + 1, root + 1 + len(path)),
            reading=reading,
            ncm=_look(reading.branches, columns),
            target=target,
            look=_look(target.plan.branches, columns) if target else None,
        )
        return spot, beside


def on_scale(conversation: Conversation, text: str, scale: tuple[float, float]) -> float:
    """The exact label on the model's scale; the written number where the line has no label that fits it."""
    written, unit = float(text), 10.0 ** (1 - len(text.replace(".", "")))
    if conversation.mos is None:
        return written
    labels = [conversation.mos]
    if conversation.mos_range is not None:
        low, high = conversation.mos_range
        share = (conversation.mos - low) / (high - low)
        labels.append(scale[0] + share * (scale[1] - scale[0]))
    return next((label for label in labels if abs(label - written) <= 1.01 * unit), written)


def _most_visual_tokens(prepares: Prepares) -> int:
    """The tokens that a photo takes at most, 0 where the family does not tell."""
    area, images = prepares.settings().get("max_pixels"), getattr(prepares, "images", None)
    return int(area) // (images.patch_size * images.merge_size) ** 2 if area and images else 0


def _open(conversation: Conversation) -> list[Image]:
    try:
        return [media.open_photo(path) for path in conversation.images]
    except MediaError as error:
        raise UsageError(str(error), where=conversation.where) from error


def _look(seen: Branches, columns: Mapping[Prefix, int]) -> Look | None:
    """None where a node of the branches has no column."""
    if not all(node in columns for node in seen.nodes):
        return None
    return Look(seen, np.array([columns[node] for node in seen.nodes]))


def _labels(ids_B_T: Tensor, encoded: Sequence[Encoded]) -> Tensor:
    """(B, T) the token ids that are trained, IGNORED elsewhere."""
    labels_B_T = torch.full_like(ids_B_T, IGNORED)
    for row, one in enumerate(encoded):
        tail = torch.tensor(one.tail)
        own = ids_B_T[row, -len(tail) :]
        if not torch.equal(own, tail):
            raise ModelError("the processor changes the answer's tokens: this model family cannot be trained")
        labels_B_T[row, -len(tail) :] = torch.where(torch.tensor(one.trained), own, IGNORED)
    return labels_B_T


def _plain(prompt: PromptBatch) -> dict[str, Any]:
    batch = {
        "input_ids": prompt.ids_B_T,
        "attention_mask": prompt.mask_B_T.long(),
        "position_ids": prompt.positions,
        **prompt.inputs,
    }
    if prompt.token_types_B_T is not None:
        batch["mm_token_type_ids"] = prompt.token_types_B_T
    return batch


def _with_nodes(prompt: PromptBatch, beside: Sequence[Mapping[Prefix, int]]) -> dict[str, Any]:
    """The rows with N nodes after each, whose positions are their depth; a node sees its own line only."""
    batch, (rows, width) = _plain(prompt), prompt.ids_B_T.shape
    count = max(map(len, beside))
    total = width + count
    ids_B_N = torch.zeros(rows, count, dtype=torch.long)
    depths_B_N, roots_B = torch.zeros(rows, count, dtype=torch.long), torch.zeros(rows, dtype=torch.long)
    mask = torch.zeros(rows, total, total, dtype=torch.bool)
    mask[:, :width, :width] = torch.ones(width, width, dtype=torch.bool).tril() & prompt.mask_B_T[:, None]
    mask |= torch.eye(total, dtype=torch.bool)  # padding sees itself, so that no softmax is empty
    for row, nodes in enumerate(beside):
        places = {prefix: width + i for i, prefix in enumerate(nodes)}
        for prefix, root in nodes.items():
            own = places[prefix]
            ids_B_N[row, own - width], depths_B_N[row, own - width], roots_B[row] = (
                prefix[-1],
                len(prefix),
                root,
            )
            mask[row, own, : root + 1] = prompt.mask_B_T[row, : root + 1]
            for n in range(1, len(prefix)):  # those before it on its line: beside the answer, or in it
                mask[row, own, places.get(prefix[:n], root + n)] = True
    start = prompt.positions[..., torch.arange(rows), roots_B]  # (B,) or (axes, B)
    batch["input_ids"] = torch.cat([prompt.ids_B_T, ids_B_N], dim=1)
    batch["attention_mask"] = mask[:, None]
    batch["position_ids"] = torch.cat([prompt.positions, start[..., None] + depths_B_N], dim=-1)
    if prompt.token_types_B_T is not None:
        batch["mm_token_type_ids"] = torch.nn.functional.pad(prompt.token_types_B_T, (0, count))
    return batch
