"""The attributes in the regular form, then the score (paper Q3 and R3), with the direct score for comparison."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.backends.base import Prompt
from realqa_cli.decoding.attribute_form import attributes_of, form_of
from realqa_cli.decoding.freeform import generate_forms, missing_slots
from realqa_cli.decoding.slots import FilledForm, fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import one_of
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.errors import ItemError
from realqa_cli.io.records import CotRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.score.direct import DirectMethod, score_distributions
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields

_CLOSING = prompts.REGULAR_JOINT + prompts.FINAL_PREFIX


class CotMethod:
    """Implements `Method`. Classes and ratings are the most probable options, and the score is a distribution.

    Without probabilities, the model generates its chain of thought, which is then parsed.
    """

    record = CotRecord

    def __init__(self, context: MethodContext) -> None:
        self.context, self.direct, self.decode = context, DirectMethod(context), context.decode
        self.slots = form_of(context.config, reasons=context.readout.reasons)
        self.prompt = {
            "question": prompts.COT_REGULAR_QUESTION,
            "form": list(self.slots),
            "direct": self.direct.prompt,
        }

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        return self._generated(visual_inputs) if self.decode == "greedy" else self._exact(visual_inputs)

    def _exact(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        backend = self.context.backend.prefix_cache()  # all prompts are about the same photos
        directs = self.direct.distributions(visual_inputs, backend)
        batch = [Prompt.about(each, prompts.COT_REGULAR_QUESTION) for each in visual_inputs]
        answers = fill_form(backend, batch, prompts.regular_form(self.slots), _CLOSING)
        batch = [replace(prompt, prefix=a.text + _CLOSING) for prompt, a in zip(batch, answers, strict=True)]
        finals = score_distributions(self.context, batch, prompts.FINAL_END, backend)
        return [self._exact_fields(*parts) for parts in zip(answers, finals, directs, strict=True)]

    def _exact_fields(self, answer: FilledForm, final: ScoreDistribution, direct: ScoreDistribution) -> Prediction:
        text = answer.text + prompts.REGULAR_JOINT + prompts.final_sentence(final.mode_text)
        fields = distribution_fields(final, text)
        return fields | self._form_fields(answer) | {"score_direct": direct.mean}

    def _form_fields(self, answer: FilledForm) -> dict[str, Any]:
        attributes = attributes_of(answer.slots)
        unreliable = (self.context.config or ScorerConfig()).unreliable(attributes)
        fields = {"form": "regular", "reasons": self.context.readout.reasons, "attributes": attributes}
        return fields | ({"unreliable": unreliable} if unreliable else {})

    def _generated(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        batch = [Prompt.about(each, prompts.COT_REGULAR_QUESTION) for each in visual_inputs]
        closing = one_of(
            prompts.REGULAR_JOINT + prompts.final_sentence(numeral) for numeral in self.context.readout.numerals
        )
        answers = generate_forms(self.context.backend, batch, self.slots, closing)
        directs = self.direct.predict(visual_inputs)
        return [self._generated_fields(*parts) for parts in zip(answers, directs, strict=True)]

    def _generated_fields(self, answer: FilledForm, direct: Prediction) -> Prediction:
        final = self.direct.stated(answer.text)
        if isinstance(final, ItemError):
            return final
        fields = {
            **final,
            **self._form_fields(answer),
            "score_direct": None if isinstance(direct, ItemError) else direct["score"],
        }
        missing = missing_slots(answer, self.slots)
        return fields | ({"unparsed": missing} if missing else {})
