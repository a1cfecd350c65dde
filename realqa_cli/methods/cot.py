"""The attributes first, then the score, as a number (paper Q3 and R3); with the direct score beside it."""

from collections.abc import Sequence
from dataclasses import replace

from realqa_cli import prompts
from realqa_cli.backends import Ask
from realqa_cli.decoding.slots import Completed, complete
from realqa_cli.methods import Found, Means, fields
from realqa_cli.methods.direct import Direct, weigh_numerals
from realqa_cli.numerals import ScoreDistribution
from realqa_cli.records import CotRecord
from realqa_cli.self_label import attributes_of, form_of
from realqa_cli.video import Sight

_CLOSING = prompts.REGULAR_JOINT + prompts.FINAL_PREFIX


class Cot:
    """Implements `Method`. Classes and ratings are chosen by probability; the score is weighed exactly."""

    record = CotRecord
    decode = "exact"

    def __init__(self, means: Means) -> None:
        self.means, self.direct = means, Direct(means)
        self.form = form_of(means.scorer, reasons=False)
        self.prompt = {
            "question": prompts.COT_REGULAR_QUESTION,
            "form": list(self.form),
            "direct": self.direct.prompt,
        }

    def read(self, images: Sequence[Sight]) -> list[Found]:
        """See `Method`."""
        directs = self.direct.distributions(images)
        asks = [Ask.about(image, prompts.COT_REGULAR_QUESTION) for image in images]
        answers = complete(self.means.backend, asks, prompts.regular_form(self.form), _CLOSING)
        asks = [replace(ask, prefix=a.text + _CLOSING) for ask, a in zip(asks, answers, strict=True)]
        finals = weigh_numerals(self.means, asks, prompts.FINAL_END)
        return [self._found(*parts) for parts in zip(answers, finals, directs, strict=True)]

    def _found(self, answer: Completed, final: ScoreDistribution, direct: ScoreDistribution) -> Found:
        text = answer.text + prompts.REGULAR_JOINT + prompts.final_sentence(final.mode_text)
        told = fields(final, text, distribution=self.means.distribution)
        return told | {"attributes": attributes_of(answer.slots), "score_direct": direct.mean}
