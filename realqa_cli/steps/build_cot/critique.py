"""R2: a chain of thought in natural language, composed from an image's attributes and its score.

Paper Sec. 3.3, format Q2-R2. The levels follow the given order; within a level the attributes come in a random
order, each in one of about ten clauses with varying joints and openings, so that a model does not learn a template.
The choice depends on the content and a seed only: the same record always gives the same text.

Pure: takes the texts of the slots (`prompts.SLOTS`); no record, no file. `phrasing` holds the wording.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, exposure_quality
from realqa_cli.domain.prompts import Order, Subject
from realqa_cli.steps.build_cot import phrasing

_BARE = ("the ", "its ", "a ", "an ", "this ")  # a clause that starts with one of these can follow an opening
_DETERMINED = re.compile(
    r"(?:an?|the|two|three|four|five|six|several|some|many|various|people|his|her|their|its|this|that)\s",
    re.I,
)
_LOWERED = re.compile(r"(?:The|An?|It|Its|This|That|There|These|Those|Some|No|In|With|While|Although|Both)\b")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|does|lacks?|makes?|creates?|gives?|draws?|leads?|adds?|stands?|looks?"
    r"|appears?|feels?|shows?|keeps?|guides?|fills?|distracts?|competes?|catches|holds?)\b"
)
_RELATIVE = re.compile(r"\b(?:that|which|who|whose|because)\b")  # the verb may then belong to a subordinate clause


_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OUT_OF_TEN = re.compile(r"\d\s*(?:/|out of)\s*10\b")


@dataclass(frozen=True)
class _Clause:
    """A clause without its full stop; `merit` is 1 for a strong point, -1 for a flaw, 0 for neither."""

    text: str
    merit: int = 0

    @property
    def simple(self) -> bool:
        """Whether it can be joined to another clause."""
        return not re.search(r"[,:;.\"()]", self.text)


def compose(
    texts: Mapping[str, str],
    numeral: str,
    *,
    order: Order = "high-first",
    subject: Subject = "image",
    seed: str = "",
) -> str:
    """The paragraph for the slots' `texts` (by key, as `prompts.fill` takes them) and the score's numeral.

    It contains every one of `texts` and ends with `prompts.final_sentence`. The same arguments give the same
    paragraph; another `seed`, which is any text, gives another wording.
    """
    content = f"{seed}|{order}|{numeral}|{sorted(texts.items())}"
    draw = random.Random(content.encode("utf-8", "surrogatepass"))  # file names need not be Unicode
    photo = draw.choice(phrasing.PHOTO[subject])
    levels = [level for level in (LEVELS if order == "high-first" else reversed(LEVELS)) if _keys(texts, level)]
    additions = draw.sample(phrasing.ADDITIONS, len(phrasing.ADDITIONS))  # each at most once in a paragraph
    paragraphs: list[str] = []
    for i, level in enumerate(levels):
        openings = phrasing.OPENINGS[level]
        if 0 < i == len(levels) - 1:
            openings += phrasing.LAST_LEVEL
        clauses = (_high if level == "high" else _classes)(texts, level, photo, draw)
        paragraphs += _sentences(clauses, draw.choice(openings), additions, draw)
    closing = draw.choice(phrasing.CLOSINGS) if levels else ""
    return " ".join([*paragraphs, *([closing] if closing else []), prompts.final_sentence(numeral)])


def lost(text: str, texts: Mapping[str, str], numeral: str) -> list[str]:
    """The values that `text` lacks, in words: classes, integer scores, the final sentence.

    A class counts only where it is not part of a longer one ("cluttered" in "moderately cluttered"), and must occur
    as often as attributes have it.
    """
    absent = [] if text.endswith(prompts.final_sentence(numeral)) else [f"final score {numeral}"]
    needed = Counter(slot_values(texts))
    return absent + [value for value, times in needed.items() if _count(text, value) < times]


def added(text: str, composed: str) -> list[str]:
    """The classes and numbers that `text`, a rewording, contains and `composed` does not, in words.

    A second pair of angle brackets is reported too, because the first is read as the final score.
    """
    known = {*_NUMBER.findall(composed), *("10" for found in [_OUT_OF_TEN.search(text)] if found)}
    numbers = [number for number in _NUMBER.findall(text) if number not in known]
    classes = [phrase for phrase in _PHRASES if _count(text, phrase) > 0 >= _count(composed, phrase)]
    return [*numbers, *sorted(classes), *(["<"] if text.count("<") > 1 else [])]


def slot_values(texts: Mapping[str, str]) -> list[str]:
    """The classes and integer scores among the slots' `texts`, as every wording must contain them."""
    return [
        phrasing.LEVEL_SHOT[value] if key == "level_shot" else value
        for key, value in texts.items()
        if not prompts.SLOTS[key].free
    ]


def _count(text: str, value: str) -> int:
    if value.isdecimal():
        return len(re.findall(rf"(?<![\d./])(?<!out of ){value}(?!\d|\.\d)", text))
    longer = sum(_times(text, other) for other in _PHRASES if other.endswith(f" {value}"))
    return _times(text, value) - longer


def _times(text: str, phrase: str) -> int:
    return len(re.findall(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", text, re.IGNORECASE))


_PHRASES = {
    *(attribute.phrase(option) for attribute in ATTRIBUTES.values() for option in attribute.options),
    *phrasing.LEVEL_SHOT.values(),
} - {"yes", "no"}


def _keys(texts: Mapping[str, str], level: str) -> list[str]:
    return [key for key, slot in prompts.SLOTS.items() if key in texts and slot.attribute.level == level]


def _high(texts: Mapping[str, str], level: str, photo: str, draw: random.Random) -> list[_Clause]:
    """One clause for each rating; with its reason it is one or two sentences."""
    ratings = [attribute for attribute in LEVELS["high"] if f"{attribute.key}.score" in texts]
    draw.shuffle(ratings)
    clauses = []
    for attribute in ratings:
        score, reason = texts[f"{attribute.key}.score"], texts.get(f"{attribute.key}.reason")
        clause = draw.choice(phrasing.SCORES[attribute.key]).format(n=score, photo=photo)
        clauses.append(_Clause(_with_reason(clause, reason.rstrip("!?"), draw) if reason else clause))
    return clauses


def _with_reason(clause: str, reason: str, draw: random.Random) -> str:
    """The clause and its reason, without the last full stop."""
    several = re.search(r"[.!?]\s", reason) is not None
    whole = several or (_VERB.search(reason) and not _RELATIVE.search(reason))
    if whole and clause.startswith(_BARE) and (several or draw.random() < 0.5):
        return f"{_capital(reason)}. {draw.choice(phrasing.REASON_BEFORE)}{clause}"
    lowered = reason[:1].lower() + reason[1:] if _LOWERED.match(reason) else reason
    return draw.choice(phrasing.REASON_AFTER).format(clause=clause, reason=lowered).removesuffix(".")


def _classes(texts: Mapping[str, str], level: str, photo: str, draw: random.Random) -> list[_Clause]:
    """The clauses of the middle or low level: subject and background first, then the classes in a random order."""
    clauses = []
    for key in _keys(texts, level):
        attribute = prompts.SLOTS[key].attribute
        if attribute.kind == "choice":
            value = texts[key]
            patterns = phrasing.CLASSES.get(key) or phrasing.CLASSES[f"{key}.{value}"]
            words = {
                "v": phrasing.LEVEL_SHOT.get(value, value),
                "an": "an" if value[0] in "aeiou" else "a",
                "gloss": phrasing.INTEGRITY_GLOSS.get(value, ""),
            }
            clauses.append(_Clause(draw.choice(patterns).format(photo=photo, **words), _merit(key, value)))
    draw.shuffle(clauses)
    return [*_content(texts, photo, draw), *clauses] if level == "middle" else clauses


def _content(texts: Mapping[str, str], photo: str, draw: random.Random) -> Iterator[_Clause]:
    subject, background = (texts.get(f"subject_background.{part}") for part in ("subject", "background"))
    if subject and background:
        plain = _DETERMINED.match(subject) and _DETERMINED.match(background)
        patterns: Sequence[str] = phrasing.SUBJECT_AND_BACKGROUND
        if plain:
            patterns = phrasing.SUBJECT_AND_BACKGROUND_PLAIN
            subject, background = (text[:1].lower() + text[1:] for text in (subject, background))
    elif subject or background:
        patterns = phrasing.SUBJECT_ONLY if subject else phrasing.BACKGROUND_ONLY
    else:
        return
    yield _Clause(draw.choice(patterns).format(photo=photo, subject=subject, background=background))


def _merit(key: str, phrase: str) -> int:
    """Whether a class is a merit (1), a flaw (-1) or neither (0)."""
    attribute = ATTRIBUTES[key]
    if key == "exposure":
        return 1 if exposure_quality(phrase) == 2 else -1
    code, codes = attribute.code(phrase), attribute.codes
    if key == "saturation":
        return (-1, 0, 1, 0, -1)[code - 1]
    middle = (min(codes) + max(codes)) / 2
    return (code > middle) - (code < middle)


def _sentences(clauses: Sequence[_Clause], opening: str, additions: list[str], draw: random.Random) -> Iterator[str]:
    """Joins clauses to sentences: some in pairs, the first with an opening, later ones sometimes with an addition."""
    left = list(clauses)
    first = True
    while left:
        clause = left.pop(0)
        text = clause.text
        if left and clause.simple and left[0].simple and draw.random() < 0.55:
            other = left.pop(0)
            joints = phrasing.DISAGREEING if clause.merit * other.merit < 0 else phrasing.AGREEING
            text += draw.choice(joints) + other.text
        lead = opening
        if not first:
            lead = additions.pop() if additions and text.startswith(_BARE) and draw.random() < 0.3 else ""
        yield (lead + text if lead and text.startswith(_BARE) else _capital(text)) + "."
        first = False


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
