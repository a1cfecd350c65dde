"""The regular form of an answer: fixed texts and slots in turn (paper Sec. 3.3, format R3).

Training writes the form with every slot filled, and decoding forces the same fixed texts. Pure: no model, no file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, RATING_MAX, RATING_MIN, Attribute, Level
from realqa_cli.domain.prompts.conversations import FINAL_END, FINAL_PREFIX, REGULAR_END

Order = Literal["high-first", "low-first"]


@dataclass(frozen=True)
class Slot:
    """A gap in the form that an answer fills.

    key: "exposure", or "composition.score", "composition.reason", "subject_background.subject".
    label: the words before the colon.  place: the number of the item within its level, from 1.
    """

    key: str
    label: str
    place: int

    @property
    def attribute(self) -> Attribute:
        """The attribute that the slot belongs to."""
        return ATTRIBUTES[self.key.partition(".")[0]]

    @property
    def free(self) -> bool:
        """Whether free text fills it, rather than one of a few options."""
        return self.key.endswith((".reason", ".subject", ".background"))

    @property
    def options(self) -> dict[str, str | int]:
        """Every text that may fill the slot, with the value that it means; {} for free text."""
        if self.free:
            return {}
        if self.attribute.kind == "rating":
            return {str(n): n for n in range(RATING_MIN, RATING_MAX + 1)}
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
    """The slot keys in the order in which an answer states them, each once.

    Raises KeyError for an unknown key.
    """
    levels = list(LEVELS) if order == "high-first" else list(LEVELS)[::-1]
    chosen = {SLOTS[key] for key in keys}
    return tuple(
        slot.key for level in levels for slot in SLOTS.values() if slot in chosen and slot.attribute.level == level
    )


def regular_form(keys: Sequence[str], *, numbered: bool = True) -> list[str | Slot]:
    """An answer in the regular form: fixed texts and slots in turn, starting with a text.

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
    """`text` cleaned for a slot of free text, so that `read_form` can read the answer back.

    The result is one line without angle brackets (they mark the final score and the special tokens of chat
    templates), without a label and colon (they would start the next item) and without a full stop at the end. It
    is "" where nothing remains.
    """
    line = re.sub(rf"\b({_LABELS})[\s:]*:", r"\1", " ".join(re.sub("[<>]", "", text).split()))
    return line.rstrip(" .")


def slot_texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The text of every slot for which a label's `attributes` have a value, from the high level to the low one.

    Absent, null and empty values are left out. Raises ValueError for a value that the attribute does not have.
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
            del texts[key]  # a reason without its score
    return texts


def _free(key: str, parts: Mapping[str, Any], *names: str) -> dict[str, str]:
    found = {}
    for name in names:
        text = parts.get(name)
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{key}.{name}: {text!r} is not a text")
        if text and (tidy := free_text(text)):
            found[f"{key}.{name}"] = tidy
    return found


def read_form(answer: str) -> tuple[dict[str, str], str | None]:
    """The texts in the slots of an answer in the regular form, by key, and the final numeral or None.

    The inverse of `fill` for texts cleaned by `free_text`. An answer without the form gives ({}, None).
    """
    final = _FINAL.search(answer)
    form = answer[: final.start()] if final else answer.rstrip().removesuffix(REGULAR_END)
    keys = {slot.label: slot.key for slot in SLOTS.values()}
    items = list(_ITEM.finditer(form))
    ends = [item.start() for item in items] + [len(form)]
    texts = {keys[item[1]]: form[item.end() : end] for item, end in zip(items, ends[1:], strict=True)}
    return texts, final[1] if final else None
