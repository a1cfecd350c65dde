"""Five words instead of a number (Q-Align): the probability of each word, and the score as their mean.

The method works with models that were trained for it, and without training with any model that answers
questions.
"""

from collections.abc import Sequence

from realqa_cli.backends.base import Prompt, subject_of
from realqa_cli.domain import levels, prompts
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.errors import ModelError
from realqa_cli.io.records import LevelRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields


class LevelsMethod:
    """Implements `Method`. The probabilities are those of complete words, however they are tokenised."""

    record = LevelRecord
    prompt = {"question": prompts.DIRECT_QUESTION, "prefix": prompts.LEVEL_PREFIX}  # noqa: RUF012

    def __init__(self, context: MethodContext) -> None:
        self.context, self.decode = context, context.decode
        if self.decode == "greedy":
            what = "needs probabilities, which the server does not report"
            raise ModelError(what, where="--method levels", remedy="use --method direct, or another server")

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        batch = [Prompt.about(each, prompts.DIRECT_QUESTION, prompts.LEVEL_PREFIX) for each in visual_inputs]
        values = levels.level_values(self.context.readout.level_bounds or self.context.readout.scale)
        log_probs_B_V = self.context.backend.log_probs(batch, levels.WORDS, prompts.LEVEL_END)
        return [
            self._fields(ScoreDistribution.from_log_probs(levels.WORDS, log_probs_V, values), subject_of(each))
            for log_probs_V, each in zip(log_probs_B_V, visual_inputs, strict=True)
        ]

    def _fields(self, scores: ScoreDistribution, subject: prompts.Subject) -> Prediction:
        text = prompts.level_answer(scores.mode_text, subject)
        fields = distribution_fields(scores, text)
        probs = dict(zip(scores.texts, scores.probs.tolist(), strict=True))
        return fields | {"levels": {word: probs[word] for word in levels.WORDS}}
