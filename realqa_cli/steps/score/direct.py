"""The score alone, as a number (paper Q1 and R1): weighed exactly, or read out of what generation writes."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from realqa_cli.backends.base import Backend, Prompt, subject_of
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import one_of
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.errors import ItemError
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.video import VisualInput
from realqa_cli.steps.score.method import MethodContext, Prediction, distribution_fields

_GREEDY_TOKENS = 64
_GREEDY_NUMBER = re.compile(r"score of this (?:image|video) is\s*<?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


class DirectMethod:
    """Implements `Method`."""

    record = ScoreRecord
    prompt = {"question": prompts.DIRECT_QUESTION, "prefix": prompts.DIRECT_PREFIX}  # noqa: RUF012

    def __init__(self, context: MethodContext) -> None:
        self.context, self.decode = context, context.decode

    def read(self, images: Sequence[VisualInput]) -> list[Prediction]:
        """See `Method`."""
        if self.decode == "greedy":
            batch = [
                replace(Prompt.about(image, prompts.DIRECT_QUESTION), pattern=self._pattern(image)) for image in images
            ]
            texts = self.context.backend.generate(batch, _GREEDY_TOKENS)
            return [self.stated(text, _number_in(text)) for text in texts]
        found = self.distributions(images)
        return [self._exact(one, subject_of(image)) for one, image in zip(found, images, strict=True)]

    def distributions(self, images: Sequence[VisualInput], backend: Backend | None = None) -> list[ScoreDistribution]:
        """The exact distribution over the scale's numerals for each photo; `backend`: one with a memory."""
        batch = [Prompt.about(image, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX) for image in images]
        return weigh_numerals(self.context, batch, prompts.DIRECT_END, backend)

    def _pattern(self, image: VisualInput) -> str:
        """Of the answers that can be read."""
        numerals = self.context.readout.numerals
        return one_of(prompts.direct_answer(numeral, subject_of(image)) for numeral in numerals)

    def _exact(self, found: ScoreDistribution, subject: prompts.Subject) -> Prediction:
        text = prompts.direct_answer(found.mode_text, subject)
        return distribution_fields(found, text, distribution=self.context.distribution)

    def stated(self, text: str, value: float | None) -> Prediction:
        """What is known of a score that an answer states, or why that is none."""
        if value is None:
            what = f"the answer holds no score: {text[-120:]!r}"
            weighs = self.context.backend.decode_mode("exact") == "exact"
            return ItemError(what, type="unparsed", remedy="use --decode exact" if weighs else None)
        low, high = self.context.readout.scale
        if not low <= value <= high:
            return ItemError(f"the answer's score is outside {low:g}-{high:g}: {text[:120]!r}", type="unparsed")
        unknown: dict[str, Any] = dict.fromkeys(("std", "interval", "mass"))
        return {"score": value, "mode": value, **unknown, "text": text}


def _number_in(text: str) -> float | None:
    match = _GREEDY_NUMBER.search(text)
    return float(match[1]) if match else None


def weigh_numerals(
    context: MethodContext, batch: Sequence[Prompt], end: str, backend: Backend | None = None
) -> list[ScoreDistribution]:
    """The distribution over the scale's numerals with which each answer goes on; `backend`: with a memory."""
    texts = context.readout.numerals
    log_probs_B_V = (backend or context.backend).log_probs(batch, texts, end)
    return [ScoreDistribution.from_log_probs(texts, log_probs_V) for log_probs_V in log_probs_B_V]
