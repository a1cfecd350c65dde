"""The attributes first, then the score, as a number (paper Q3 and R3); with the direct score beside it."""

from collections.abc import Sequence
from dataclasses import replace

from realqa_cli.backends.base import Prompt
from realqa_cli.decoding.attribute_form import attributes_of, form_of
from realqa_cli.decoding.freeform import generate_forms, missing_slots
from realqa_cli.decoding.slots import FilledForm, fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import one_of
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.parsing import predicted_score
from realqa_cli.errors import ItemError
from realqa_cli.io.records import CotRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.direct import DirectMethod, weigh_numerals
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields

_CLOSING = prompts.REGULAR_JOINT + prompts.FINAL_PREFIX


class CotMethod:
    """Implements `Method`. Classes and ratings are chosen by probability, and the score is weighed.

    Where there are no probabilities, the model writes its chain of thought, and what it says counts.
    """

    record = CotRecord

    def __init__(self, context: MethodContext) -> None:
        self.context, self.direct, self.decode = context, DirectMethod(context), context.decode
        self.form = form_of(context.config, reasons=False)
        self.prompt = {
            "question": prompts.COT_REGULAR_QUESTION,
            "form": list(self.form),
            "direct": self.direct.prompt,
        }

    def read(self, images: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        return self._written(images) if self.decode == "greedy" else self._weighed(images)

    def _weighed(self, images: Sequence[VisualInput]) -> list[Prediction]:
        backend = self.context.backend.prefix_cache()  # all three ask about the same photos
        directs = self.direct.distributions(images, backend)
        batch = [Prompt.about(image, prompts.COT_REGULAR_QUESTION) for image in images]
        answers = fill_form(backend, batch, prompts.regular_form(self.form), _CLOSING)
        batch = [replace(prompt, prefix=a.text + _CLOSING) for prompt, a in zip(batch, answers, strict=True)]
        finals = weigh_numerals(self.context, batch, prompts.FINAL_END, backend)
        return [self._found(*parts) for parts in zip(answers, finals, directs, strict=True)]

    def _found(self, answer: FilledForm, final: ScoreDistribution, direct: ScoreDistribution) -> Prediction:
        text = answer.text + prompts.REGULAR_JOINT + prompts.final_sentence(final.mode_text)
        told = distribution_fields(final, text, distribution=self.context.distribution)
        return told | {"attributes": attributes_of(answer.slots), "score_direct": direct.mean}

    def _written(self, images: Sequence[VisualInput]) -> list[Prediction]:
        batch = [Prompt.about(image, prompts.COT_REGULAR_QUESTION) for image in images]
        closing = one_of(
            prompts.REGULAR_JOINT + prompts.final_sentence(numeral) for numeral in self.context.readout.numerals
        )
        answers = generate_forms(self.context.backend, batch, self.form, closing)
        return [self._read(*parts) for parts in zip(answers, self.direct.read(images), strict=True)]

    def _read(self, answer: FilledForm, direct: Prediction) -> Prediction:
        final = self.direct.stated(answer.text, predicted_score(answer.text))
        if isinstance(final, ItemError):
            return final
        told = {
            "attributes": attributes_of(answer.slots),
            "score_direct": None if isinstance(direct, ItemError) else direct["score"],
        }
        left_out = missing_slots(answer, self.form)
        return {**final, **told, **({"unparsed": left_out} if left_out else {})}
