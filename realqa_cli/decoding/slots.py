"""Form filling: the fixed text of an answer is forced, and each slot gets its most probable option.

A regular-form answer alternates fixed texts and slots (domain/prompts). The fixed texts are forced; each slot with
options gets the option with the highest exact probability of the complete option; only free text (reasons) is
generated. Such an answer is always well-formed. A rating (1 to 10) without a majority option is the median of
its distribution, because the mode of a flat distribution is arbitrary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.domain.prompts import Slot

_FREE_TOKENS = 96


@dataclass(frozen=True)
class FilledSlot:
    """The content of a slot.

    text: as written in the answer.  value: its value in a record.  confidence: the probability of the option
    among all options of the slot, 0 to 1; None for free text.
    """

    text: str
    value: str | int
    confidence: float | None


@dataclass(frozen=True)
class FilledForm:
    """An answer: its complete text, and its slots by key, in order."""

    text: str
    slots: dict[str, FilledSlot]


def fill_form(backend: Backend, batch: Sequence[Prompt], form: Sequence[str | Slot], closing: str) -> list[FilledForm]:
    """Fills the form after the prefix of every prompt.

    closing: the text after the form in an answer; it ends the last slot and is not part of the result.
    """
    answers = [FilledForm("", {}) for _ in batch]
    for place, part in enumerate(form):
        if isinstance(part, str):
            answers = [replace(answer, text=answer.text + part) for answer in answers]
            continue
        following = form[place + 1] if place + 1 < len(form) else closing
        end = following if isinstance(following, str) else closing
        begun = [
            replace(prompt, prefix=prompt.prefix + answer.text) for prompt, answer in zip(batch, answers, strict=True)
        ]
        # The first character after an option is enough to complete it: the rest is forced anyway.
        filled = _write(backend, begun, end) if part.free else _choose(backend, begun, part, end[:1])
        answers = [
            FilledForm(answer.text + slot.text, answer.slots | {part.key: slot})
            for answer, slot in zip(answers, filled, strict=True)
        ]
    return answers


def _choose(backend: Backend, batch: Sequence[Prompt], slot: Slot, end: str) -> list[FilledSlot]:
    texts = list(slot.options)
    log_probs_B_V = backend.log_probs(batch, texts, end)
    if np.isnan(log_probs_B_V).any():
        raise ValueError("the model output is NaN")
    filled = []
    for log_probs_V in log_probs_B_V:
        probs_V = np.exp(log_probs_V - log_probs_V.max())
        probs_V /= probs_V.sum()
        best = int(np.argmax(probs_V))
        if slot.attribute.kind == "rating" and probs_V[best] < 0.5:  # no rating has a majority: the median
            best = int(np.searchsorted(np.cumsum(probs_V), 0.5))
        filled.append(FilledSlot(texts[best], slot.options[texts[best]], float(probs_V[best])))
    return filled


def _write(backend: Backend, batch: Sequence[Prompt], end: str) -> list[FilledSlot]:
    """Generates free text up to the text after it in the form, on one line."""
    filled = []
    for prompt, answer in zip(batch, backend.generate(batch, _FREE_TOKENS, stop=end), strict=True):
        text = " ".join(answer.removeprefix(prompt.prefix).partition(end)[0].split())
        filled.append(FilledSlot(text, text, None))
    return filled
