"""What a file of predictions says of each image: a score and its MOS, or why there is none.

Two kinds of rows are read: realqa's own records (`score`, `mos`) and those of the paper's release,
`generated_predictions.jsonl` (texts `predict` and `label`). Nothing is dropped and nothing guessed: a row
that gives no number is kept and says whether its answer is unparsed or something is missing.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.joins import Join, Row
from realqa_cli.records import ImageRecord

Problem = Literal["", "unparsed", "missing"]
Range = tuple[float, float]

_NUMBER = r"(-?\d+(?:\.\d+)?)(?!\d|[.,]\d|\s*[-–]\s*\d)"  # "3,99" and "3-4" are no numbers
_SENTENCE = re.compile(rf"score of this (?:image|video) is\s*{_NUMBER}", re.IGNORECASE)
_BRACKETS = re.compile(r"<(?!\|)([^<>]*)>")  # not the <|im_end|> of a chat template


@dataclass(frozen=True)
class Prediction:
    """A row's score, on `scale`, and MOS, on `mos_range`, as far as they are known; else the `problem`."""

    row: Row
    score: float | None = None
    mos: float | None = None
    scale: Range | None = None
    mos_range: Range | None = None
    problem: Problem = ""


@dataclass(frozen=True)
class Sample:
    """The predictions of a file, one an image.

    repeated: rows that a later row of the same image replaced.  unjoined: images of the labels without a row.
    """

    predictions: tuple[Prediction, ...]
    repeated: int = 0
    unjoined: int = 0

    @property
    def pairs(self) -> list[Prediction]:
        """Those with a score and a MOS."""
        return [prediction for prediction in self.predictions if not prediction.problem]

    def count(self, problem: Problem) -> int:
        """How many predictions have this problem."""
        return sum(prediction.problem == problem for prediction in self.predictions)


def read_sample(rows: Iterable[Row], labels: Join | None = None) -> Sample:
    """All predictions; `labels` give the MOS of their images. Raises UsageError where scales are mixed."""
    kept, repeated = latest(rows)
    found = tuple(read(row, labels) for row in kept)
    for what, ranges in (
        ("MOS", {p.mos_range for p in found if not p.problem}),
        ("scores", {p.scale for p in found if not p.problem}),
    ):
        if len(ranges) > 1:
            known = " and ".join(sorted(f"{r[0]:g}-{r[1]:g}" if r else "an unknown one" for r in ranges))
            remedy = "evaluate each data set and each model by itself"
            raise UsageError(f"the {what} are on different scales, {known}", where=_file(kept), remedy=remedy)
    return Sample(found, repeated, labels.unused if labels is not None else 0)


def _file(rows: Iterable[Row]) -> str | None:
    return next((row.where.rpartition(":")[0] for row in rows), None)


def latest(rows: Iterable[Row]) -> tuple[list[Row], int]:
    """One row an image, and how many were replaced: results replace errors, the last result the others."""
    kept: dict[str, Row] = {}
    repeated = 0
    for row in rows:
        key = row.path or row.where
        earlier = kept.get(key)
        if earlier is not None and row.failed and not earlier.failed:
            continue
        repeated += earlier is not None and not earlier.failed
        kept[key] = row
    return list(kept.values()), repeated


def read(row: Row, labels: Join | None = None) -> Prediction:
    """The prediction of one row."""
    if row.error:
        return Prediction(row, problem="unparsed")
    if row.failed:
        return Prediction(row, problem="missing")
    released = "score" not in row.record and "predict" in row.record
    given = row.record.get("predict" if released else "score")
    score = predicted_score(given) if released else _number(given)
    mos, mos_range = _truth(row, labels, released)
    problem: Problem = ""
    if score is None:
        problem = "missing" if given is None else "unparsed"
    elif mos is None:
        problem = "missing"
    return Prediction(row, score, mos, _pair(row.record.get("scale")), mos_range, problem)


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


def _truth(row: Row, labels: Join | None, released: bool) -> tuple[float | None, Range | None]:
    """The MOS of the labels where they have the image, else the row's own."""
    if labels is not None:
        try:
            joined = labels.find(row).record
        except ItemError:
            joined = {}
        if joined.get("mos") is not None:
            return _mos(joined)
    return (labelled_score(row.record.get("label")), None) if released else _mos(row.record)


def _mos(record: Mapping[str, Any]) -> tuple[float | None, Range | None]:
    try:
        known = ImageRecord.parse({key: record.get(key) for key in ("mos", "mos_range")})
    except RecordError:
        return None, None
    return _number(known.mos), known.mos_range


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    with suppress(OverflowError):  # an int beyond all floats
        return float(value)
    return None


def _pair(value: object) -> Range | None:
    numbers = [_number(v) for v in value] if isinstance(value, list) and len(value) == 2 else [None]
    low, high = numbers[0], numbers[-1]
    return (low, high) if low is not None and high is not None and low < high else None
