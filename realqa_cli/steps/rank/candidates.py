"""Candidates: scored photos with what their comparison needs, in little memory.

A candidate is made from a score record. Its `distribution` becomes two arrays, because a record with 400 pairs of
numbers takes 50 kB as Python objects; where there is none, the normal distribution with the record's mean and
standard deviation takes its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from realqa_cli.errors import RecordError
from realqa_cli.io.numbers import read_number
from realqa_cli.media.capture_time import parse_capture_time
from realqa_cli.media.fingerprint import Fingerprint

Floats = npt.NDArray[np.float64]

EXACT, NORMAL, UNKNOWN = "distribution", "normal", "unknown"
"""Where the probabilities of a candidate come from: the record, its mean and standard deviation, or nowhere."""

_NORMAL_POINTS = 201  # of a normal distribution, within four standard deviations
_LARGEST_TOTAL_ERROR = 0.01  # of the probabilities of a distribution: the small ones are left out of records
_LARGE_FIELDS = ("distribution", "measured")


@dataclass(frozen=True)
class Candidate:
    """A scored photo or video.

    record: the score record without its large fields.  values, probabilities: of the score, ascending; they sum
    to 1.  source: one of `EXACT`, `NORMAL` and `UNKNOWN`, which is one value with probability 1.
    sharpness, pixels (an area), taken (seconds, and as text), fingerprint: of a photo that was measured, else None.
    """

    record: Mapping[str, Any]
    values: Floats
    probabilities: Floats
    source: str
    sharpness: float | None = None
    pixels: int | None = None
    taken: float | None = None
    taken_text: str | None = None
    fingerprint: Fingerprint | None = None

    @property
    def name(self) -> str:
        """The path as it was given."""
        return str(self.record.get("image") or self.record.get("video"))

    @property
    def score(self) -> float:
        """The mean of the distribution, as in the record."""
        return float(self.record["score"])

    @property
    def detail(self) -> float | None:
        """Sharpness times area, so that the larger of two copies is ahead: it holds as much detail or more."""
        return None if self.sharpness is None or self.pixels is None else self.sharpness * self.pixels


def candidate_of(record: Mapping[str, Any]) -> Candidate:
    """Raises `RecordError` for a record whose score, distribution or measurements are damaged."""
    name = str(record.get("image") or record.get("video"))
    try:
        values, probabilities, source = _distribution(record)
        measured = record.get("measured") or {}
        return Candidate(
            {key: value for key, value in record.items() if key not in _LARGE_FIELDS},
            values,
            probabilities,
            source,
            **_measurements(measured),
        )
    except (ValueError, TypeError, LookupError) as error:
        what = f"cannot be ranked by this record: {error}"
        raise RecordError(what, type="record", where=name, remedy="score it again") from error


def _distribution(record: Mapping[str, Any]) -> tuple[Floats, Floats, str]:
    score = _number(record.get("score"), "score")
    pairs = record.get("distribution")
    if pairs is not None:
        return *_from_pairs(pairs), EXACT
    if record.get("std") is None:
        return np.array([score]), np.ones(1), UNKNOWN
    std = _number(record["std"], "std")
    if std < 0:
        raise ValueError("std is negative")
    if std == 0:
        return np.array([score]), np.ones(1), NORMAL
    steps = np.linspace(-4, 4, _NORMAL_POINTS)
    density = np.exp(-(steps**2) / 2)
    return score + std * steps, density / density.sum(), NORMAL


def _from_pairs(pairs: Any) -> tuple[Floats, Floats]:
    table = np.array(pairs, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all() or (table[:, 1] < 0).any():
        raise ValueError("distribution is not a list of [value, probability]")
    total = float(table[:, 1].sum())
    if abs(total - 1) > _LARGEST_TOTAL_ERROR:
        raise ValueError(f"the probabilities of distribution sum to {total:.4g}")
    table = table[np.argsort(table[:, 0], kind="stable")]
    return table[:, 0], table[:, 1] / total


def _measurements(measured: Mapping[str, Any]) -> dict[str, Any]:
    if not measured:
        return {}
    width, height = measured["pixels"]
    return {
        "sharpness": _number(measured["sharpness"], "sharpness"),
        "pixels": int(width) * int(height),
        "taken": parse_capture_time(measured["taken"]),
        "taken_text": measured["taken"],
        "fingerprint": Fingerprint.from_fields(measured["phash"], measured["thumbnail"]),
    }


def _number(value: Any, name: str) -> float:
    number = read_number(value)
    if number is None:
        raise ValueError(f"{name} is not a number")
    return number


def sources_of(candidates: Sequence[Candidate]) -> dict[str, int]:
    """How many candidates have their probabilities from where."""
    counts = {source: sum(each.source == source for each in candidates) for source in (EXACT, NORMAL, UNKNOWN)}
    return {source: count for source, count in counts.items() if count}
