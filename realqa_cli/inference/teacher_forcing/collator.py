"""From conversations to batches of tensors: prompts masked, numerals located.

Direct answers get a `NumeralSpan`, by which the metric and the number-aware loss find their digits. Nodes of the
numeral trie that these need and that are not part of the answer follow the row, seen by their own line only.

Knows the preparer of a model family; knows no model. Batches are made on the CPU.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realqa_cli.backends.hf.processor import Processor
from realqa_cli.decoding.branches import Prefix, TrieBranches
from realqa_cli.decoding.continuity import NumeralDigits
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ModelError
from realqa_cli.inference.teacher_forcing.answer_logits import IGNORED, BranchColumns, NumeralSpan
from realqa_cli.inference.teacher_forcing.answer_tokens import ConversationTokenizer, TokenizedConversation
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.number_loss import NumberTargets
from realqa_cli.inference.teacher_forcing.rows import RowBuilder


class Collator:
    """Makes batches; callable as `torch.utils.data.DataLoader` wants it.

    digits: M of the direct answers.  max_length: of a row, in tokens.  takes_mask: whether the model's
    attention takes a mask of our own.  scale: given where the number-aware loss is wanted.
    """

    def __init__(
        self,
        prepares: Processor,
        *,
        digits: int,
        max_length: int,
        takes_mask: bool,
        scale: Scale | None = None,
    ) -> None:
        self.rows, self.takes_mask, self.scale = RowBuilder(prepares, max_length), takes_mask, scale
        self.encoder = ConversationTokenizer(prepares, digits)
        self._targets = lru_cache(maxsize=64)(NumberTargets)

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """Encodes everything once: what cannot be trained is found before training, not hours into it.

        Returns how many tokens each has, photos counted once. Photos are opened only where a row could be
        too long. Raises UsageError with file and line.
        """
        lengths = []
        for conversation in conversations:
            encoded = self.encoder.encode(conversation)
            self.rows.check(conversation, encoded.text, encoded.length)
            lengths.append(encoded.length)
        return lengths

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """The model's inputs with `labels` (B, T), `window` and `spots`; see answer_logits.py.

        Raises UsageError, with file and line, for a photo that cannot be opened or a row that is too long.
        """
        encoded = [self.encoder.encode(conversation) for conversation in conversations]
        prompt = self.rows.batch(conversations, [one.text for one in encoded])
        labels_B_T = _labels(prompt.ids_B_T, encoded)
        spots: list[NumeralSpan] = []
        beside: list[dict[Prefix, int]] = []
        for row, (conversation, one) in enumerate(zip(conversations, encoded, strict=True)):
            nodes: dict[Prefix, int] = {}
            if conversation.numeral is not None and one.digits is not None:
                width = prompt.ids_B_T.shape[1]
                spot, places = self._spot(row, conversation, conversation.numeral, one.digits, one, width)
                spots.append(spot)
                nodes = dict.fromkeys(places, spot.columns[0] - 1)
            beside.append(nodes)
        batch = _with_nodes(prompt, beside) if any(beside) else prompt.forward_inputs()
        more = batch["input_ids"].shape[1] - labels_B_T.shape[1]
        return batch | {
            "labels": torch.nn.functional.pad(labels_B_T, (0, more), value=IGNORED),
            "window": max(len(one.tail) for one in encoded) + 1 + more,
            "spots": spots,
        }

    def _spot(
        self,
        row: int,
        conversation: Conversation,
        text: str,
        digits: NumeralDigits,
        encoded: TokenizedConversation,
        width: int,
    ) -> tuple[NumeralSpan, list[Prefix]]:
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
        spot = NumeralSpan(
            row=row,
            columns=(root + 1, root + 1 + len(path)),
            reading=reading,
            ncm=_look(reading.branches, columns),
            target=target,
            look=_look(target.plan.branches, columns) if target else None,
        )
        return spot, beside


def on_scale(conversation: Conversation, text: str, scale: Scale) -> float:
    """The exact label on the model's scale; the written number where the line has no label that fits it."""
    written, unit = float(text), 10.0 ** (1 - len(text.replace(".", "")))
    if conversation.mos is None:
        return written
    labels = [conversation.mos]
    if conversation.mos_range is not None:
        labels.append(scale.from_scale(conversation.mos, conversation.mos_range))
    return next((label for label in labels if abs(label - written) <= 1.01 * unit), written)


def _look(seen: TrieBranches, columns: Mapping[Prefix, int]) -> BranchColumns | None:
    """None where a node of the branches has no column."""
    if not all(node in columns for node in seen.nodes):
        return None
    return BranchColumns(seen, np.array([columns[node] for node in seen.nodes]))


def _labels(ids_B_T: Tensor, encoded: Sequence[TokenizedConversation]) -> Tensor:
    """(B, T) the token ids that are trained, IGNORED elsewhere."""
    labels_B_T = torch.full_like(ids_B_T, IGNORED)
    for row, one in enumerate(encoded):
        tail = torch.tensor(one.tail)
        own = ids_B_T[row, -len(tail) :]
        if not torch.equal(own, tail):
            raise ModelError("the processor changes the answer's tokens: this model family cannot be trained")
        labels_B_T[row, -len(tail) :] = torch.where(torch.tensor(one.trained), own, IGNORED)
    return labels_B_T


def _with_nodes(prompt: PromptBatch, beside: Sequence[Mapping[Prefix, int]]) -> dict[str, Any]:
    """The rows with N nodes after each, whose positions are their depth; a node sees its own line only."""
    batch, (rows, width) = prompt.forward_inputs(), prompt.ids_B_T.shape
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
