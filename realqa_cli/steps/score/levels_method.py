"""Five words instead of a number (Q-Align): the probability of each, and the number that they come to.

Works on models that were trained for it, and without training on any model that answers questions.
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
    """Implements `Method`. The words' probabilities are those of the whole words, however they are split."""

    record = LevelRecord
    prompt = {"question": prompts.DIRECT_QUESTION, "prefix": prompts.LEVEL_PREFIX}  # noqa: RUF012

    def __init__(self, means: MethodContext) -> None:
        self.means, self.decode = means, means.decode
        if self.decode == "greedy":
            what = "needs probabilities, which the server does not tell"
            raise ModelError(what, where="--method levels", remedy="use --method direct, or another server")

    def read(self, images: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        asks = [Prompt.about(image, prompts.DIRECT_QUESTION, prompts.LEVEL_PREFIX) for image in images]
        numbers = levels.level_values(self.means.readout.scale)
        log_probs_B_V = self.means.backend.log_probs(asks, levels.WORDS, prompts.LEVEL_END)
        found = [ScoreDistribution.from_log_probs(levels.WORDS, log_probs_V, numbers) for log_probs_V in log_probs_B_V]
        return [self._found(one, subject_of(image)) for one, image in zip(found, images, strict=True)]

    def _found(self, found: ScoreDistribution, subject: prompts.Subject) -> Prediction:
        text = prompts.level_answer(found.mode_text, subject)
        told = distribution_fields(found, text, distribution=self.means.distribution)
        shares = dict(zip(found.texts, found.probs.tolist(), strict=True))
        return told | {"levels": {word: shares[word] for word in levels.WORDS}}
