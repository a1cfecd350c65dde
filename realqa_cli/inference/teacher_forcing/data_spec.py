"""What conversations teach about how a model is to be asked: scale, digits, the form of its chain of thought.

Settled once before training, checked against every answer, and written to `realqa.json`. Knows conversations
and what a base model says of itself; knows no model.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.scales import PAPER_SCALE, Scale
from realqa_cli.domain.score_target import numeral_of
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.conversations import COT_FORMATS, SCORE_FORMATS, Conversation
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")

DEFAULT = ScorerConfig()
_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True)
class DataSpec:
    """scale, digits: of the scores.  form: slot keys of the regular form, or None.

    formats: how many conversations there are of each.
    """

    scale: Scale
    digits: int
    form: tuple[str, ...] | None
    formats: dict[str, int]

    @property
    def cot(self) -> bool:
        """Whether there are chains of thought: then it takes more epochs to learn them."""
        return bool(COT_FORMATS & self.formats.keys())

    @property
    def scores(self) -> bool:
        """Whether scores are taught at all, rather than attributes alone."""
        return bool(SCORE_FORMATS & self.formats.keys())


def infer_data_spec(
    conversations: Sequence[Conversation],
    base: ScorerConfig | None,
    scale: tuple[float, float] | None,
    digits: int | None,
) -> DataSpec:
    """What they teach. `scale` and `digits` are the options; what the answers say wins over the base model.

    Raises UsageError where answers disagree with each other, the options, or a scale that digits can write.
    """
    told = base or DEFAULT
    digits = digits or _one_of(conversations, "numbers of digits", _digits) or told.digits
    stated = _one_of(conversations, "scales", lambda c: c.scale)
    if scale and stated and scale != stated:
        raise UsageError(f"the conversations were built for {stated}", where="--scale", remedy="leave it out")
    assumed = not (scale or stated)
    known_scale = stated or _one_of(conversations, "scales", _native) or (base.scale if base else PAPER_SCALE)
    scale = Scale.of(scale or known_scale)
    try:
        known = set(numerals(digits, *scale))
    except ValueError as error:
        raise UsageError(
            str(error), where="--scale/--digits", remedy="use a scale within 0-10 and 1 to 3 digits"
        ) from error
    for conversation in conversations:
        if conversation.stated is not None and conversation.stated not in known:
            _refuse(conversation, conversation.stated, scale, digits)
        if assumed:
            _check_label(conversation, scale, digits)
    _report_difference(base, scale, digits)
    formats = Counter(_format(conversation) for conversation in conversations)
    return DataSpec(scale, digits, _form(conversations) or told.form, dict(sorted(formats.items())))


def _report_difference(base: ScorerConfig | None, scale: Scale, digits: int) -> None:
    """Logs one line where the conversations would change the scale or digits of the starting model."""
    if base is not None and base.objective == "ntp" and (tuple(base.scale), base.digits) != (tuple(scale), digits):
        log.warning(
            "the conversations state scores on %s with %d digits, the starting model on %s with %d: training changes"
            " the model's scale (realqa build-cot --for MODEL keeps it)",
            *(scale, digits, base.scale, base.digits),
        )


def _one_of(conversations: Sequence[Conversation], what: str, ask: Callable[[Conversation], _T | None]) -> _T | None:
    """What `ask` finds in them, None where it finds nothing. Raises UsageError where it finds two things."""
    found: dict[_T, Conversation] = {}
    for conversation in conversations:
        if (value := ask(conversation)) is not None:
            found.setdefault(value, conversation)
    if len(found) > 1:
        first, second, *_ = found.items()
        raise UsageError(
            f"the answers have different {what}: {first[0]} in {first[1].where}, {second[0]} here",
            where=second[1].where,
            remedy="build all conversations with the same --scale and --digits",
        )
    return next(iter(found), None)


def _digits(conversation: Conversation) -> int | None:
    return len(conversation.stated.replace(".", "")) if conversation.stated else None


def _native(conversation: Conversation) -> Scale | None:
    """The scale that `build-cot` takes where it is not told one."""
    if conversation.stated is None or conversation.mos_range is None:
        return None
    return Scale.native_for(conversation.mos_range)


def _refuse(conversation: Conversation, text: str, scale: Scale, digits: int) -> None:
    if _digits(conversation) != digits:
        what = f"the answer's number {text} does not have {digits} digit{'s' * (digits > 1)}"
    else:
        what = f"the answer's number {text} is outside the scale {scale}"
    raise UsageError(
        what,
        where=conversation.where,
        remedy="give the right --scale and --digits, or build the conversations with them",
    )


def _check_label(conversation: Conversation, scale: Scale, digits: int) -> None:
    """Raises UsageError where the written number is not the line's MOS on `scale`, which nothing states."""
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
    """The regular form that most answers have; of chains of thought, or else of whole descriptions."""
    for name in ("cot-regular", "mix"):
        answers = [c.turns[-1][1] for c in conversations if c.format == name]
        forms = Counter(tuple(prompts.read_form(answer)[0]) for answer in answers)
        if forms.pop((), None) is not None and not forms:
            continue
        if forms:
            return forms.most_common(1)[0][0]
    return None
