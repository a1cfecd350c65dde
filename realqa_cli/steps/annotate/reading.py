"""From the text of a model's reply to a label: tolerant of its form, strict about its content.

Code fences, words around the object, spellings of keys and options ("Eye-Catching", "Medium saturation",
"7/10"), trailing commas and single quotes are accepted. What is missing, unknown or out of range is named, so
that one repair request can ask for it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES, Attribute
from realqa_cli.domain.prompts import SCREEN, TEXT_PARTS
from realqa_cli.errors import ItemError, one_line
from realqa_cli.steps.annotate.json_repair import decode_object

_QUOTED = re.compile(r"('[^']{80})[^']+")  # long quotations of the reply in a flaw
_TRIES = 200  # opening braces that are tried as the start of an object
_WHOLE = re.compile(r"\s*(\d+)(?:\.0*)?\s*(?:/\s*10|out of 10)?\s*")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Label:
    """What a reply says: `attributes` as in records, `screen` where the flags were requested."""

    attributes: dict[str, Any]
    screen: dict[str, bool] | None = None


class InvalidReply(ItemError):
    """A reply that cannot be used. flaws: what is wrong with it, in words for the model."""

    def __init__(self, flaws: Sequence[str]) -> None:
        super().__init__(f"the reply cannot be used: {'; '.join(flaws)}", type="unparsed")
        self.flaws = tuple(flaws)


def replace_surrogates(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which JSON escapes can hold and UTF-8 cannot."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def read_label(text: str, *, screen: bool = False) -> Label:
    """The label in the text of a reply. Raises `InvalidReply`."""
    found = _find_object(replace_surrogates(text))
    flaws: list[str] = []
    attributes: dict[str, Any] = {}
    for key, attribute in ATTRIBUTES.items():
        try:
            attributes[key] = _value(attribute, found.get(key))
        except (ValueError, OverflowError) as error:
            flaw = str(error)
            flaws.append(_short(flaw if flaw.startswith(key) else f"{key}: {flaw}"))
    flags: dict[str, bool] | None = None
    if screen:
        try:
            flags = _flags(found.get("screen", found))
        except ValueError as error:
            flaws.append(_short(str(error)))
    if flaws:
        raise InvalidReply(flaws)
    return Label(attributes, flags)


def _find_object(text: str) -> dict[str, Any]:
    """The JSON object with the most attributes, the last of several. Raises `InvalidReply`.

    Where an object that starts before the first attribute is broken beyond repair, that is the flaw, not what
    smaller objects within it lack.
    """
    best: dict[str, Any] | None = None
    flaw: str | None = None
    start, tries = text.find("{"), 0
    while start >= 0 and tries < _TRIES:
        tries += 1
        try:
            found, end = decode_object(text, start)
        except (ValueError, RecursionError) as error:
            flaw = flaw or f"its JSON is broken ({_short(str(error))})"
            end = start + 1
        else:
            flat = _flat(found)
            best = flat if best is None or _attribute_count(flat) >= _attribute_count(best) else best
        start = text.find("{", end)
    if best is None or (flaw and not _attribute_count(best)):
        raise InvalidReply([flaw or "there is no JSON object in it"])
    return best


def _attribute_count(found: Mapping[str, Any]) -> int:
    return len(found.keys() & ATTRIBUTES.keys())


def _flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """The object with normalised keys, and those of a nested object that holds more of the attributes."""
    flat = {_normalised(key): value for key, value in found.items()}
    for inner in found.values():
        if isinstance(inner, Mapping):
            nested = {_normalised(key): value for key, value in inner.items()}
            if _attribute_count(nested) > _attribute_count(flat):
                flat |= nested
    return flat


def _normalised(key: str) -> str:
    return "_".join(re.findall(r"[a-z0-9]+", key.casefold()))


def _value(attribute: Attribute, given: object) -> Any:
    """The value as in records. Raises `ValueError` in words for the model."""
    if given is None:
        raise ValueError(f"{attribute.key}: missing")
    if attribute.kind == "choice":
        word = {True: "yes", False: "no"}[given] if isinstance(given, bool) else given
        return attribute.normalise(word)
    if not isinstance(given, Mapping):
        raise ValueError(f"{attribute.key}: {given!r} is not an object")
    parts = {_normalised(key): value for key, value in given.items()}
    if attribute.kind == "text":
        return {part: _text(f"{attribute.key}.{part}", parts.get(part)) for part in TEXT_PARTS[attribute.key]}
    score = attribute.code(_whole(parts.get("score")))
    return {"score": score, "reason": _text(f"{attribute.key}.reason", parts.get("reason"))}


def _text(name: str, given: object) -> str:
    text = " ".join(given.split()) if isinstance(given, str) else ""
    if not text:
        raise ValueError(f"{name}: {'missing' if given in (None, '') else f'{given!r} is not a text'}")
    return text


def _whole(given: object) -> object:
    """A whole number that was written as a text, as a number; anything else unchanged."""
    found = _WHOLE.fullmatch(given) if isinstance(given, str) else None
    return int(found[1]) if found else given


def _flags(given: object) -> dict[str, bool]:
    parts = {_normalised(key): value for key, value in given.items()} if isinstance(given, Mapping) else {}
    flags: dict[str, bool] = {}
    for flag in SCREEN:
        value = parts.get(flag)
        known = value if isinstance(value, bool) else _WORDS.get(str(value).strip().casefold())
        if known is None:
            raise ValueError(f"screen.{flag}: {'missing' if value is None else f'{value!r} is not a flag'}")
        flags[flag] = known
    return flags


def _short(text: str) -> str:
    """One line with long quotations of the reply cut; lists of options stay whole."""
    return one_line(_QUOTED.sub(r"\1...", text), 400)
