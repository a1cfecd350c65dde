"""Cross-entropy and NCM of a model over given conversations, without training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from realqa_cli.decoding.continuity import NcmValue
from realqa_cli.errors import ModelError
from realqa_cli.inference.teacher_forcing.answer_logits import IGNORED, answer_logits
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.inference.teacher_forcing.conversations import Conversation


@dataclass
class AnswerMeasures:
    """values: the metric of each direct answer.  loss: summed cross-entropy in nats.  tokens: trained tokens."""

    values: list[NcmValue] = field(default_factory=list)
    loss: float = 0.0
    tokens: int = 0

    def add(self, more: "AnswerMeasures") -> None:
        """Adds the measures of further answers."""
        self.values += more.values
        self.loss += more.loss
        self.tokens += more.tokens


@torch.inference_mode()
def measure_answers(
    model: Any,
    collator: Collator,
    conversations: Sequence[Conversation],
    batch_size: int,
    advance: Callable[[], None] = lambda: None,
) -> AnswerMeasures:
    """Measure all answers; `advance` is called after each conversation. Raises ModelError if the model gives NaN."""
    measures = AnswerMeasures()
    for start in range(0, len(conversations), batch_size):
        part = conversations[start : start + batch_size]
        batch = collator(part)
        on_device = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        logits = answer_logits(model, on_device)
        loss = float(logits.token_losses(on_device["labels"]).sum())
        if loss != loss:
            raise ModelError("the model gave no probabilities (NaN)", remedy="try --dtype float32")
        tokens = int((batch["labels"] != IGNORED).sum())
        measures.add(AnswerMeasures(logits.ncm_values(batch["spans"]), loss, tokens))
        for _ in part:
            advance()
    return measures
