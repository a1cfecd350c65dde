"""Backend in the regular form as a model writes them by itself, for backends that weigh nothing.

Nothing is guessed: what an answer does not say, or says in words that are none of the attribute's, stays out.
"""

from collections.abc import Sequence
from dataclasses import replace

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.decoding.slots import FilledForm, FilledSlot
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import form_pattern
from realqa_cli.domain.parsing import read_attributes
from realqa_cli.domain.prompts import Slot

_FORM_TOKENS, _FREE_TOKENS = 256, 96


def generate_forms(backend: Backend, asks: Sequence[Prompt], keys: Sequence[str], closing: str) -> list[FilledForm]:
    """The answer to each ask, with those of the slots `keys` that it tells.

    closing: a regular expression of what follows the form in an answer, for backends that can be held to it.
    """
    pattern = form_pattern(prompts.regular_form(keys)) + closing
    tokens = _FORM_TOKENS + _FREE_TOKENS * sum(prompts.SLOTS[key].free for key in keys)
    texts = backend.generate([replace(ask, pattern=pattern) for ask in asks], tokens)
    return [FilledForm(text, _slots(text, keys)) for text in texts]


def missing_slots(answer: FilledForm, keys: Sequence[str]) -> list[str]:
    """The attributes of which a slot is missing, in order."""
    missing = (prompts.SLOTS[key].attribute.key for key in keys if key not in answer.slots)
    return list(dict.fromkeys(missing))


def _slots(text: str, keys: Sequence[str]) -> dict[str, FilledSlot]:
    told = read_attributes(text)
    found = {key: _filled(prompts.SLOTS[key], told) for key in keys}
    return {key: filled for key, filled in found.items() if filled is not None}


def _filled(slot: Slot, told: dict[str, object]) -> FilledSlot | None:
    attribute, _, part = slot.key.partition(".")
    value = told.get(attribute)
    if part:
        value = value.get(part) if isinstance(value, dict) else None
    if slot.free:
        return FilledSlot(value, value, None) if isinstance(value, str) else None
    texts = [text for text, option in slot.options.items() if option == value]
    return FilledSlot(texts[0], slot.options[texts[0]], None) if texts else None
