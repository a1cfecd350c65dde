"""The score alone, as a number (paper Q1 and R1): its exact distribution, or the number in a generated answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.backends.base import Backend, Prompt, subject_of
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import one_of
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.prompts import ScoreQuestion
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ItemError
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields

_GREEDY_TOKENS = 64
_OWN = ScoreQuestion(prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX, prompts.DIRECT_END)


class DirectMethod:
    """Implements `Method`."""

    record = ScoreRecord

    def __init__(self, context: MethodContext) -> None:
        self.context, self.decode = context, context.decode
        self.question = context.readout.question
        self._is_own = self.question == _OWN
        self.prompt = {"question": self.question.text, "prefix": self.question.prefix}

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
        batch = [Prompt.asking(each, self.question, self.context.readout.layout) for each in visual_inputs]
        return score_distributions(self.context, batch, self.question.end, backend)

    def _generated(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        layout = self.context.readout.layout
        batch = [Prompt.asking(each, self.question, layout) for each in visual_inputs]
        if self._is_own:  # without the prefix: the answer is what the model writes by itself
            batch = [
                replace(prompt, prefix="", pattern=self._pattern(each))
                for prompt, each in zip(batch, visual_inputs, strict=True)
            ]
        texts = self.context.backend.generate(batch, _GREEDY_TOKENS)
        if self._is_own:
            return [self.stated(text) for text in texts]
        from realqa_cli.domain.parsing import number_after

        scale = self.context.readout.scale
        return [
            greedy_fields(text, number_after(text, prompt.prefix), scale)
            for text, prompt in zip(texts, batch, strict=True)
        ]

    def _pattern(self, visual_input: VisualInput) -> str:
        """A regular expression of the answers that can be parsed."""
        numerals = self.context.readout.numerals
        return one_of(prompts.direct_answer(numeral, subject_of(visual_input)) for numeral in numerals)

    def _exact(self, scores: ScoreDistribution, visual_input: VisualInput) -> Prediction:
        prefix = prompts.about(self.question.prefix, subject_of(visual_input))
        text = prefix + scores.mode_text + self.question.end
        return distribution_fields(scores, text)

    def stated(self, text: str) -> Prediction:
        """The fields for the score that a generated answer states, or an error if there is none on the scale."""
        from realqa_cli.domain.parsing import stated_score  # its patterns take long to compile

        score = stated_score(text)
        if score is None:
            what = f"the answer does not state one score: {text[-120:]!r}"
            exact = self.context.backend.decode_mode("exact") == "exact"
            return ItemError(what, type="unparsed", remedy="use --decode exact" if exact else None)
        scale = self.context.readout.scale
        return greedy_fields(text, score.value if score.out_of in (None, scale.high) else None, scale)


def greedy_fields(text: str, value: float | None, scale: Scale) -> Prediction:
    """The fields for a number in a generated answer, or an error where it is missing or not on the scale."""
    if value is None or not scale.low <= value <= scale.high:
        return ItemError(f"the answer has no score on the scale {scale}: {text[-120:]!r}", type="unparsed")
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
