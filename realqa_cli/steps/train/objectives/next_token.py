"""The objective `ntp`: next-token prediction on the answers, numbers included (paper Sec. 3.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

from realqa_cli.domain import prompts
from realqa_cli.inference.teacher_forcing.answer_logits import IGNORED, answer_logits
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.number_loss import number_loss
from realqa_cli.models import ModelSource
from realqa_cli.steps.train.objectives.objective import LossOutput, ObjectiveSetup


class NextTokenObjective:
    """Implements `Objective`: the cross-entropy of the answers; with `--number-loss` the numerals of direct answers
    have the number-aware loss instead."""

    config_fields: Mapping[str, Any] = {
        "prompts": {
            "question": prompts.DIRECT_QUESTION,
            "prefix": prompts.DIRECT_PREFIX,
            "end": prompts.DIRECT_END,
        }
    }

    def __init__(self, setup: ObjectiveSetup) -> None:
        scale = setup.spec.scale
        self.number_weight = setup.number_loss
        self.point = scale.point if setup.number_loss else None
        self.collator = Collator(
            setup.processor,
            digits=setup.spec.digits,
            max_length=setup.max_length,
            takes_mask=setup.takes_mask,
            scale=scale if setup.number_loss else None,
        )

    def fit(self, model: Any, source: ModelSource, *, new_weights: bool) -> Any:
        """The model itself."""
        return model

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """See `Objective`."""
        return self.collator.check(conversations)

    def collate(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """See `Objective`."""
        return self.collator(conversations)

    def loss(self, model: Any, batch: Mapping[str, Any]) -> LossOutput:
        """See `Objective`."""
        labels_B_T, spans = batch["labels"], batch["spans"]
        logits = answer_logits(model, batch)
        losses_B_W = logits.token_losses(labels_B_T)
        trained = (labels_B_T[:, logits.first + 1 :] != IGNORED).sum()
        total, batch_loss = losses_B_W.sum(), None
        if self.point is not None and spans:
            for span in spans:
                columns = slice(*(column - logits.first - 1 for column in span.columns))
                total = total - losses_B_W[span.row, columns].sum()
            targets = [span.target for span in spans]
            batch_loss = self.number_weight * number_loss(logits.edge_log_probs(spans), targets, self.point)
        return LossOutput(
            total=total,
            count=trained,
            batch_loss=batch_loss,
            cross_entropy=float(losses_B_W.detach().sum()),
            tokens=float(trained),
            ncm_values=lambda: logits.ncm_values(spans),
        )
