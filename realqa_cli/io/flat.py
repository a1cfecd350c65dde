"""Records as rows of a table, and back: nested fields become columns of their own.

| field of a record | columns |
|---|---|
| `interval`, `scale`, `mos_range` and the other pairs of `PAIRS` | `interval_low`, `interval_high`, ... |
| `error` | `error_type`, `error_message` |
| `attributes` | one by attribute key: the class, or the rating; `composition_reason`; `subject`, `background` |
| `confidence`, `levels`, `screen`, `annotator` | `confidence_image_clarity`, `levels_good`, ... |
| `scores` | `scores_quality_score`, `scores_quality_std`, ... |
| `flags`, `unparsed` and other lists of words | the words, with commas |
| `distribution` | `distribution_values`, `distribution_probabilities`: lists of equal length |
| other lists and objects | JSON text |

A field that passed through from the input and has the name of such a column is in the column `input.NAME`.
This module reads and writes no files (see `export` and `tables`).
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES

Cell = str | float | int | bool | list[float] | None

PAIRS = ("interval", "scale", "mos_range", "composite_range", "calibrated_interval", "calibrated_range")
GROUPS = ("confidence", "levels", "screen", "annotator")
WORDS = ("flags", "unparsed", "unreliable", "changed", "composite_imputed", "calibration_warnings")
DISTRIBUTION = ("distribution_values", "distribution_probabilities")
ERROR_COLUMN = "error_type"
"""A column by which a table of ours is recognised."""

_ATTRIBUTE_COLUMNS = {
    name
    for key, attribute in ATTRIBUTES.items()
    for name in (
        ("subject", "background")
        if attribute.kind == "text"
        else (key, f"{key}_reason")
        if attribute.kind == "rating"
        else (key,)
    )
}
_RESERVED = _ATTRIBUTE_COLUMNS | {f"{name}_{end}" for name in PAIRS for end in ("low", "high")}
_RESERVED |= {ERROR_COLUMN, "error_message", *DISTRIBUTION}
_TEXT = {"image", "video", "text", "method", "decode", "run", "content", "form", ERROR_COLUMN, "error_message"}
_TEXT |= {"composite_weights", "split", *WORDS}
_TEXT |= {"image_a", "image_b", "content_a", "content_b", "better", "by", "choice"}
"""Columns whose cells are text, whatever they look like."""


def flat(record: Mapping[str, Any]) -> dict[str, Cell]:
    """The cells of a record by column, in the order of its fields; `error_type` and `error_message` last."""
    cells: dict[str, Cell] = {}
    for key, value in record.items():
        if key != "error":
            cells.update(_cells(key, value))
    error = record.get("error") or {}
    return cells | {ERROR_COLUMN: error.get("type"), "error_message": error.get("message")}


def _cells(key: str, value: Any) -> Iterator[tuple[str, Cell]]:
    if key in PAIRS:
        low, high = value if _is_pair(value) else (None, None)
        yield from ((f"{key}_low", low), (f"{key}_high", high))
    elif key == "attributes" and isinstance(value, Mapping):
        for name, label in value.items():
            yield from _attribute_cells(name, label)
    elif key in GROUPS and isinstance(value, Mapping):
        for name, each in value.items():
            yield f"{key}_{name}", _plain(each)
    elif key == "scores" and isinstance(value, Mapping):
        for name, answer in value.items():
            yield from ((f"scores_{name}_{part}", _plain(each)) for part, each in answer.items())
    elif key in WORDS and isinstance(value, list):
        yield key, ", ".join(map(str, value))
    elif key == "distribution" and value:
        yield from zip(DISTRIBUTION, map(list, zip(*value, strict=True)), strict=True)
    elif key not in (*GROUPS, "attributes", "scores", "distribution") or value is not None:
        yield (f"input.{key}" if key in _RESERVED else key), _plain(value)


def _attribute_cells(name: str, label: Any) -> Iterator[tuple[str, Cell]]:
    if not isinstance(label, Mapping):
        yield name, _plain(label)
    elif "score" in label:
        yield name, _plain(label["score"])
        if label.get("reason") is not None:
            yield f"{name}_reason", _plain(label["reason"])
    else:
        yield from ((part, _plain(text)) for part, text in label.items())


def _plain(value: Any) -> Cell:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def is_flat(columns: Collection[str]) -> bool:
    """Whether a table with these columns holds records that `flat` made."""
    return {ERROR_COLUMN, "error_message"} <= {*columns}


def nested(cells: Mapping[str, Any], *, text: bool = False) -> dict[str, Any]:
    """The record with these cells, without the fields that have no value.

    text: all cells are text, as in CSV; those that are JSON (numbers, `true`, lists) are read as such.
    """
    given = {name: _value(name, cell, text=text) for name, cell in cells.items() if cell is not None and cell != ""}
    record: dict[str, Any] = {}
    for name, value in given.items():
        for key, part in _places(name, value, given):
            if isinstance(part, dict) and isinstance(record.get(key), dict):
                _merge(record[key], part)
            else:
                record.setdefault(key, part)
    return record


def _merge(record: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Add the fields of a part, those of objects that both have, too."""
    for key, value in part.items():
        if isinstance(value, dict) and isinstance(record.get(key), dict):
            _merge(record[key], value)
        else:
            record[key] = value


def _places(name: str, value: Any, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(field, its value or a part of it) that a cell contributes to."""
    stem, _, end = name.rpartition("_")
    group = name.partition("_")[0]
    if stem in PAIRS and end in ("low", "high"):
        yield stem, [given.get(f"{stem}_low"), given.get(f"{stem}_high")]
    elif name in DISTRIBUTION:
        yield "distribution", [list(pair) for pair in zip(*(given.get(each) or () for each in DISTRIBUTION))]  # noqa: B905
    elif name in (ERROR_COLUMN, "error_message"):
        yield "error", {name.removeprefix("error_"): value}
    elif name in _ATTRIBUTE_COLUMNS:
        yield "attributes", _label(name, value, given)
    elif group in GROUPS and group != name:
        yield group, {name.removeprefix(f"{group}_"): value}
    elif name.startswith("scores_") and stem != "scores":
        yield "scores", {stem.removeprefix("scores_"): {end: value}}
    elif name in WORDS:
        yield name, value.split(", ")
    else:
        yield name.removeprefix("input.") if name.removeprefix("input.") in _RESERVED else name, value


def _label(name: str, value: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    if name in ("subject", "background"):
        texts = {part: given[part] for part in ("subject", "background") if part in given}
        return {"subject_background": texts}
    key = name.removesuffix("_reason")
    if ATTRIBUTES[key].kind != "rating":
        return {key: value}
    rating = {"score": int(given[key])} if isinstance(given.get(key), int | float) else {}
    reason = {"reason": given[f"{key}_reason"]} if f"{key}_reason" in given else {}
    return {key: rating | reason}


def _value(name: str, cell: Any, *, text: bool) -> Any:
    if not isinstance(cell, str) or name in _TEXT or name.endswith("_reason"):
        return cell
    if not text and cell[:1] not in ("[", "{"):
        return cell
    try:
        value = json.loads(cell, parse_constant=_refuse)
    except ValueError:
        return cell
    return cell if value is None or isinstance(value, str) else value


def _refuse(name: str) -> Any:
    raise ValueError(name)
