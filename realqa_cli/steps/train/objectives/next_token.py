"""Next-token prediction on the answers, numbers included (paper Sec. 3.3): the objective `ntp`."""

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
    """Implements `Objective`: the cross-entropy of the answers; of numerals, where it is wanted, the
    number-aware loss instead."""

    told: Mapping[str, Any] = {
        "prompts": {
            "question": prompts.DIRECT_QUESTION,
            "prefix": prompts.DIRECT_PREFIX,
            "end": prompts.DIRECT_END,
        }
    }

    def __init__(self, setup: ObjectiveSetup) -> None:
        scale = setup.lessons.scale
        self.number_weight = setup.number_loss
        self.point = scale.point if setup.number_loss else None
        self.collator = Collator(
            setup.processor,
            digits=setup.lessons.digits,
            max_length=setup.max_length,
            takes_mask=setup.takes_mask,
            scale=scale if setup.number_loss else None,
        )

    def fit(self, model: Any, source: ModelSource, *, afresh: bool) -> Any:
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
        labels_B_T, spots = batch["labels"], batch["spots"]
        found = answer_logits(model, batch)
        losses_B_W = found.token_losses(labels_B_T)
        trained = (labels_B_T[:, found.first + 1 :] != IGNORED).sum()
        total, more = losses_B_W.sum(), None
        if self.point is not None and spots:
            for spot in spots:
                columns = slice(*(column - found.first - 1 for column in spot.columns))
                total = total - losses_B_W[spot.row, columns].sum()
            targets = [spot.target for spot in spots]
            more = self.number_weight * number_loss(found.edge_log_probs(spots), targets, self.point)
        return LossOutput(
            total=total,
            count=trained,
            more=more,
            cross_entropy=float(losses_B_W.detach().sum()),
            tokens=float(trained),
            metrics=lambda: found.metrics(spots),
        )
