"""From the text of a model's reply to a label: tolerant of how it is written, strict about what it says.

Code fences, words around the object, key and option spellings ("Eye-Catching", "Medium saturation",
"7/10") do not matter; what is missing, unknown or out of range is named, so that one repair turn can ask
for it. Pure: no server, no file.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES, Attribute
from realqa_cli.domain.prompts import SCREEN, TEXT_PARTS
from realqa_cli.errors import ItemError

_QUOTED = re.compile(r"('[^']{80})[^']+")  # a reply's own words in a flaw
_TRIES = 200  # braces at which an object is looked for
_WHOLE = re.compile(r"\s*(\d+)(?:\.0*)?\s*(?:/\s*10|out of 10)?\s*")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Label:
    """What a reply says: `attributes` by key as records hold them, `screen` where it was asked for."""

    attributes: dict[str, Any]
    screen: dict[str, bool] | None = None


class InvalidReply(ItemError):
    """A reply that cannot be used. flaws: what is wrong with it, for the model to mend."""

    def __init__(self, flaws: Sequence[str]) -> None:
        super().__init__(f"the reply cannot be used: {'; '.join(flaws)}", type="unparsed")
        self.flaws = tuple(flaws)


def read_label(text: str, *, screen: bool = False) -> Label:
    """The label that the text of a reply holds. Raises `InvalidReply`."""
    found = _object_in(text)
    flaws: list[str] = []
    attributes: dict[str, Any] = {}
    for key, attribute in ATTRIBUTES.items():
        try:
            attributes[key] = _value(attribute, found.get(key))
        except (ValueError, OverflowError) as error:
            told = str(error)
            flaws.append(_short(told if told.startswith(key) else f"{key}: {told}"))
    flags: dict[str, bool] | None = None
    if screen:
        try:
            flags = _flags(found.get("screen", found))
        except ValueError as error:
            flaws.append(_short(str(error)))
    if flaws:
        raise InvalidReply(flaws)
    return Label(attributes, flags)


def _object_in(text: str) -> dict[str, Any]:
    """The JSON object with the most attributes, the last of several such, in the text. Raises `InvalidReply`."""
    decoder, reason = json.JSONDecoder(), "there is no JSON object in it"
    best: dict[str, Any] | None = None
    start, tries = text.find("{"), 0
    while start >= 0 and tries < _TRIES:
        tries += 1
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            reason = f"its JSON is broken ({_short(str(error))})"
            end = start + 1
        else:
            flat = _flat(found)
            best = flat if best is None or _told(flat) >= _told(best) else best
        start = text.find("{", end)
    if best is None:
        raise InvalidReply([reason])
    return best


def _told(found: Mapping[str, Any]) -> int:
    return len(found.keys() & ATTRIBUTES.keys())


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """The object with plain keys, and those of an object in it that holds more of the attributes."""
    plain = {_plain(key): value for key, value in found.items()}
    for inner in found.values():
        if isinstance(inner, Mapping):
            deeper = {_plain(key): value for key, value in inner.items()}
            if _told(deeper) > _told(plain):
                plain |= deeper
    return plain


def _plain(key: str) -> str:
    return "_".join(re.findall(r"[a-z0-9]+", key.casefold()))


def _value(attribute: Attribute, given: object) -> Any:
    """The value as records hold it. Raises ValueError, in words for the model."""
    if given is None:
        raise ValueError(f"{attribute.key}: missing")
    if attribute.kind == "choice":
        word = {True: "yes", False: "no"}[given] if isinstance(given, bool) else given
        return attribute.normalise(word)
    if not isinstance(given, Mapping):
        raise ValueError(f"{attribute.key}: {given!r} is no object")
    parts = {_plain(key): value for key, value in given.items()}
    if attribute.kind == "text":
        return {part: _text(f"{attribute.key}.{part}", parts.get(part)) for part in TEXT_PARTS[attribute.key]}
    score = attribute.code(_whole(parts.get("score")))
    return {"score": score, "reason": _text(f"{attribute.key}.reason", parts.get("reason"))}


def _text(name: str, given: object) -> str:
    text = " ".join(given.split()) if isinstance(given, str) else ""
    if not text:
        raise ValueError(f"{name}: {'missing' if given in (None, '') else f'{given!r} is no text'}")
    return text


def _whole(given: object) -> object:
    """A number that was written as a text, as a number; anything else as it is."""
    found = _WHOLE.fullmatch(given) if isinstance(given, str) else None
    return int(found[1]) if found else given


def _flags(given: object) -> dict[str, bool]:
    parts = {_plain(key): value for key, value in given.items()} if isinstance(given, Mapping) else {}
    flags: dict[str, bool] = {}
    for flag in SCREEN:
        value = parts.get(flag)
        known = value if isinstance(value, bool) else _WORDS.get(str(value).strip().casefold())
        if known is None:
            raise ValueError(f"screen.{flag}: {'missing' if value is None else f'{value!r} is no flag'}")
        flags[flag] = known
    return flags


def _short(text: str) -> str:
    """One line, the reply's own words cut; the lists of options stay whole."""
    return " ".join(_QUOTED.sub(r"\1...", text).split())[:400]
