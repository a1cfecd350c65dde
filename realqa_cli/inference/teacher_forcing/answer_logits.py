"""One pass of a model over true answers, and what is read from its logits: cross-entropy, edges of numerals.

A batch is what collate.py makes: rows padded on the left, so that all answers end in the same column, and
after them nodes of the numeral tries that are not part of the true answers. Only the window of the last
columns, which holds all that is trained or measured, gets logits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realqa_cli.decoding.branches import Ints, TrieBranches
from realqa_cli.decoding.continuity import DigitBranches, NcmValue, metric
from realqa_cli.inference.teacher_forcing.number_loss import SoftTarget

IGNORED = -100
"""The label of a token that is not trained, by the convention of torch and transformers."""

_OWN = frozenset({"labels", "window", "spots"})


@dataclass(frozen=True, eq=False)
class BranchColumns:
    """Some branches of a numeral trie in a batch: the column of each of their K nodes."""

    branches: TrieBranches
    columns_K: Ints


@dataclass(frozen=True, eq=False)
class NumeralSpan:
    """A direct answer's numeral in a batch. Small and plain, because it travels between processes.

    row: the batch's.  columns: of the numeral's tokens, the first and one past the last.
    reading, ncm: for the metric; `ncm` is None where nodes beside the answer are needed and the model's
    attention takes none.  target, look: for the number-aware loss, where it is wanted.
    """

    row: int
    columns: tuple[int, int]
    reading: DigitBranches
    ncm: BranchColumns | None
    target: SoftTarget | None = None
    look: BranchColumns | None = None


@dataclass(frozen=True)
class AnswerLogits:
    """Logits (B, W, V) of a batch's last W columns; `first` is the first of them."""

    logits_B_W_V: Tensor
    first: int

    def token_losses(self, labels_B_T: Tensor) -> Tensor:
        """(B, W - 1) cross-entropy of the tokens after the window's first, 0 where they are not trained."""
        labels_B_W = labels_B_T[:, self.first + 1 :]
        flat = torch.nn.functional.cross_entropy(
            self.logits_B_W_V[:, :-1].float().flatten(0, 1),
            labels_B_W.flatten(),
            reduction="none",
            ignore_index=IGNORED,
        )
        return flat.view_as(labels_B_W)

    def edge_log_probs(self, spots: Sequence[NumeralSpan]) -> list[Tensor]:
        """For each spot the log-probabilities, over the whole vocabulary, of the edges of its `look`."""
        looks = [spot.look for spot in spots if spot.look is not None]
        rows = np.concatenate([np.full(len(k.columns_K), s.row) for s, k in zip(spots, looks, strict=True)])
        columns = np.concatenate([look.columns_K for look in looks]) - self.first
        device = self.logits_B_W_V.device
        at = torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)
        logs_N_V = self.logits_B_W_V[at].float().log_softmax(dim=-1)
        starts = np.cumsum([0, *(len(look.columns_K) for look in looks[:-1])])
        nodes = np.concatenate([k.branches.edge_node_E + s for k, s in zip(looks, starts, strict=True)])
        tokens = np.concatenate([look.branches.edge_token_E for look in looks])
        flat = logs_N_V[torch.from_numpy(nodes).to(device), torch.from_numpy(tokens).to(device)]
        return list(torch.split(flat, [len(look.branches.edge_node_E) for look in looks]))

    @torch.no_grad()
    def metrics(self, spots: Sequence[NumeralSpan]) -> list[NcmValue]:
        """The numerical continuity metric of the spots for which it can be had."""
        seen = [(spot, spot.ncm) for spot in spots if spot.ncm is not None]
        if not seen:
            return []
        index = np.concatenate(
            [
                [np.full(len(b), s.row), k.columns_K[b] - self.first, k.branches.edge_token_E]
                for s, k in seen
                for b in [k.branches.edge_node_E]
            ],
            axis=1,
        )
        rows, columns, tokens = torch.from_numpy(index).to(self.logits_B_W_V.device)
        flat = self.logits_B_W_V[rows, columns, tokens].double().cpu().numpy()
        ends = np.cumsum([len(look.branches.edge_node_E) for _, look in seen])
        parts = np.split(flat, ends[:-1])
        return [
            metric(spot.reading.text, spot.reading.log_probs(part)) for (spot, _), part in zip(seen, parts, strict=True)
        ]


def answer_logits(model: Any, batch: Mapping[str, Any]) -> AnswerLogits:
    """Runs the model on a batch; gradients as the caller has them."""
    inputs = {name: value for name, value in batch.items() if name not in _OWN}
    found = model(**inputs, logits_to_keep=batch["window"], use_cache=False).logits
    return AnswerLogits(found, batch["labels"].shape[1] - batch["window"])
