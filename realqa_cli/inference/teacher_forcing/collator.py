"""Collates conversations into batches of tensors on the CPU: questions masked, numerals located.

Each direct answer gets a `NumeralSpan` that the metric and the number-aware loss use to find its digits. Trie nodes
that they need and that are not part of the answer are appended to the row; each attends only to the prompt and its
own ancestors.
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
    """Makes batches; callable as `torch.utils.data.DataLoader` expects.

    digits: M of the direct answers.  max_length: tokens per row.  takes_mask: whether the model's attention takes
    a custom mask.  scale: of the scores, if the number-aware loss is used, else None.
    """

    def __init__(
        self,
        processor: Processor,
        *,
        digits: int,
        max_length: int,
        takes_mask: bool,
        scale: Scale | None = None,
    ) -> None:
        self.rows, self.takes_mask, self.scale = RowBuilder(processor, max_length), takes_mask, scale
        self.tokenizer = ConversationTokenizer(processor, digits)
        self._number_targets = lru_cache(maxsize=64)(NumberTargets)

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """Validate conversations and return the tokens of each, counting every photo as one token.

        Photos are opened only if a row could be too long. Raises UsageError with file and line.
        """
        lengths = []
        for conversation in conversations:
            row = self.tokenizer.encode(conversation)
            self.rows.check(conversation, row.text, row.length)
            lengths.append(row.length)
        return lengths

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """The model's inputs with `labels` (B, T), `window` and `spans`; see answer_logits.py.

        Raises UsageError, with file and line, for a photo that cannot be opened or a row that is too long.
        """
        rows = [self.tokenizer.encode(conversation) for conversation in conversations]
        prompt = self.rows.batch(conversations, [row.text for row in rows])
        labels_B_T = _labels(prompt.ids_B_T, rows)
        labels_B_T[[conversation.padding for conversation in conversations]] = IGNORED
        spans: list[NumeralSpan] = []
        extra_nodes: list[dict[Prefix, int]] = []
        for index, (conversation, row) in enumerate(zip(conversations, rows, strict=True)):
            roots: dict[Prefix, int] = {}
            if conversation.numeral is not None and row.digits is not None and not conversation.padding:
                width = prompt.ids_B_T.shape[1]
                span, nodes = self._span(index, conversation, conversation.numeral, row.digits, row, width)
                spans.append(span)
                roots = dict.fromkeys(nodes, span.columns[0] - 1)
            extra_nodes.append(roots)
        batch = _append_nodes(prompt, extra_nodes) if any(extra_nodes) else prompt.forward_inputs()
        added = batch["input_ids"].shape[1] - labels_B_T.shape[1]
        return batch | {
            "labels": torch.nn.functional.pad(labels_B_T, (0, added), value=IGNORED),
            "window": max(len(row.tail) for row in rows) + 1 + added,
            "spans": spans,
        }

    def _span(
        self,
        index: int,
        conversation: Conversation,
        text: str,
        digits: NumeralDigits,
        row: TokenizedConversation,
        width: int,
    ) -> tuple[NumeralSpan, list[Prefix]]:
        """The span of a direct answer's numeral, and the trie nodes that have to be appended to its row."""
        digit_branches, path = digits.branches_of(text), digits.tokens(text)
        root = width - row.after_root - 1
        needed = [*digit_branches.branches.nodes]
        target = None
        if self.scale is not None:
            label = label_on_scale(conversation, text, self.scale)
            target = self._number_targets(digits, self.scale).target(text, label)
            needed += target.plan.branches.nodes
        appended: list[Prefix] = []
        if self.takes_mask:
            appended = sorted({n for n in needed if n != path[: len(n)]}, key=lambda n: (len(n), n))
        columns = {path[:n]: root + n for n in range(len(path))}
        columns |= {prefix: width + i for i, prefix in enumerate(appended)}
        span = NumeralSpan(
            row=index,
            columns=(root + 1, root + 1 + len(path)),
            digit_branches=digit_branches,
            ncm_columns=_branch_columns(digit_branches.branches, columns),
            target=target,
            loss_columns=_branch_columns(target.plan.branches, columns) if target else None,
        )
        return span, appended


def label_on_scale(conversation: Conversation, text: str, scale: Scale) -> float:
    """The exact label on the model's scale; the written number if the line has no label that agrees with it."""
    written, unit = float(text), 10.0 ** (1 - len(text.replace(".", "")))
    if conversation.mos is None:
        return written
    labels = [conversation.mos]
    if conversation.mos_range is not None:
        labels.append(scale.from_scale(conversation.mos, conversation.mos_range))
    return next((label for label in labels if abs(label - written) <= 1.01 * unit), written)


def _branch_columns(branches: TrieBranches, columns: Mapping[Prefix, int]) -> BranchColumns | None:
    """None if a node of the branches has no column."""
    if not all(node in columns for node in branches.nodes):
        return None
    return BranchColumns(branches, np.array([columns[node] for node in branches.nodes]))


def _labels(ids_B_T: Tensor, rows: Sequence[TokenizedConversation]) -> Tensor:
    """(B, T) the token ids that are trained, IGNORED elsewhere."""
    labels_B_T = torch.full_like(ids_B_T, IGNORED)
    for index, row in enumerate(rows):
        tail = torch.tensor(row.tail)
        ids = ids_B_T[index, -len(tail) :]
        if not torch.equal(ids, tail):
            raise ModelError("the processor changes the answer's tokens: this model family cannot be trained")
        labels_B_T[index, -len(tail) :] = torch.where(torch.tensor(row.trained), ids, IGNORED)
    return labels_B_T


def _append_nodes(prompt: PromptBatch, extra_nodes: Sequence[Mapping[Prefix, int]]) -> dict[str, Any]:
    """The model's inputs with N trie nodes appended to each row.

    A node's position is its depth below its root; it attends to the prompt up to the root and to its ancestors.
    """
    batch, (rows, width) = prompt.forward_inputs(), prompt.ids_B_T.shape
    count = max(map(len, extra_nodes))
    total = width + count
    ids_B_N = torch.zeros(rows, count, dtype=torch.long)
    depths_B_N, roots_B = torch.zeros(rows, count, dtype=torch.long), torch.zeros(rows, dtype=torch.long)
    mask = torch.zeros(rows, total, total, dtype=torch.bool)
    mask[:, :width, :width] = torch.ones(width, width, dtype=torch.bool).tril() & prompt.mask_B_T[:, None]
    mask |= torch.eye(total, dtype=torch.bool)  # padding attends to itself, so that no softmax is empty
    for row, nodes in enumerate(extra_nodes):
        columns = {prefix: width + i for i, prefix in enumerate(nodes)}
        for prefix, root in nodes.items():
            column = columns[prefix]
            ids_B_N[row, column - width], depths_B_N[row, column - width] = prefix[-1], len(prefix)
            roots_B[row] = root
            mask[row, column, : root + 1] = prompt.mask_B_T[row, : root + 1]
            for n in range(1, len(prefix)):  # its ancestors, appended or in the answer
                mask[row, column, columns.get(prefix[:n], root + n)] = True
    start = prompt.positions[..., torch.arange(rows), roots_B]  # (B,) or (axes, B)
    batch["input_ids"] = torch.cat([prompt.ids_B_T, ids_B_N], dim=1)
    batch["attention_mask"] = mask[:, None]
    batch["position_ids"] = torch.cat([prompt.positions, start[..., None] + depths_B_N], dim=-1)
    if prompt.token_types_B_T is not None:
        batch["mm_token_type_ids"] = torch.nn.functional.pad(prompt.token_types_B_T, (0, count))
    return batch
