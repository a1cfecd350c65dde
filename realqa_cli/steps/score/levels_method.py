"""Words instead of a number (Q-Align): the probability of each word, and the score as the mean of their values.

The method works with models that were trained for it, and without training with any model that answers
questions.
"""

from collections.abc import Sequence

import numpy as np

from realqa_cli.backends.base import Prompt, subject_of
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats, ScoreDistribution
from realqa_cli.errors import ModelError
from realqa_cli.io.records import LevelRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields


class LevelsMethod:
    """Implements `Method`. The probabilities are those of complete words, however they are tokenised."""

    record = LevelRecord

    def __init__(self, context: MethodContext) -> None:
        self.context, self.decode = context, context.decode
        self.question, self.words = context.readout.question, context.readout.words
        self.prompt = {"question": self.question.text, "prefix": self.question.prefix}
        if self.decode == "greedy":
            what = "needs probabilities, which the server does not report"
            raise ModelError(what, where="--method levels", remedy="use --method direct, or another server")

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        batch = [Prompt.asking(each, self.question, self.context.readout.layout) for each in visual_inputs]
        words, values = list(self.words), list(self.words.values())
        log_probs_B_V = self.context.backend.log_probs(batch, words, self.question.end)
        return [
            self._fields(ScoreDistribution.from_log_probs(words, log_probs_V, values), log_probs_V, subject_of(each))
            for log_probs_V, each in zip(log_probs_B_V, visual_inputs, strict=True)
        ]

    def _fields(self, scores: ScoreDistribution, log_probs_V: Floats, subject: prompts.Subject) -> Prediction:
        text = prompts.about(self.question.prefix, subject) + scores.mode_text + self.question.end
        fields = distribution_fields(scores, text)
        weights = np.exp(log_probs_V - log_probs_V.max())
        return fields | {"levels": dict(zip(self.words, (weights / weights.sum()).tolist(), strict=True))}
