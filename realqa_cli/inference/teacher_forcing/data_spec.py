"""The settings of a scorer that its conversations determine: scale, digits, and the form of its chain of thought.

They are inferred once before training, checked against every answer, and written to `realqa.json`.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.parsing import MIX_TOPIC, read_attributes, topic_of
from realqa_cli.domain.scales import PAPER_SCALE, Scale
from realqa_cli.domain.score_target import numeral_of
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.attribute_questions import attribute_questions, slots_described
from realqa_cli.inference.teacher_forcing.conversations import COT_FORMATS, SCORE_FORMATS, Conversation
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")

_Value = TypeVar("_Value", bound=Hashable)


@dataclass(frozen=True)
class DataSpec:
    """scale, digits: of the scores.  form: slot keys of the regular form, or None.

    formats: number of conversations by format.  questions: about attributes, by topic (`parsing.topic_of`).
    """

    scale: Scale
    digits: int
    form: tuple[str, ...] | None
    formats: dict[str, int]
    questions: dict[str, str] = field(default_factory=dict)

    @property
    def has_cot(self) -> bool:
        """Whether there are chains of thought, which need more epochs."""
        return bool(COT_FORMATS & self.formats.keys())

    @property
    def has_scores(self) -> bool:
        """Whether any answer states a score; otherwise the answers describe attributes only."""
        return bool(SCORE_FORMATS & self.formats.keys())


def infer_data_spec(
    conversations: Sequence[Conversation],
    base: ScorerConfig | None,
    scale: tuple[float, float] | None,
    digits: int | None,
) -> DataSpec:
    """Infer the spec. `scale` and `digits` are the options; what the answers say overrides the base model's config.

    Raises UsageError if answers disagree with each other, with the options, or with a scale that the digits can
    write.
    """
    config = base or ScorerConfig()
    digits = digits or _only_value(conversations, "numbers of digits", _digits) or config.digits
    stated = _only_value(conversations, "scales", lambda conversation: conversation.scale)
    if scale and stated and Scale.of(scale) != stated:
        raise UsageError(f"the conversations were built for {stated}", where="--scale", remedy="leave it out")
    native = stated or _only_value(conversations, "scales", _native_scale)
    chosen = Scale.of(scale or native or (base.scale if base else PAPER_SCALE))
    try:
        known = set(numerals(digits, *chosen))
    except ValueError as error:
        raise UsageError(
            str(error), where="--scale/--digits", remedy="use a scale within 0-10 and 1 to 3 digits"
        ) from error
    for conversation in conversations:
        if conversation.stated is not None and conversation.stated not in known:
            raise _wrong_numeral(conversation, conversation.stated, chosen, digits)
        if not (scale or stated):
            _check_label(conversation, chosen, digits)
    _report_difference(base, chosen, digits)
    form = _form(conversations) or slots_described(conversations) or config.form
    questions = attribute_questions(conversations) or config.questions or {}
    return DataSpec(chosen, digits, form, count_formats(conversations), questions)


def count_formats(conversations: Sequence[Conversation]) -> dict[str, int]:
    """The number of conversations by format, in alphabetical order."""
    return dict(sorted(Counter(map(_format, conversations)).items()))


def _report_difference(base: ScorerConfig | None, scale: Scale, digits: int) -> None:
    """Log one line if the conversations change the scale or the digits of the starting model."""
    if base is not None and base.objective == "ntp" and (tuple(base.scale), base.digits) != (tuple(scale), digits):
        log.warning(
            "the conversations state scores on %s with %d digits, the starting model on %s with %d: training changes"
            " the model's scale (realqa build-cot --for MODEL keeps it)",
            *(scale, digits, base.scale, base.digits),
        )


def _only_value(
    conversations: Sequence[Conversation], what: str, read: Callable[[Conversation], _Value | None]
) -> _Value | None:
    """The one value that `read` returns for the conversations, None for none. Raises UsageError for two."""
    values: dict[_Value, Conversation] = {}
    for conversation in conversations:
        if (value := read(conversation)) is not None:
            values.setdefault(value, conversation)
    if len(values) > 1:
        first, second, *_ = values.items()
        raise UsageError(
            f"the answers have different {what}: {first[0]} in {first[1].where}, {second[0]} here",
            where=second[1].where,
            remedy="build all conversations with the same --scale and --digits",
        )
    return next(iter(values), None)


def _digits(conversation: Conversation) -> int | None:
    return len(conversation.stated.replace(".", "")) if conversation.stated else None


def _native_scale(conversation: Conversation) -> Scale | None:
    """The scale that `build-cot` uses without `--scale`."""
    if conversation.stated is None or conversation.mos_range is None:
        return None
    return Scale.native_for(conversation.mos_range)


def _wrong_numeral(conversation: Conversation, text: str, scale: Scale, digits: int) -> UsageError:
    if _digits(conversation) != digits:
        what = f"the answer's number {text} does not have {plural(digits, 'digit')}"
    else:
        what = f"the answer's number {text} is outside the scale {scale}"
    remedy = "give the right --scale and --digits, or build the conversations with them"
    return UsageError(what, where=conversation.where, remedy=remedy)


def _check_label(conversation: Conversation, scale: Scale, digits: int) -> None:
    """Raises UsageError if the written number is not the line's MOS on `scale`, which no line and option states."""
    if conversation.stated is None or conversation.mos is None or conversation.mos_range is None:
        return
    expected = numeral_of(conversation.mos, conversation.mos_range, scale, digits)
    if abs(float(expected) - float(conversation.stated)) > 1.01 * 10.0 ** (1 - digits):
        raise UsageError(
            f"the answer's number {conversation.stated} is not the MOS {conversation.mos:g} of"
            f" {conversation.mos_range} on the scale {scale}, which would be {expected}",
            where=conversation.where,
            remedy="state the scale of the written numbers by --scale",
        )


def _format(conversation: Conversation) -> str:
    return conversation.format or ("direct" if conversation.numeral else "other")


def _form(conversations: Sequence[Conversation]) -> tuple[str, ...] | None:
    """The most frequent regular form of the chains of thought, or else of the whole descriptions."""
    for name in ("cot-regular", MIX_TOPIC):
        answers = [c.turns[-1][1] for c in conversations if _kind(c) == name]
        forms = Counter(tuple(prompts.read_form(answer)[0]) for answer in answers)
        forms.pop((), None)
        if forms:
            return forms.most_common(1)[0][0]
    return None


def _kind(conversation: Conversation) -> str | None:
    """The format, or for a conversation of other origin the topic of its answer."""
    if conversation.format is not None or conversation.stated is not None:
        return conversation.format
    return topic_of(read_attributes(conversation.turns[-1][1]))
