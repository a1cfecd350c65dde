"""The objective `regression`: a linear head on the hidden state of the question's last token.

Paper Sec. 4.6 and Tab. 5. The loss is the squared error between the head's output and the label, both as shares of
the scale. No answer is read or written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from realqa_cli.backends.hf.regression_head import RegressionHead
from realqa_cli.domain import prompts
from realqa_cli.inference.teacher_forcing.answer_logits import IGNORED
from realqa_cli.inference.teacher_forcing.collator import label_on_scale
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.rows import RowBuilder
from realqa_cli.models import ModelSource
from realqa_cli.steps.train.objectives.objective import LossOutput, ObjectiveSetup


class RegressionObjective:
    """Implements `Objective` for regression."""

    config_fields: Mapping[str, Any] = {"prompts": {"question": prompts.DIRECT_QUESTION}, "form": None}

    def __init__(self, setup: ObjectiveSetup) -> None:
        self.rows, self.scale = RowBuilder(setup.processor, setup.max_length), setup.spec.scale

    def fit(self, model: Any, source: ModelSource, *, new_weights: bool) -> Any:
        """The model with a head: a new one, or that of a regression model that training continues from."""
        regressor = (None if new_weights else RegressionHead.of(model, source)) or RegressionHead(model)
        output, inputs = model.get_output_embeddings(), model.get_input_embeddings()
        if output is not None and output.weight is not inputs.weight:
            output.requires_grad_(False)  # regression does not use it, and DDP refuses unused trained weights
        return regressor

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """See `Objective`."""
        texts = [self._text(conversation) for conversation in conversations]
        encode = self.rows.processor.encode
        lengths = [len(encode([text])[0]) for text in texts]
        for row in zip(conversations, texts, lengths, strict=True):
            self.rows.check(*row)
        return lengths

    def collate(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """See `Objective`; `labels` are (B,) shares of the scale, or -100 for padding."""
        prompt = self.rows.batch(conversations, [self._text(conversation) for conversation in conversations])
        shares = torch.tensor([self._share(conversation) for conversation in conversations])
        return prompt.forward_inputs() | {"labels": shares}

    def loss(self, model: Any, batch: Mapping[str, Any]) -> LossOutput:
        """See `Objective`."""
        values_B = model(**{name: value for name, value in batch.items() if name != "labels"})
        labels_B = batch["labels"]
        trained_B = labels_B != IGNORED
        errors_B = torch.where(trained_B, values_B - labels_B, 0.0)
        return LossOutput((errors_B**2).sum(), trained_B.sum())

    def _text(self, conversation: Conversation) -> str:
        """The text up to the last answer, as in scoring."""
        return self.rows.processor.render_turns(conversation.turns[:-1], answer_next=True)

    def _share(self, conversation: Conversation) -> float:
        if conversation.padding:
            return float(IGNORED)
        assert conversation.numeral is not None, "conversations_for selects direct answers only"
        return self.scale.clipped_share(label_on_scale(conversation, conversation.numeral, self.scale))
