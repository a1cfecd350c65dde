"""Attribute flips: how the score would change if the chain of thought gave another answer for one attribute.

The regular form is filled as by `realqa score --method cot`. Then the answer of one attribute is exchanged for each
of its other options, all others stay, and the exact distribution of the score after this text is computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL.Image import Image

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.decoding.attribute_form import attributes_of
from realqa_cli.decoding.slots import FilledForm, FilledSlot, fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.prompts import Slot

_CLOSING = prompts.REGULAR_JOINT + prompts.FINAL_PREFIX


@dataclass(frozen=True)
class Flip:
    """answer: what the model answered.  exchanged: the option in its place.  score: the expected score then.

    change: by how much that is more than with the answer.
    """

    attribute: str
    answer: str | int
    exchanged: str | int
    score: float
    change: float


@dataclass(frozen=True)
class FlippedForm:
    """score: after the chain of thought as it is.  attributes: its answers.  flips: the largest change first."""

    score: float
    attributes: Mapping[str, Any]
    flips: Sequence[Flip]


def flip_attributes(
    backend: Backend, photo: Image, slots: Sequence[str], numerals: Sequence[str], unknown: Sequence[str]
) -> FlippedForm:
    """Exchanges each answer with options, except those of the attributes in `unknown`.

    slots: of the form that the model was trained to fill.  numerals: all scores.
    """
    cached = backend.prefix_cache()  # all prompts are about one photo
    form = prompts.regular_form(slots)
    prompt = Prompt.about(photo, prompts.COT_REGULAR_QUESTION)
    (answer,) = fill_form(cached, [prompt], form, _CLOSING)

    def score_after(filled: Mapping[str, FilledSlot]) -> float:
        text = "".join(part if isinstance(part, str) else filled[part.key].text for part in form)
        (row,) = cached.log_probs([replace(prompt, prefix=text + _CLOSING)], numerals, prompts.FINAL_END)
        return ScoreDistribution.from_log_probs(numerals, row).mean

    before = score_after(answer.slots)
    flips = []
    for slot, option in _exchanges(form, answer, unknown):
        score = score_after({**answer.slots, slot.key: option})
        own = answer.slots[slot.key].value
        flips.append(Flip(slot.attribute.key, own, option.value, score, score - before))
    flips.sort(key=lambda flip: -abs(flip.change))
    return FlippedForm(before, attributes_of(answer.slots), flips)


def _exchanges(
    form: Sequence[str | Slot], answer: FilledForm, unknown: Sequence[str]
) -> Iterator[tuple[Slot, FilledSlot]]:
    """Each slot with each of its options other than the answer."""
    for part in form:
        if isinstance(part, str) or part.free or part.attribute.key in unknown:
            continue
        for text, value in part.options.items():
            if text != answer.slots[part.key].text:
                yield part, FilledSlot(text, value, None)
