"""Reads answers: the score that one states, the attributes of a regular form, and a sorted list of numbers.

The inverse of `prompts`, also for texts from elsewhere: models, and the paper's release. Nothing is guessed: a
number is read where the paper's texts have it (Sec. 3.3), and a class as it is written.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.prompts import SLOTS

_NUMBER = r"(-?\d+(?:\.\d+)?)(?!\d|[.,]\d|\s*[-–]\s*\d)"  # "3,99" and "3-4" do not match
_SENTENCE = re.compile(rf"score of this (?:image|video) is\s*{_NUMBER}", re.IGNORECASE)
_BRACKETS = re.compile(r"<(?!\|)([^<>]*)>")  # but not the <|im_end|> of a chat template

_LABELS = {slot.label.casefold(): key for key, slot in SLOTS.items()} | {
    f"{ATTRIBUTES[key].title.casefold()} reason": f"{key}.reason" for key in ("composition", "eye_catching")
}
_KNOWN = "|".join(re.escape(label) for label in sorted(_LABELS, key=len, reverse=True))
_ITEM = re.compile(rf"(?:^|[\s,;.])(?:\d\.\d\.?\s*)?({_KNOWN})\s*:\s*", re.IGNORECASE)
_END = re.compile(r"[\s,;]*(?:\d\.\d\.?)?\s*$")  # the separator and the number of the next item
_FINAL = re.compile(r"(?:the\s+)?final score is\b", re.IGNORECASE)

_LIST_NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?![\d.]*\d)"
_LIST_UNIT = r"(?:\s?(?:[a-zµ°%]{1,3}|points?|units?)(?![a-z]))?"
_LIST_ITEM = rf"[*_`\"'$\\(]{{0,4}}{_LIST_NUMBER}{_LIST_UNIT}[*_`\"'$\\)]{{0,4}}{_LIST_UNIT}"
_LIST_SEPARATOR = r"\s?(?:[,;<≤>≥|&→•/、。]|<=|->|=>|\band\b|\bthen\b|\s[-–*]\s|\s)\s?(?:(?:and|then)\b\s?|[-–*•]\s)?"
_LIST_RUN = re.compile(rf"{_LIST_ITEM}(?:{_LIST_SEPARATOR}{_LIST_ITEM})+", re.IGNORECASE)
_LIST_BRACKETS = re.compile(r"[\[{]([^\[\]{}]*)(?:[\]}]|$)")
_PLACEHOLDER = re.compile(r"\bnumber[\s_]*(?:\d+(?![.\d])\s*[:=]?|n\b|(?=\d))", re.IGNORECASE)
_ENUMERATOR = re.compile(r"(?m)^[ \t>]*\(?\d{1,3}(?:[.)](?=\s)|\)|:)[ \t]*")


def predicted_score(text: object) -> float | None:
    """The number in the first <...> where there is one, else after "score of this image is"."""
    if not isinstance(text, str):
        return None
    if brackets := _BRACKETS.search(text):
        inside = re.fullmatch(rf"\s*{_NUMBER}\s*", brackets[1])
        return float(inside[1]) if inside else None
    found = _SENTENCE.search(text)
    return float(found[1]) if found else None


def labelled_score(text: object) -> float | None:
    """The number after "score of this image is"; in a chain of thought, which lacks it, the first <...>."""
    found = _SENTENCE.search(text) if isinstance(text, str) else None
    return float(found[1]) if found else predicted_score(text)


def read_attributes(text: object) -> dict[str, Any]:
    """The attributes of an answer in the regular form, as label records have them; {} for any other text.

    A class or rating that the attribute does not have is kept as the text.
    """
    if not isinstance(text, str):
        return {}
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
            found.setdefault(key, {})[part] = int(value) if part == "score" and value.isdecimal() else value
    return found


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
    text = _PLACEHOLDER.sub(" ", answer.replace("−", "-"))
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
