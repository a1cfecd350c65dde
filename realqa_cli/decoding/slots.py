"""Backend that cannot be malformed: fixed text is forced, and slots are filled among their options.

A regular-form answer is fixed texts and slots in turn (prompts.py). The fixed texts are forced into
the answer; each slot with options gets the option that the model finds most probable, by the exact,
length-complete probability of the whole option; only free text (reasons) is ever generated.

Knows backends and prompts; knows nothing of files, tensors or tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.domain.prompts import Slot

_FREE_TOKENS = 96


@dataclass(frozen=True)
class FilledSlot:
    """What stands in a slot.

    text: as written.  value: what it stands for in a record.  confidence: the option's probability
    among all options of the slot, 0 to 1; None for free text.
    """

    text: str
    value: str | int
    confidence: float | None


@dataclass(frozen=True)
class FilledForm:
    """An answer: its whole text, and what stands in its slots, by slot key in order."""

    text: str
    slots: dict[str, FilledSlot]


def fill_form(backend: Backend, asks: Sequence[Prompt], form: Sequence[str | Slot], closing: str) -> list[FilledForm]:
    """Fills the form for every ask; the asks' own prefixes stand before it.

    `closing` is what follows the form in an answer; it bounds the last slot and is not part of the text.
    """
    answers = [FilledForm("", {}) for _ in asks]
    for place, part in enumerate(form):
        if isinstance(part, str):
            answers = [replace(answer, text=answer.text + part) for answer in answers]
            continue
        following = form[place + 1] if place + 1 < len(form) else closing
        end = following if isinstance(following, str) else closing
        begun = [replace(ask, prefix=ask.prefix + answer.text) for ask, answer in zip(asks, answers, strict=True)]
        # An option ends where the first character of what follows stands: the rest is forced anyway.
        filled = _write(backend, begun, end) if part.free else _choose(backend, begun, part, end[:1])
        answers = [
            FilledForm(answer.text + found.text, answer.slots | {part.key: found})
            for answer, found in zip(answers, filled, strict=True)
        ]
    return answers


def _choose(backend: Backend, asks: Sequence[Prompt], slot: Slot, end: str) -> list[FilledSlot]:
    texts = list(slot.options)
    log_probs_B_V = backend.log_probs(asks, texts, end)
    if np.isnan(log_probs_B_V).any():
        raise ValueError("the model gave no probabilities (NaN)")
    filled = []
    for log_probs_V in log_probs_B_V:
        best = int(np.argmax(log_probs_V))
        weights_V = np.exp(log_probs_V - log_probs_V[best])
        filled.append(FilledSlot(texts[best], slot.options[texts[best]], float(1 / weights_V.sum())))
    return filled


def _write(backend: Backend, asks: Sequence[Prompt], end: str) -> list[FilledSlot]:
    """Free text up to what follows it in the form, on one line."""
    found = []
    for ask, answer in zip(asks, backend.generate(asks, _FREE_TOKENS, stop=end), strict=True):
        text = " ".join(answer.removeprefix(ask.prefix).partition(end)[0].split())
        found.append(FilledSlot(text, text, None))
    return found
