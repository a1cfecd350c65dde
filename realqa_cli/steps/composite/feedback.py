"""Labels with feedback, read as numbers: one row per label, one column per attribute, and the target.

Knows label records and where their target is. What cannot be used is counted, never dropped silently.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.io.labels import LabelIndex, LabelRow
from realqa_cli.steps.composite.weights_file import attribute_code, codes_of

COLUMNS = tuple(key for key, attribute in ATTRIBUTES.items() if attribute.scored)
"""The attributes that have codes."""


@dataclass(frozen=True)
class FeedbackTable:
    """Labels as numbers.  codes_NP: the columns of `COLUMNS`, NaN where a label has no value.

    photos: what each row is about; several labels of a photo stay together in every fold.
    counts: rows that cannot be used, by reason.  flaws: the first line of each kind, in words.
    models: labels by who gave them; "" where they do not say.
    """

    codes_NP: NDArray[np.float64]
    target_N: NDArray[np.float64]
    photos: Sequence[Hashable]
    counts: Mapping[str, int]
    flaws: Sequence[str]
    models: Mapping[str, int]


def read_feedback(rows: Iterable[LabelRow], target: str, feedback: LabelIndex | None = None) -> FeedbackTable:
    """The labels that have a target, and how many have not.

    feedback: other rows that have the target, found by image. Raises UsageError where none has the field.
    """
    codes, targets, photos = [], [], []
    models: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    flaws: dict[str, str] = {}
    numeric: dict[str, None] = {}
    for row in rows:
        try:
            value = _target(row, target, feedback, numeric)
            codes.append(_codes(row))
        except ItemError as error:
            counts[error.type] += 1
            flaws.setdefault(error.type, str(error))
            continue
        targets.append(value)
        models[_labeller(row)] += 1
        photos.append(row.record.get("content") or row.path or row.where)
    if not targets:
        rows_are = "label" if feedback is None else "feedback row"
        raise UsageError(*_why_nothing(target, counts, flaws, numeric, rows_are))
    shown = [flaw for kind, flaw in flaws.items() if kind not in ("failed", "no target", "unmatched")]
    return FeedbackTable(np.array(codes), np.array(targets), photos, counts, shown, models)


def _why_nothing(
    target: str, counts: Mapping[str, int], flaws: Mapping[str, str], numeric: Iterable[str], kind: str
) -> tuple[str]:
    """In one line: why no row can be used."""
    if set(counts) <= {"no target", "unmatched", "failed"} and numeric:
        return (f"--target: no {kind} has a field {target!r}; the {kind}s have: {', '.join(numeric)}",)
    return (f"there is no label to learn from: {next(iter(flaws.values()), 'the file is empty')}",)


def _target(row: LabelRow, name: str, feedback: LabelIndex | None, numeric: dict[str, None]) -> float:
    """Raises ItemError: of type "failed", "unmatched", "no target" or "record"."""
    if row.error is not None:
        raise row.error
    if row.failed:
        raise ItemError("an earlier step failed here", type="failed", where=row.name)
    source = row if feedback is None else feedback.find(row)
    value = _field(source.record, name)
    if value is None or value == "":
        numeric.update(dict.fromkeys(_numbers(source.record)))
        raise ItemError(f"has no {name}", type="no target", where=source.where)
    number = _number(value)
    if not math.isfinite(number):
        raise RecordError(f"{name}: {value!r} is not a number", type="record", where=source.where)
    return number


def _number(value: Any) -> float:
    """Also of a text, for CSV has nothing else; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _labeller(row: LabelRow) -> str:
    annotator = row.record.get("annotator")
    return str(annotator.get("model") or "") if isinstance(annotator, Mapping) else ""


def _numbers(record: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """The fields that could be a target, with dots; what realqa itself wrote of attributes is none."""
    for name, value in record.items():
        if isinstance(value, Mapping) and name not in ("attributes", "original", "confidence", "annotator"):
            yield from _numbers(value, f"{within}{name}.")
        elif not isinstance(value, bool) and math.isfinite(_number(value)):
            yield f"{within}{name}"


def _field(record: Mapping[str, Any], name: str) -> Any:
    """The field of this very name, or the one that its dots lead to; None where there is none."""
    if name in record:
        return record[name]
    found: Any = record
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _codes(row: LabelRow) -> list[float]:
    attributes = row.record.get("attributes")
    if not isinstance(attributes, Mapping):
        raise RecordError("the label has no attributes", type="record", where=row.where)
    try:
        found = [attribute_code(key, attributes.get(key), codes_of(key)) for key in COLUMNS]
    except ValueError as error:
        raise RecordError(str(error), type="record", where=row.where) from error
    if all(map(math.isnan, found)):
        raise RecordError("the label has none of the attributes", type="record", where=row.where)
    return found
