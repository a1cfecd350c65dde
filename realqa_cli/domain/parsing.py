"""What an answer says, read back: the score that it states, and the attributes of a regular form.

The opposite of `prompts`, for texts that others wrote too: models, and the paper's release. Nothing is
guessed: a number is read where the paper's texts have it (Sec. 3.3), and a class as it stands.
"""

import re
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.prompts import SLOTS

_NUMBER = r"(-?\d+(?:\.\d+)?)(?!\d|[.,]\d|\s*[-–]\s*\d)"  # "3,99" and "3-4" are no numbers
_SENTENCE = re.compile(rf"score of this (?:image|video) is\s*{_NUMBER}", re.IGNORECASE)
_BRACKETS = re.compile(r"<(?!\|)([^<>]*)>")  # not the <|im_end|> of a chat template

_LABELS = {slot.label.casefold(): key for key, slot in SLOTS.items()} | {
    f"{ATTRIBUTES[key].title.casefold()} reason": f"{key}.reason" for key in ("composition", "eye_catching")
}
_KNOWN = "|".join(re.escape(label) for label in sorted(_LABELS, key=len, reverse=True))
_ITEM = re.compile(rf"(?:^|[\s,;.])(?:\d\.\d\.?\s*)?({_KNOWN})\s*:\s*", re.IGNORECASE)
_END = re.compile(r"[\s,;]*(?:\d\.\d\.?)?\s*$")  # the next item's number, and what parts it from this one
_FINAL = re.compile(r"(?:the\s+)?final score is\b", re.IGNORECASE)


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


def told_attributes(text: object) -> dict[str, Any]:
    """The attributes of an answer in the regular form, as a label record has them; {} of any other text.

    A class or rating that the attribute does not have stays as the text that it is.
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
