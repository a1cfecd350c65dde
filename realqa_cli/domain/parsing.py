"""Reads answers: the score that one states, the attributes of a regular form, and a sorted list of numbers.

The inverse of `prompts`, also for texts from elsewhere: models, and the paper's release. Nothing is guessed: a
number is read where the paper's texts have it (Sec. 3.3), and a class as it is written.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS
from realqa_cli.domain.prompts import SLOTS

_DIGITS = r"\d{1,300}"  # of more digits the value would be infinite
_NUMBER = rf"(-?{_DIGITS}(?:\.\d+|,\d{{1,2}}(?!\d))?)(?!\d|[.,]\d|\s*[-–]\s*\d)"  # "3-4" and "3,987" do not match
_OUT_OF = rf"(?:\s*[*_`]{{0,3}}\s*(?:/|out of)\s*({_DIGITS}(?:\.\d+)?))?"
_SENTENCE = re.compile(rf"score of this (?:image|video) is\s*[*_`<]{{0,3}}\s*{_NUMBER}{_OUT_OF}", re.IGNORECASE)
_FINAL_SENTENCE = re.compile(rf"final score is\s*[*_`<]{{0,3}}\s*{_NUMBER}{_OUT_OF}", re.IGNORECASE)
_BRACKETS = re.compile(rf"<\s*{_NUMBER}\s*>{_OUT_OF}")

_THOUGHT_NAMES = r"(?:think|thinking|thought|reasoning)"
_THOUGHT = re.compile(rf"<{_THOUGHT_NAMES}>.*?</{_THOUGHT_NAMES}>|\[THINK\].*?\[/THINK\]", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(rf"</{_THOUGHT_NAMES}>|\[/THINK\]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_THOUGHT_START = re.compile(rf"<{_THOUGHT_NAMES}>|\[THINK\]", re.IGNORECASE)

_LABELS = {slot.label.casefold(): key for key, slot in SLOTS.items()} | {
    f"{ATTRIBUTES[key].title.casefold()} reason": f"{key}.reason" for key in ("composition", "eye_catching")
}
_KNOWN = "|".join(re.escape(label) for label in sorted(_LABELS, key=len, reverse=True))
_ITEM = re.compile(rf"(?:^|[\s,;.])(?:\d\.\d\.?\s*)?({_KNOWN})\s*:\s*", re.IGNORECASE)
_END = re.compile(r"[\s,;]*(?:\d\.\d\.?)?\s*$")  # the separator and the number of the next item
_WHOLE = re.compile(r"\d{1,18}")
_FINAL = re.compile(r"(?:the\s+)?final score is\b", re.IGNORECASE)

_LIST_NUMBER = rf"(?<![\w.])-?{_DIGITS}(?:\.\d+)?(?![\d.]*\d)"
_LIST_UNIT = r"(?:\s?(?:[a-zµ°%]{1,3}|points?|units?)(?![a-z]))?"
_LIST_ITEM = rf"[*_`\"'$\\(]{{0,4}}{_LIST_NUMBER}{_LIST_UNIT}[*_`\"'$\\)]{{0,4}}{_LIST_UNIT}"
_LIST_SEPARATOR = r"\s?(?:[,;<≤>≥|&→•/、。]|<=|->|=>|\band\b|\bthen\b|\s[-–*]\s|\s)\s?(?:(?:and|then)\b\s?|[-–*•]\s)?"
_LIST_RUN = re.compile(rf"{_LIST_ITEM}(?:{_LIST_SEPARATOR}{_LIST_ITEM})+", re.IGNORECASE)
_LIST_BRACKETS = re.compile(r"[\[{]([^\[\]{}]*)(?:[\]}]|$)")
_PLACEHOLDER = re.compile(r"\bnumber[\s_]*(?:\d+(?![.\d])\s*[:=]?|n\b|(?=\d))", re.IGNORECASE)
_ENUMERATOR = re.compile(r"(?m)^[ \t>]*\(?\d{1,3}(?:[.)](?=\s)|\)|:)[ \t]*")


class StatedScore(NamedTuple):
    """A score that an answer states, and the highest score if it says so ("8.5 out of 10")."""

    value: float
    out_of: float | None = None


def without_thoughts(text: str) -> str:
    """The answer without the thoughts of a reasoning model.

    Thoughts end at `</think>` (or the tag of another family) even if the answer does not contain the opening
    tag, because some chat templates write it as part of the prompt. Thoughts that do not end were cut off, and
    no answer follows them.
    """
    text = _THOUGHT_END.split(_THOUGHT.sub("", text))[-1]
    return _THOUGHT_START.split(text)[0].strip()


def stated_score(text: object) -> StatedScore | None:
    """The score that a model's answer states: in <...>, else as the final score, else as the score of the image.

    Thoughts do not count. The last of several equal statements counts; None if there is no statement, or if
    two statements of the same kind disagree. Decimal commas are read: "4,20" is 4.2.
    """
    if not isinstance(text, str):
        return None
    return _agreed(without_thoughts(text), _BRACKETS, _FINAL_SENTENCE, _SENTENCE)


def predicted_score(text: object) -> float | None:
    """The value of `stated_score`."""
    score = stated_score(text)
    return None if score is None else score.value


def number_after(text: str, tag: str) -> float | None:
    """The first number after the last occurrence of `tag`; None if there is none."""
    span = number_span(text, tag)
    number = math.inf if span is None else float(text[slice(*span)])
    return number if math.isfinite(number) else None


def number_span(text: str, tag: str) -> tuple[int, int] | None:
    """The start and end of the first number after the last occurrence of `tag`."""
    place = text.rfind(tag)
    found = re.compile(r"\d+(?:\.\d+)?").search(text, place + len(tag)) if place >= 0 else None
    return None if found is None else found.span()


def labelled_score(text: object) -> float | None:
    """The number after "score of this image is", else the other statements of `stated_score`."""
    if not isinstance(text, str):
        return None
    score = _agreed(without_thoughts(text), _SENTENCE, _BRACKETS, _FINAL_SENTENCE)
    return None if score is None else score.value


def _agreed(text: str, *kinds: re.Pattern[str]) -> StatedScore | None:
    """The last statement of the first kind that occurs; None if two statements of this kind disagree."""
    for kind in kinds:
        matches = kind.finditer(text)
        found = [StatedScore(_number(m[1]), _number(m[2]) if m[2] else None) for m in matches]
        if found:
            return found[-1] if len({score.value for score in found}) == 1 else None
    return None


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def read_attributes(text: object) -> dict[str, Any]:
    """The attributes of an answer in the regular form, as label records have them; {} for any other text.

    A class or rating that the attribute does not have is kept as the text.
    """
    if not isinstance(text, str):
        return {}
    text = without_thoughts(text)
    final = _FINAL.search(text)
    form = text[: final.start()] if final else text.partition("<|")[0]
    items = list(_ITEM.finditer(form))
    ends = [*(item.start() for item in items), len(form)][1:]
    found: dict[str, Any] = {}
    for item, end in zip(items, ends, strict=True):
        key, _, part = _LABELS[item[1].casefold()].partition(".")
        value = _END.sub("", form[item.end() : end]).rstrip(" .")
        if not value:
            continue
        if not part:
            found[key] = _known_class(key, value)
        else:
            found.setdefault(key, {})[part] = int(value) if part == "score" and _WHOLE.fullmatch(value) else value
    return found


MIX_TOPIC = "mix"
"""The topic of an answer about attributes of several levels."""


def topic_of(attributes: Iterable[str]) -> str | None:
    """What a stage-1 answer with these attributes is about: an attribute, a level, or "mix"; None without attributes.

    "high", "middle" and "low" are the levels.
    """
    keys = [*attributes]
    levels = {ATTRIBUTES[key].level for key in keys}
    if len(keys) < 2:
        return keys[0] if keys else None
    return levels.pop() if len(levels) == 1 else MIX_TOPIC


def granularity_of(topic: str | None) -> str:
    """The granularity (paper Sec. 3.3) of a topic: "levels", "mix", or else "attributes"."""
    return "levels" if topic in LEVELS else MIX_TOPIC if topic == MIX_TOPIC else "attributes"


def _known_class(key: str, value: str) -> str:
    try:
        return ATTRIBUTES[key].normalise(value)
    except ValueError:
        return value


def read_list(answer: str, given: Sequence[float]) -> list[float] | None:
    """The numbers of the list in an answer to a question about the list `given`; None without a list.

    Models write the list in brackets, as a sentence, as a column, or with bullets, item numbers or units; they
    repeat the question's list before it and go on writing after it. Of several lists the first one that is as
    long as the question's counts, else the longest; a mere repetition of the question's list counts only where
    there is no other. A list has at least two numbers.
    """
    text = _PLACEHOLDER.sub(" ", without_thoughts(answer).replace("−", "-"))
    lists = [_list_numbers(inner) for inner in _LIST_BRACKETS.findall(text)]
    if not any(2 * len(numbers) >= len(given) for numbers in lists if numbers != list(given)):
        lists += _list_runs(text)
    lists = [numbers for numbers in lists if len(numbers) > 1]
    others = [numbers for numbers in lists if numbers != list(given)] or lists
    whole = (numbers for numbers in others if len(numbers) >= len(given))
    return next(whole, max(others, key=len, default=None))


def _list_runs(text: str) -> Iterator[list[float]]:
    """Sequences of numbers without brackets."""
    plain = re.sub(r"[\[\]{}]", " ", _without_enumerators(text))
    for run in _LIST_RUN.finditer(re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", plain))):
        yield _list_numbers(run[0])


def _list_numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(_LIST_NUMBER, _without_enumerators(text))]


def _without_enumerators(text: str) -> str:
    """The text without its item numbers, where more than one line has an item number before its own number."""
    lines = [line for line in text.splitlines() if _ENUMERATOR.match(line)]
    numbered = sum(re.search(r"\d", _ENUMERATOR.sub("", line)) is not None for line in lines)
    return _ENUMERATOR.sub("", text) if numbered > 1 else text
