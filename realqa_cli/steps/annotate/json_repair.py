"""Decode JSON objects as language models write them, where it is plain what is meant.

Accepted in addition to JSON: trailing commas, strings in single or typographic quotes, quotes of the same kind
within a string, line breaks in strings, and Python's True, False and None. Nothing is guessed: an object that is
cut off, or that lacks a colon or a comma, is an error.
"""

import json
import re
from typing import Any

_CLOSING = {'"': '"', "'": "'", "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}",
            "\N{LEFT SINGLE QUOTATION MARK}": "\N{RIGHT SINGLE QUOTATION MARK}"}  # fmt: skip
_LITERALS = {"True": "true", "False": "false", "None": "null"}
_WORD = re.compile(r"[A-Za-z_]+")
_AFTER_STRING = re.compile(r"\s*(?:[,:}\]]|$)")
_AFTER_COMMA = re.compile(r"\s*[}\]]")

_DECODER = json.JSONDecoder(strict=False)


def decode_object(text: str, start: int) -> tuple[dict[str, Any], int]:
    """The object that starts at the brace `text[start]`, and where it ends. Raises `ValueError`."""
    try:
        found, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        repaired, end = _repaired(text, start)
        try:
            found = _DECODER.decode(repaired)
        except json.JSONDecodeError:
            raise error from None  # with places in the text as it was written
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found, end


def _repaired(text: str, start: int) -> tuple[str, int]:
    """The object as JSON, and where it ends in the text. Raises `ValueError` where it does not end."""
    parts: list[str] = []
    depth, at = 0, start
    while at < len(text):
        char = text[at]
        if char in _CLOSING:
            string, at = _read_string(text, at)
            parts.append(string)
            continue
        if (word := _WORD.match(text, at)) is not None:
            parts.append(_LITERALS.get(word[0], word[0]))
            at = word.end()
            continue
        at += 1
        if char == "," and _AFTER_COMMA.match(text, at):
            continue
        depth += (char in "{[") - (char in "}]")
        parts.append(char)
        if depth == 0:
            return "".join(parts), at
    raise ValueError(f"the object does not end: column {len(text)}")


def _read_string(text: str, start: int) -> tuple[str, int]:
    """The string literal at `start` as JSON, and where it ends: at a quote that a delimiter follows."""
    quote = _CLOSING[text[start]]
    parts: list[str] = []
    at = start + 1
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            following = text[at + 1]
            parts.append("'" if following == "'" else char + following)
            at += 2
            continue
        at += 1
        if char == quote and _AFTER_STRING.match(text, at):
            return f'"{"".join(parts)}"', at
        parts.append('\\"' if char == '"' else char)
    raise ValueError(f"a string does not end: column {start}")
