"""The regular form of attributes for one model: which slots it was trained to fill, and what they contain."""

import logging
from collections.abc import Mapping
from typing import Any

from realqa_cli.decoding.slots import FilledSlot
from realqa_cli.domain import prompts
from realqa_cli.errors import UsageError
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")


def form_of(scorer: ScorerConfig | None, *, reasons: bool) -> tuple[str, ...]:
    """The slots that the model was trained to fill, in its order; without `reasons` those with options.

    A model that does not say so is asked for everything with options, with a warning. Raises
    UsageError for reasons where the model was not trained to give any.
    """
    trained = scorer.form if scorer is not None else None
    if trained is None:
        log.warning("the model does not say that it was trained on attributes: its labels may be guesses")
        trained = prompts.arrange(prompts.SLOTS)
    elif reasons and not any(prompts.SLOTS[key].free for key in trained):
        raise UsageError(
            "the model was trained without reasons",
            where="--reasons",
            remedy="leave it out or use another model",
        )
    return tuple(key for key in trained if reasons or not prompts.SLOTS[key].free)


def attributes_of(slots: Mapping[str, FilledSlot]) -> dict[str, Any]:
    """The record's `attributes` from filled slots: parts of one attribute are put together."""
    found: dict[str, Any] = {}
    for key, filled in slots.items():
        attribute, _, part = key.partition(".")
        if part:
            found.setdefault(attribute, {})[part] = filled.value
        else:
            found[attribute] = filled.value
    return found


def confidence_of(slots: Mapping[str, FilledSlot]) -> dict[str, float]:
    """How sure the model is of each attribute that was chosen among options, 0 to 1."""
    return {
        prompts.SLOTS[key].attribute.key: filled.confidence
        for key, filled in slots.items()
        if filled.confidence is not None
    }
