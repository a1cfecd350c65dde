"""The words: what the models are asked and how their answers read. One version of each.

Paper Sec. 3.3 (conversation formats) and App. B.3; where the paper shows its texts as pictures
only, these are ours. An answer in the regular form is a sequence of fixed texts and slots, so
that training writes, and decoding forces, the very same text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, Attribute, Level

Subject = Literal["image", "video"]
Order = Literal["high-first", "low-first"]

DIRECT_QUESTION = "Rate the aesthetics and quality of this image briefly."
"""Q1 of the paper: asks for the score alone."""

DIRECT_PREFIX = "The score of this image is "
"""How R1, the direct answer, begins; the numeral follows."""

DIRECT_END = "."
"""What follows the numeral in R1."""

LEVEL_PREFIX = "The quality of this image is "
"""How the answer to Q1 begins where a level (levels.py) stands for the score; the word follows."""

LEVEL_END = "."
"""What follows the level."""

COT_QUESTION = "Rate the aesthetics and quality of this image step by step."
"""Q2: asks for a chain of thought in natural language."""

COT_REGULAR_QUESTION = "Rate the aesthetics and quality of this image step by step with the regular form."
"""Q3: asks for a chain of thought in the regular form."""

FINAL_PREFIX = "The final score is <"
"""How the last sentence of both chains of thought begins; the numeral follows."""

FINAL_END = ">."
"""What follows the numeral at the end of a chain of thought."""

REGULAR_END = "."
"""What follows a regular form that ends an answer (stage 1)."""

REGULAR_JOINT = "\n"
"""What stands between the regular form and the final sentence (stage 2)."""

MIX_QUESTION = "Describe all attributes of this image with the regular form."
"""Stage 1, granularity "mix": all attributes in one conversation."""


def about(text: str, subject: Subject) -> str:
    """`text`, written about an image, for `subject` (the paper's Sec. 4.7: the word changes)."""
    return text if subject == "image" else text.replace("image", subject)


def direct_answer(numeral: str, subject: Subject = "image") -> str:
    """The answer R1: "The score of this image is 3.99."."""
    return about(DIRECT_PREFIX, subject) + numeral + DIRECT_END


def level_answer(word: str, subject: Subject = "image") -> str:
    """The answer in levels: "The quality of this image is good."."""
    return about(LEVEL_PREFIX, subject) + word + LEVEL_END


def final_sentence(numeral: str) -> str:
    """The end of R2 and R3: "The final score is <3.99>."."""
    return FINAL_PREFIX + numeral + FINAL_END


def level_question(level: Level) -> str:
    """Stage 1, granularity "levels": one level in a conversation."""
    return f"Describe the {level}-level attributes of this image with the regular form."


def attribute_question(attribute: Attribute) -> str:
    """Stage 1, granularity "attributes": one attribute in a conversation."""
    name = attribute.title.lower()
    if attribute.kind == "rating":
        return f"How good is the {name} of this image? Score it from 1 to 10."
    if attribute.kind == "text":
        return "What are the subject and the background of this image?"
    options = [attribute.phrase(option) for option in attribute.options]
    return f"What is the {name} of this image: {', '.join(options[:-1])} or {options[-1]}?"


@dataclass(frozen=True)
class Slot:
    """A place in an answer that is to be filled.

    key: "exposure", or "composition.score", "composition.reason", "subject_background.subject".
    label: what stands before the colon.  place: the item's number within its level, from 1.
    """

    key: str
    label: str
    place: int

    @property
    def attribute(self) -> Attribute:
        """The attribute that the slot is about."""
        return ATTRIBUTES[self.key.partition(".")[0]]

    @property
    def free(self) -> bool:
        """Whether free text fills it, rather than one of a few options."""
        return self.key.endswith((".reason", ".subject", ".background"))

    @property
    def options(self) -> dict[str, str | int]:
        """What may be written into the slot, each with the value that it stands for; {} for free text."""
        if self.free:
            return {}
        if self.attribute.kind == "rating":
            return {str(n): n for n in range(1, 11)}
        return {self.attribute.phrase(option): option for option in self.attribute.options}


def _slots() -> Iterable[Slot]:
    for members in LEVELS.values():
        place = 0
        for attribute in members:
            key, title = attribute.key, attribute.title
            parts = {
                "rating": [
                    (f"{key}.reason", f"Reason for {title} Score"),
                    (f"{key}.score", f"{title} Score"),
                ],
                "text": [(f"{key}.subject", "Subject"), (f"{key}.background", "Background")],
                "choice": [(key, title)],
            }[attribute.kind]
            for part, label in parts:
                place += 1
                yield Slot(part, label, place)


SLOTS: dict[str, Slot] = {slot.key: slot for slot in _slots()}
"""Every slot of the regular form by key, from the high level to the low one."""


def arrange(keys: Iterable[str], order: Order = "high-first") -> tuple[str, ...]:
    """The slot keys in the order in which an answer gives them, each once.

    Raises KeyError for a key that is no slot.
    """
    levels = list(LEVELS) if order == "high-first" else list(LEVELS)[::-1]
    wanted = {SLOTS[key] for key in keys}
    return tuple(
        slot.key for level in levels for slot in SLOTS.values() if slot in wanted and slot.attribute.level == level
    )


def regular_form(keys: Sequence[str], *, numbered: bool = True) -> list[str | Slot]:
    """An answer in the regular form: fixed texts and slots in turn, beginning with a text.

    "1.2 Composition Score: " slot ", 1.4 Eye-Catching Score: " slot "\\n2.3 Subject Integrity: " ...
    An item keeps its number where others are left out. Levels are numbered in the order of `keys`.
    """
    form: list[str | Slot] = []
    levels: list[Level] = []
    for key in keys:
        slot = SLOTS[key]
        level = slot.attribute.level
        joint = ", " if levels and levels[-1] == level else "\n" if levels else ""
        if level not in levels:
            levels.append(level)
        number = f"{levels.index(level) + 1}.{slot.place} " if numbered else ""
        form += [f"{joint}{number}{slot.label}: ", slot]
    return form


def fill(form: Sequence[str | Slot], texts: Mapping[str, str]) -> str:
    """The form with the text of each slot, by its key. Raises KeyError for a slot without one."""
    return "".join(part if isinstance(part, str) else texts[part.key] for part in form)


_LABELS = "|".join(re.escape(slot.label) for slot in sorted(SLOTS.values(), key=lambda s: -len(s.label)))
_ITEM = re.compile(rf"(?:^|, |\n)(?:\d\.\d )?({_LABELS}): ")
_FINAL = re.compile(rf"\s*{re.escape(FINAL_PREFIX)}([^<>]*){re.escape(FINAL_END)}\s*$")


def free_text(text: str) -> str:
    """`text` as a slot of free text can hold it, so that an answer with it can be read back.

    One line; no angle brackets, which are the final score's and the chat templates'; no label with a
    colon, which would begin the next item; no full stop at the end. "" where nothing is left.
    """
    line = re.sub(rf"\b({_LABELS})[\s:]*:", r"\1", " ".join(re.sub("[<>]", "", text).split()))
    return line.rstrip(" .")


def slot_texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The text of every slot of the regular form that a label's `attributes` tell, from high to low.

    What is absent, null or empty is left out. Raises ValueError for a value that is none of the attribute's.
    """
    texts: dict[str, str] = {}
    for key, attribute in ATTRIBUTES.items():
        value = attributes.get(key)
        if value is None:
            continue
        if attribute.kind == "choice":
            texts[key] = attribute.phrase(attribute.normalise(value))
            continue
        parts = value if isinstance(value, Mapping) else {"score": value}
        if attribute.kind == "rating":
            texts |= _free(key, parts, "reason")
            if parts.get("score") is not None:
                texts[f"{key}.score"] = str(attribute.code(parts["score"]))
        else:
            texts |= _free(key, parts, "subject", "background")
    for key in [key for key in texts if key.endswith(".reason")]:
        if key.replace(".reason", ".score") not in texts:
            del texts[key]  # a reason for nothing
    return texts


def _free(key: str, parts: Mapping[str, Any], *names: str) -> dict[str, str]:
    found = {}
    for name in names:
        text = parts.get(name)
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{key}.{name}: {text!r} is no text")
        if text and (tidy := free_text(text)):
            found[f"{key}.{name}"] = tidy
    return found


def read_form(answer: str) -> tuple[dict[str, str], str | None]:
    """What stands in the slots of an answer in the regular form, by key, and the final numeral or None.

    The inverse of `fill` for texts that `free_text` made. An answer without the form gives ({}, None).
    """
    final = _FINAL.search(answer)
    form = answer[: final.start()] if final else answer.rstrip().removesuffix(REGULAR_END)
    keys = {slot.label: slot.key for slot in SLOTS.values()}
    items = list(_ITEM.finditer(form))
    ends = [item.start() for item in items] + [len(form)]
    texts = {keys[item[1]]: form[item.end() : end] for item, end in zip(items, ends[1:], strict=True)}
    return texts, final[1] if final else None
