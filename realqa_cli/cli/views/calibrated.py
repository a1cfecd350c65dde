"""Calibrated scores of records as texts, for the table of scores and for the report."""

from collections.abc import Mapping
from typing import Any


def calibrated_text(record: Mapping[str, Any]) -> str:
    """The calibrated score, with the decimals that its range has room for."""
    return _label(record["calibrated"], record)


def calibrated_interval(record: Mapping[str, Any]) -> str | None:
    """The interval of the calibrated score; None where the record has none."""
    interval = record.get("calibrated_interval")
    return None if interval is None else f"{_label(interval[0], record)}–{_label(interval[1], record)}"


def _label(value: float, record: Mapping[str, Any]) -> str:
    low, high = record.get("calibrated_range") or (0.0, 1.0)
    return f"{value:.{1 if high - low > 10 else 2}f}"
