"""Numbers as people, spreadsheets and statistics programs write them in text fields."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-"})


def read_number(value: object) -> float | None:
    """The finite number that a field holds, also as text such as ``3.9`` or ``4,20``; None where it has none.

    A comma is a decimal comma. Numbers with separators of thousands are not read.
    """
    if isinstance(value, str):
        text = value.strip()
        value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an int beyond all floats
        return None
    return number if math.isfinite(number) else None


def read_range(text: str, where: str) -> list[float]:
    """``1-5``, ``1 5`` or ``[1, 5]`` as [lowest, highest]. Raises `UsageError`."""
    try:
        return list(Scale.parse(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is not a range such as 1-5", where=where) from error


def is_missing(cell: object) -> bool:
    """Whether a cell is empty or holds a mark for a missing value, such as ``NA``."""
    return cell is None or str(cell).strip().casefold() in _MISSING


def with_numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its `mos` and `mos_range` as numbers, where they are given as text."""
    fields = dict(record)
    mos, mos_range = fields.get("mos"), fields.get("mos_range")
    if isinstance(mos, str):
        number = read_number(mos)
        fields["mos"] = None if number is None and is_missing(mos) else mos if number is None else number
    if isinstance(mos_range, str):
        with suppress(ValueError):
            fields["mos_range"] = list(Scale.parse(mos_range))
    elif isinstance(mos_range, list) and any(isinstance(bound, str) for bound in mos_range):
        bounds = [read_number(bound) for bound in mos_range]
        fields["mos_range"] = mos_range if None in bounds else bounds
    return fields
