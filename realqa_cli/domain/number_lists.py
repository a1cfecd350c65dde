"""Reads the list of numbers that an answer in prose gives, whatever stands around it.

Models write the list in brackets, as a sentence, a column, with bullets, numbers of items or units; before
it they repeat the question's list, after it they go on talking. Pure: knows no model and no metric.
"""

import re
from collections.abc import Iterator, Sequence

_NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?![\d.]*\d)"
_UNIT = r"(?:\s?(?:[a-zµ°%]{1,3}|points?|units?)(?![a-z]))?"
_ITEM = rf"[*_`\"'$\\(]{{0,4}}{_NUMBER}{_UNIT}[*_`\"'$\\)]{{0,4}}{_UNIT}"
_BETWEEN = r"\s?(?:[,;<≤>≥|&→•/、。]|<=|->|=>|\band\b|\bthen\b|\s[-–*]\s|\s)\s?(?:(?:and|then)\b\s?|[-–*•]\s)?"
_RUN = re.compile(rf"{_ITEM}(?:{_BETWEEN}{_ITEM})+", re.IGNORECASE)
_BRACKETS = re.compile(r"[\[{]([^\[\]{}]*)(?:[\]}]|$)")
_PLACEHOLDER = re.compile(r"\bnumber[\s_]*(?:\d+(?![.\d])\s*[:=]?|n\b|(?=\d))", re.IGNORECASE)
_ENUMERATOR = re.compile(r"(?m)^[ \t>]*\(?\d{1,3}(?:[.)](?=\s)|\)|:)[ \t]*")


def read_list(answer: str, asked: Sequence[float]) -> list[float] | None:
    """The numbers of the list that answers a question about the list `asked`; None where there is none.

    Of several lists it is the first that is as long as the question's, else the longest; a mere repetition of
    the question's list counts only where nothing else is there. A list has two numbers at least.
    """
    text = _PLACEHOLDER.sub(" ", answer.replace("−", "-"))
    lists = [_numbers(inner) for inner in _BRACKETS.findall(text)]
    if not any(2 * len(numbers) >= len(asked) for numbers in lists if numbers != list(asked)):
        lists += _runs(text)
    lists = [numbers for numbers in lists if len(numbers) > 1]
    own = [numbers for numbers in lists if numbers != list(asked)] or lists
    whole = (numbers for numbers in own if len(numbers) >= len(asked))
    return next(whole, max(own, key=len, default=None))


def _runs(text: str) -> Iterator[list[float]]:
    """Numbers that stand together without brackets."""
    plain = re.sub(r"[\[\]{}]", " ", _unnumbered(text))
    for run in _RUN.finditer(re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", plain))):
        yield _numbers(run[0])


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(_NUMBER, _unnumbered(text))]


def _unnumbered(text: str) -> str:
    """The text without the numbers of its items, where more than one line has one before its own number."""
    lines = [line for line in text.splitlines() if _ENUMERATOR.match(line)]
    numbered = sum(re.search(r"\d", _ENUMERATOR.sub("", line)) is not None for line in lines)
    return _ENUMERATOR.sub("", text) if numbered > 1 else text
