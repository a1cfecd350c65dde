"""The regular form of attributes of one model: the slots that it was trained to fill, and their values."""

import logging
from collections.abc import Mapping
from typing import Any

from realqa_cli.decoding.slots import FilledSlot
from realqa_cli.domain import prompts
from realqa_cli.errors import UsageError
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")


def form_of(config: ScorerConfig | None, *, reasons: bool) -> tuple[str, ...]:
    """The slots that the model was trained to fill, in its order; without `reasons` only those with options.

    For a model without this information, all slots with options, with a warning. Raises UsageError for
    reasons if the model was trained without them.
    """
    trained = config.form if config is not None else None
    if trained is None:
        log.warning(
            "the model has no realqa.json with a form: if it was not trained on attributes, its labels are guesses"
        )
        trained = prompts.arrange(prompts.SLOTS)
    elif reasons and not any(prompts.SLOTS[key].free for key in trained):
        raise UsageError(
            "the model was trained without reasons",
            where="--reasons",
            remedy="leave it out or use another model",
        )
    return tuple(key for key in trained if reasons or not prompts.SLOTS[key].free)


def attributes_of(slots: Mapping[str, FilledSlot]) -> dict[str, Any]:
    """The `attributes` field of a record: the parts of an attribute are joined."""
    found: dict[str, Any] = {}
    for key, filled in slots.items():
        attribute, _, part = key.partition(".")
        if part:
            found.setdefault(attribute, {})[part] = filled.value
        else:
            found[attribute] = filled.value
    return found


def confidence_of(slots: Mapping[str, FilledSlot]) -> dict[str, float]:
    """The probability, 0 to 1, of the chosen option of each attribute that has options."""
    return {
        prompts.SLOTS[key].attribute.key: filled.confidence
        for key, filled in slots.items()
        if filled.confidence is not None
    }
