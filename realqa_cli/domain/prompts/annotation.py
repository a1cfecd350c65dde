"""The prompt of models that label photos: the question, the schema of the answer, and the request to repair it.

The question covers the ten attributes with their options (paper Sec. 3.1, App. Tab. 3), and on demand the three
flags by which the paper filtered photos (Sec. 3.1, "subtitle and watermark filtering and manual image stitching
filtering"). The paper shows no prompt; the words are ours. Pure: no server, no file.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES, RATING_MAX, RATING_MIN, Attribute

SCREEN: dict[str, str] = {
    "subtitle": "text that was laid over the photo, such as captions, titles, dates or stickers with words;"
    " signs and prints that belong to the scene do not count",
    "watermark": "a logo, name or mark of an author, an app or a web site that was laid over the photo",
    "stitched": "several photos put together as one: a collage, a grid, a before-and-after pair",
}
"""The curation flags and their definitions."""

TEXT_PARTS: dict[str, tuple[str, str]] = {
    "subject_background": ("subject", "background"),
}
"""The parts of the attributes that are free text."""

_MEANING: dict[str, str] = {
    "composition": "How well the picture is arranged: balance, framing, lines, depth, use of space.",
    "eye_catching": "How strongly the picture attracts and holds a viewer's eye.",
    "subject_background": "What the main subject is, and what is behind and around it, in a few words each.",
    "subject_integrity": "How completely the main subject is in the picture.",
    "subject_clutter": "How tidy or messy the main subject itself is.",
    "background_clutter": "How tidy or messy what surrounds the subject is.",
    "level_shot": "Whether the camera was held level: horizon and verticals are as they are in the scene.",
    "image_clarity": "How sharp the picture is: focus, motion blur, noise, traces of compression.",
    "exposure": "How bright the picture is for what it shows.",
    "saturation": "How strong its colours are.",
}


def annotation_question(*, screen: bool = False) -> str:
    """The question about a photo; with `screen` it covers the curation flags too."""
    lines = [
        "You are an experienced judge of the quality and aesthetics of photos that people take with their"
        " phones. Look at this photo carefully and judge each of the attributes below by what is visible."
        " Use the whole range of the scores and options: an ordinary photo is in the middle, not near the"
        " top. Be strict about flaws, and do not be neutral where the photo is not.",
        "",
    ]
    lines += [f"- {attribute.key}: {_description(attribute)}" for attribute in ATTRIBUTES.values()]
    if screen:
        lines += ["- screen: whether the photo has each of these, true or false:"]
        lines += [f"  - {flag}: {meaning}" for flag, meaning in SCREEN.items()]
    lines += [
        "",
        "Answer with one JSON object of exactly this form and nothing else, every option word for word:",
        json.dumps(_form(screen)),
    ]
    return "\n".join(lines)


def _description(attribute: Attribute) -> str:
    meaning = _MEANING[attribute.key]
    if attribute.kind == "rating":
        span = f"from {RATING_MIN} (very poor) to {RATING_MAX} (outstanding)"
        return f"{meaning} First the reason in one or two sentences, then a whole number {span}."
    if attribute.kind == "text":
        return meaning
    glosses = attribute.glosses or ("",) * len(attribute.options)
    options = [
        f'"{option}"{f" ({gloss})" if gloss else ""}' for option, gloss in zip(attribute.options, glosses, strict=True)
    ]
    return f"{meaning} One of: {', '.join(options)}."


def _form(screen: bool) -> dict[str, Any]:
    """An example of the answer, with a placeholder for every value."""
    form: dict[str, Any] = {}
    for key, attribute in ATTRIBUTES.items():
        if attribute.kind == "rating":
            form[key] = {"reason": "...", "score": f"{RATING_MIN}-{RATING_MAX}"}
        elif attribute.kind == "text":
            form[key] = dict.fromkeys(TEXT_PARTS[key], "...")
        else:
            form[key] = "|".join(attribute.options)
    return form | ({"screen": dict.fromkeys(SCREEN, "true|false")} if screen else {})


def response_format(*, screen: bool = False) -> dict[str, Any]:
    """The answer as a JSON schema, for servers that constrain a model to one; strict: every key is required."""
    schema = _object({key: _schema(attribute) for key, attribute in ATTRIBUTES.items()})
    if screen:
        flags = _object({flag: {"type": "boolean"} for flag in SCREEN})
        schema = _object({**schema["properties"], "screen": flags})
    named = {"name": "photo_attributes", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


def _schema(attribute: Attribute) -> dict[str, Any]:
    text = {"type": "string"}
    if attribute.kind == "rating":
        # The reason comes first, so that the score follows from it. Every implementation of JSON schemas knows
        # enumerations; not all know bounds of numbers.
        score = {"type": "integer", "enum": list(range(RATING_MIN, RATING_MAX + 1))}
        return _object({"reason": text, "score": score})
    if attribute.kind == "text":
        return _object(dict.fromkeys(TEXT_PARTS[attribute.key], text))
    return {"type": "string", "enum": list(attribute.options)}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def repair_request(flaws: Sequence[str]) -> str:
    """The turn that follows an answer with these flaws; there is one such turn."""
    listed = "\n".join(f"- {flaw}" for flaw in flaws)
    return (
        f"That answer cannot be used:\n{listed}\n\nAnswer again with the whole JSON object, every key of the"
        " form present and every option word for word, and with nothing before or after it."
    )


def annotation_prompt_hash(*, screen: bool = False) -> str:
    """``sha256:<16 hex digits>`` of the whole prompt, including the schema and the request to repair."""
    parts = [annotation_question(screen=screen), response_format(screen=screen), repair_request(["..."])]
    return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
