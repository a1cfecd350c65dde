"""The score alone, as a number (paper Q1 and R1): its exact distribution, or the number in a generated answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.backends.base import Backend, Prompt, subject_of
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import one_of
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.parsing import stated_score
from realqa_cli.errors import ItemError
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields

_GREEDY_TOKENS = 64


class DirectMethod:
    """Implements `Method`."""

    record = ScoreRecord
    prompt = {"question": prompts.DIRECT_QUESTION, "prefix": prompts.DIRECT_PREFIX}  # noqa: RUF012

    def __init__(self, context: MethodContext) -> None:
        self.context, self.decode = context, context.decode

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        if self.decode == "greedy":
            return self._generated(visual_inputs)
        distributions = self.distributions(visual_inputs)
        return [self._exact(*pair) for pair in zip(distributions, visual_inputs, strict=True)]

    def distributions(
        self, visual_inputs: Sequence[VisualInput], backend: Backend | None = None
    ) -> list[ScoreDistribution]:
        """The exact distribution over the numerals of the scale, for each input.

        backend: the backend of the context, with a prefix cache.
        """
        batch = [Prompt.about(each, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX) for each in visual_inputs]
        return score_distributions(self.context, batch, prompts.DIRECT_END, backend)

    def _generated(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        batch = [
            replace(Prompt.about(each, prompts.DIRECT_QUESTION), pattern=self._pattern(each)) for each in visual_inputs
        ]
        texts = self.context.backend.generate(batch, _GREEDY_TOKENS)
        return [self.stated(text) for text in texts]

    def _pattern(self, visual_input: VisualInput) -> str:
        """A regular expression of the answers that can be parsed."""
        numerals = self.context.readout.numerals
        return one_of(prompts.direct_answer(numeral, subject_of(visual_input)) for numeral in numerals)

    def _exact(self, scores: ScoreDistribution, visual_input: VisualInput) -> Prediction:
        text = prompts.direct_answer(scores.mode_text, subject_of(visual_input))
        return distribution_fields(scores, text)

    def stated(self, text: str) -> Prediction:
        """The fields for the score that a generated answer states, or an error if there is none on the scale."""
        score = stated_score(text)
        if score is None:
            what = f"the answer does not state one score: {text[-120:]!r}"
            exact = self.context.backend.decode_mode("exact") == "exact"
            return ItemError(what, type="unparsed", remedy="use --decode exact" if exact else None)
        scale, value = self.context.readout.scale, score.value
        if not scale.low <= value <= scale.high or score.out_of not in (None, scale.high):
            return ItemError(f"the score in the answer is not on the scale {scale}: {text[:120]!r}", type="unparsed")
        unknown: dict[str, Any] = dict.fromkeys(("std", "interval", "mass"))
        return {"score": value, "mode": value, **unknown, "text": text}


def score_distributions(
    context: MethodContext, batch: Sequence[Prompt], end: str, backend: Backend | None = None
) -> list[ScoreDistribution]:
    """The distribution over the numerals of the scale after the prefix of each prompt.

    backend: the backend of the context, with a prefix cache.
    """
    texts = context.readout.numerals
    log_probs_B_V = (backend or context.backend).log_probs(batch, texts, end)
    return [ScoreDistribution.from_log_probs(texts, log_probs_V) for log_probs_V in log_probs_B_V]
