"""A chain of thought in natural language, then the score (paper Q2 and R2), with the direct score for comparison."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.backends.base import Prompt
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.errors import ItemError
from realqa_cli.io.records import CotRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.direct import DirectMethod, score_distributions
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields

_TOKENS = 768
"""Most tokens of a chain of thought; those of the paper have fewer than 300."""


class NaturalCotMethod:
    """Implements `Method`. The model generates the paragraph up to "The final score is <".

    The score is the exact distribution over the numerals after this text or, if the decode mode is greedy, the
    number that the model generates.
    """

    record = CotRecord

    def __init__(self, context: MethodContext) -> None:
        self.context, self.direct, self.decode = context, DirectMethod(context), context.decode
        self.prompt = {"question": prompts.COT_QUESTION, "form": "natural", "direct": self.direct.prompt}

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        batch = [Prompt.about(each, prompts.COT_QUESTION) for each in visual_inputs]
        if self.decode == "greedy":
            return self._greedy(visual_inputs, batch)
        texts = self.context.backend.generate(batch, _TOKENS, stop=prompts.FINAL_PREFIX)
        begun = [self._up_to_score(prompt, text) for prompt, text in zip(batch, texts, strict=True)]
        complete = [prompt for prompt in begun if isinstance(prompt, Prompt)]
        finals = iter(score_distributions(self.context, complete, prompts.FINAL_END) if complete else ())
        directs = self.direct.distributions(visual_inputs)
        return [
            prompt if isinstance(prompt, ItemError) else self._exact_fields(prompt, next(finals), direct)
            for prompt, direct in zip(begun, directs, strict=True)
        ]

    def _up_to_score(self, prompt: Prompt, text: str) -> Prompt | ItemError:
        """The prompt with the generated text as its prefix, which ends where the numeral begins."""
        start, found, _ = text.partition(prompts.FINAL_PREFIX)
        if not found:
            what = f"the answer does not reach {prompts.FINAL_PREFIX!r} within {_TOKENS} tokens: {text[-120:]!r}"
            return ItemError(what, type="unparsed", remedy="use --form regular")
        return replace(prompt, prefix=start + found)

    def _exact_fields(self, prompt: Prompt, final: ScoreDistribution, direct: ScoreDistribution) -> Prediction:
        text = prompt.prefix.removesuffix(prompts.FINAL_PREFIX) + prompts.final_sentence(final.mode_text)
        fields = distribution_fields(final, text)
        return fields | _form_fields() | {"score_direct": direct.mean}

    def _greedy(self, visual_inputs: Sequence[VisualInput], batch: Sequence[Prompt]) -> list[Prediction]:
        answers = [self.direct.stated(text) for text in self.context.backend.generate(batch, _TOKENS)]
        directs = self.direct.predict(visual_inputs)
        return [
            final if isinstance(final, ItemError) else {**final, **_form_fields(), "score_direct": _score_of(direct)}
            for final, direct in zip(answers, directs, strict=True)
        ]


def _form_fields() -> dict[str, Any]:
    """Attributes are not parsed from natural language."""
    return {"form": "natural", "reasons": True, "attributes": {}}


def _score_of(direct: Prediction) -> float | None:
    return None if isinstance(direct, ItemError) else direct["score"]
