"""The regular form of attributes of one model: the slots that it was trained to fill, and their values."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realqa_cli.decoding.slots import FilledSlot
from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, Attribute
from realqa_cli.domain.parsing import MIX_TOPIC
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


@dataclass(frozen=True)
class AttributeQuestion:
    """A question about attributes.  keys: the slots of its answer.  numbered: whether their labels have numbers."""

    text: str
    keys: tuple[str, ...]
    numbered: bool = True

    @property
    def form(self) -> list[str | prompts.Slot]:
        """The answer's fixed texts and slots."""
        return prompts.regular_form(self.keys, numbered=self.numbered)


def questions_of(config: ScorerConfig | None, form: Sequence[str]) -> list[AttributeQuestion]:
    """The questions that fill the slots of `form`, as the model met them in training: one about all attributes, or
    one for each level or attribute. Without this information it is `MIX_QUESTION`."""
    known = (config.questions if config is not None else None) or {}
    by_level: list[tuple[str, bool]] = [(level, False) for level in LEVELS if level in known]
    by_attribute = [(key, True) for key in ATTRIBUTES if key in known]
    topics: list[tuple[str, bool]] = []
    if MIX_TOPIC not in known:
        topics = max(by_level, by_attribute, key=lambda part: _covered(part, form))
    found = []
    for topic, single in topics:
        keys = tuple(key for key in form if topic in (_attribute(key).key, _attribute(key).level))
        if keys:
            found.append(AttributeQuestion(known[topic], keys, numbered=not single))
    if {key for one in found for key in one.keys} == {*form}:
        return found
    return [AttributeQuestion(known.get(MIX_TOPIC, prompts.MIX_QUESTION), tuple(form))]


def _covered(topics: Sequence[tuple[str, bool]], form: Sequence[str]) -> int:
    """The number of slots that questions about the topics fill."""
    names = {topic for topic, _ in topics}
    return sum(_attribute(key).key in names or _attribute(key).level in names for key in form)


def _attribute(key: str) -> Attribute:
    return prompts.SLOTS[key].attribute


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
