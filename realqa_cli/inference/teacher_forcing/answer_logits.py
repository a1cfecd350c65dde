"""Runs a model over given answers and reads cross-entropy, NCM and numeral edges from its logits.

A batch comes from collator.py: rows are padded on the left, so that all answers end in the same column, followed
by trie nodes that are not part of the given answers. Logits are computed for the last W columns only, which hold
every token that is trained or measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realqa_cli.decoding.branches import Ints, TrieBranches
from realqa_cli.decoding.continuity import DigitBranches, NcmValue, ncm_of
from realqa_cli.inference.teacher_forcing.number_loss import SoftTarget

IGNORED = -100
"""The label of a token that is not trained, by the convention of torch and transformers."""

_NOT_INPUTS = frozenset({"labels", "window", "spans"})


@dataclass(frozen=True, eq=False)
class BranchColumns:
    """Branches of a numeral trie in a batch; columns_K: the column of each of their K nodes."""

    branches: TrieBranches
    columns_K: Ints


@dataclass(frozen=True, eq=False)
class NumeralSpan:
    """The numeral of a direct answer in a batch. It is pickled between the data loader's processes.

    row: index in the batch.  columns: first column of the numeral's tokens, and one past the last.
    ncm_columns: nodes for the metric; None if the metric needs nodes outside the answer and the model's attention
    takes no custom mask.  target, loss_columns: for the number-aware loss; None without it.
    """

    row: int
    columns: tuple[int, int]
    digit_branches: DigitBranches
    ncm_columns: BranchColumns | None
    target: SoftTarget | None = None
    loss_columns: BranchColumns | None = None


@dataclass(frozen=True)
class AnswerLogits:
    """Logits (B, W, V) of the last W columns of a batch; `first` is the index of the first of them."""

    logits_B_W_V: Tensor
    first: int

    def token_losses(self, labels_B_T: Tensor) -> Tensor:
        """(B, W - 1) cross-entropy in nats of each token after the window's first, 0 for ignored tokens."""
        labels_B_W = labels_B_T[:, self.first + 1 :]
        flat = torch.nn.functional.cross_entropy(
            self.logits_B_W_V[:, :-1].float().flatten(0, 1),
            labels_B_W.flatten(),
            reduction="none",
            ignore_index=IGNORED,
        )
        return flat.view_as(labels_B_W)

    def edge_log_probs(self, spans: Sequence[NumeralSpan]) -> list[Tensor]:
        """For each span (E,) log-probabilities, over the whole vocabulary, of the edges of `loss_columns`."""
        parts = [span.loss_columns for span in spans if span.loss_columns is not None]
        rows = np.concatenate([np.full(len(p.columns_K), s.row) for s, p in zip(spans, parts, strict=True)])
        columns = np.concatenate([part.columns_K for part in parts]) - self.first
        device = self.logits_B_W_V.device
        index = torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)
        logs_N_V = self.logits_B_W_V[index].float().log_softmax(dim=-1)
        starts = np.cumsum([0, *(len(part.columns_K) for part in parts[:-1])])
        nodes = np.concatenate([p.branches.edge_node_E + s for p, s in zip(parts, starts, strict=True)])
        tokens = np.concatenate([part.branches.edge_token_E for part in parts])
        flat = logs_N_V[torch.from_numpy(nodes).to(device), torch.from_numpy(tokens).to(device)]
        return list(torch.split(flat, [len(part.branches.edge_node_E) for part in parts]))

    @torch.no_grad()
    def ncm_values(self, spans: Sequence[NumeralSpan]) -> list[NcmValue]:
        """The numerical continuity metric of each span that has `ncm_columns`."""
        measured = [(span, span.ncm_columns) for span in spans if span.ncm_columns is not None]
        if not measured:
            return []
        index = np.concatenate(
            [
                [np.full(len(nodes), s.row), p.columns_K[nodes] - self.first, p.branches.edge_token_E]
                for s, p in measured
                for nodes in [p.branches.edge_node_E]
            ],
            axis=1,
        )
        rows, columns, tokens = torch.from_numpy(index).to(self.logits_B_W_V.device)
        flat = self.logits_B_W_V[rows, columns, tokens].double().cpu().numpy()
        ends = np.cumsum([len(part.branches.edge_node_E) for _, part in measured])
        return [
            ncm_of(span.digit_branches.text, span.digit_branches.log_probs(logits_E))
            for (span, _), logits_E in zip(measured, np.split(flat, ends[:-1]), strict=True)
        ]


def answer_logits(model: Any, batch: Mapping[str, Any]) -> AnswerLogits:
    """Run `model` on a batch of `Collator`. Whether gradients are recorded is up to the caller."""
    inputs = {name: value for name, value in batch.items() if name not in _NOT_INPUTS}
    logits_B_W_V = model(**inputs, logits_to_keep=batch["window"], use_cache=False).logits
    return AnswerLogits(logits_B_W_V, batch["labels"].shape[1] - batch["window"])
