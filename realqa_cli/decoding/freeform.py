"""Regular-form answers that a model generates freely, for backends without probabilities.

Slots that an answer lacks, or fills with a value that is not an option of the attribute, are left out.
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


def generate_forms(backend: Backend, batch: Sequence[Prompt], keys: Sequence[str], closing: str) -> list[FilledForm]:
    """Generates the answer to each prompt and parses the slots `keys` from it.

    closing: a regular expression of the text after the form, for backends with constrained decoding.
    """
    pattern = form_pattern(prompts.regular_form(keys)) + closing
    tokens = _FORM_TOKENS + _FREE_TOKENS * sum(prompts.SLOTS[key].free for key in keys)
    texts = backend.generate([replace(prompt, pattern=pattern) for prompt in batch], tokens)
    return [FilledForm(text, _slots(text, keys)) for text in texts]


def missing_slots(answer: FilledForm, keys: Sequence[str]) -> list[str]:
    """The attributes with a missing slot, in order."""
    missing = (prompts.SLOTS[key].attribute.key for key in keys if key not in answer.slots)
    return list(dict.fromkeys(missing))


def _slots(text: str, keys: Sequence[str]) -> dict[str, FilledSlot]:
    attributes = read_attributes(text)
    slots = {key: _filled(prompts.SLOTS[key], attributes) for key in keys}
    return {key: filled for key, filled in slots.items() if filled is not None}


def _filled(slot: Slot, attributes: dict[str, object]) -> FilledSlot | None:
    attribute, _, part = slot.key.partition(".")
    value = attributes.get(attribute)
    if part:
        value = value.get(part) if isinstance(value, dict) else None
    if slot.free:
        return FilledSlot(value, value, None) if isinstance(value, str) else None
    texts = [text for text, option in slot.options.items() if option == value]
    return FilledSlot(texts[0], slot.options[texts[0]], None) if texts else None
