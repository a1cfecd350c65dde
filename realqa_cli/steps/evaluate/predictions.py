"""Reads a file of predictions: for each image a score and its MOS, or the reason why one is absent.

Two kinds of rows are read: realqa's own records (`score`, `mos`) and those of the paper's release,
`generated_predictions.jsonl` (texts `predict` and `label`). No row is dropped: a row without a usable number is
kept, marked as unparsed or missing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from realqa_cli.domain.parsing import labelled_score, predicted_score
from realqa_cli.domain.scales import Scale
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.io.labels import LabelIndex, LabelRow
from realqa_cli.io.numbers import read_number, with_numbers
from realqa_cli.io.records import ImageRecord

LARGEST = 1e100
"""Numbers beyond this overflow when they are squared; no scale has them."""
FEW = 20
"""Pairs below which a warning says that the metrics mean little."""

Problem = Literal["", "unparsed", "missing"]


@dataclass(frozen=True)
class PredictionRow:
    """A row's score, on `scale`, and MOS, on `mos_range`, as far as they are known; else the `problem`."""

    row: LabelRow
    score: float | None = None
    mos: float | None = None
    scale: Scale | None = None
    mos_range: Scale | None = None
    problem: Problem = ""


@dataclass(frozen=True)
class PredictionSet:
    """The predictions of a file, one an image.

    repeated: rows that a later row of the same image replaced.  unjoined: images of the labels without a row.
    """

    predictions: tuple[PredictionRow, ...]
    repeated: int = 0
    unjoined: int = 0

    @property
    def pairs(self) -> list[PredictionRow]:
        """Those with a score and a MOS."""
        return [prediction for prediction in self.predictions if not prediction.problem]

    def count(self, problem: Problem) -> int:
        """How many predictions have this problem."""
        return sum(prediction.problem == problem for prediction in self.predictions)


def data_warnings(sample: PredictionSet, labels: LabelIndex | None = None) -> list[str]:
    """What to know about the data before trusting the metrics: no MOS, no matches, few pairs, odd scales."""
    rows, pairs = [prediction.row for prediction in sample.predictions], sample.pairs
    if not pairs:
        has_mos = any(prediction.mos is not None for prediction in sample.predictions)
        if labels is not None and not has_mos:
            return [labels.explain(rows)]
        return [] if has_mos else ["no record has a `mos`; add --labels FILE with the scores of people"]
    lines = []
    if len(pairs) < FEW:
        lines.append(f"warning: only {plural(len(pairs), 'pair')}; below {FEW} the metrics and intervals mean little")
    mos_range, scale = pairs[0].mos_range, pairs[0].scale
    mos = [pair.mos for pair in pairs if pair.mos is not None]
    if mos_range is not None:
        outside = sum(not mos_range[0] <= value <= mos_range[1] for value in mos)
        if outside:
            bounds = f"{mos_range[0]:g}-{mos_range[1]:g}"
            lines.append(f"warning: {outside} of {len(mos)} MOS are outside their mos_range {bounds}")
    elif scale is not None and any(not scale[0] <= value <= scale[1] for value in mos):
        bounds = f"{scale[0]:g}-{scale[1]:g}"
        lines.append(
            f"warning: scores are on {bounds} and the MOS are not; without mos_range RMSE compares different scales"
        )
    return lines


def read_predictions(rows: Iterable[LabelRow], labels: LabelIndex | None = None) -> PredictionSet:
    """All predictions; `labels` give the MOS of their images. Raises UsageError where scales are mixed."""
    kept, repeated = latest(rows)
    found = tuple(read_prediction(row, labels) for row in kept)
    for what, ranges in (
        ("MOS", {p.mos_range for p in found if not p.problem}),
        ("scores", {p.scale for p in found if not p.problem}),
    ):
        if len(ranges) > 1:
            known = " and ".join(sorted(str(r) if r else "an unknown one" for r in ranges))
            remedy = "evaluate each data set and each model by itself"
            raise UsageError(f"the {what} are on different scales, {known}", where=_file(kept), remedy=remedy)
    return PredictionSet(found, repeated, labels.unused if labels is not None else 0)


def _file(rows: Iterable[LabelRow]) -> str | None:
    return next((row.where.rpartition(":")[0] for row in rows), None)


def latest(rows: Iterable[LabelRow]) -> tuple[list[LabelRow], int]:
    """One row an image, and how many were replaced: results replace errors, the last result the others."""
    kept: dict[str, LabelRow] = {}
    repeated = 0
    for row in rows:
        key = row.path or row.where
        earlier = kept.get(key)
        if earlier is not None and row.failed and not earlier.failed:
            continue
        repeated += earlier is not None and not earlier.failed
        kept[key] = row
    return list(kept.values()), repeated


def read_prediction(row: LabelRow, labels: LabelIndex | None = None) -> PredictionRow:
    """The prediction of one row."""
    if row.error:
        return PredictionRow(row, problem="unparsed")
    if row.failed:
        return PredictionRow(row, problem="missing")
    given = row.record.get("predict" if released(row) else "score")
    score = predicted_score(given) if released(row) else _number(given)
    mos, mos_range = _truth(row, labels)
    problem: Problem = ""
    if score is None:
        problem = "missing" if given is None else "unparsed"
    elif mos is None:
        problem = "missing"
    return PredictionRow(row, score, mos, _pair(row.record.get("scale")), mos_range, problem)


def released(row: LabelRow) -> bool:
    """Whether the row is of the release's file and not a record of ours."""
    return "predict" in row.record and not {"score", "attributes"} & row.record.keys()


def _truth(row: LabelRow, labels: LabelIndex | None) -> tuple[float | None, Scale | None]:
    """The MOS of the labels where they have the image, else the row's own."""
    if labels is not None:
        try:
            joined = labels.find(row).record
        except ItemError:
            joined = {}
        if joined.get("mos") is not None:
            return _mos(joined)
    return (labelled_score(row.record.get("label")), None) if released(row) else _mos(row.record)


def _mos(record: Mapping[str, Any]) -> tuple[float | None, Scale | None]:
    try:
        known = ImageRecord.parse(with_numbers({key: record.get(key) for key in ("mos", "mos_range")}))
    except RecordError:
        return None, None
    return _number(known.mos), Scale.of(known.mos_range) if known.mos_range else None


def _number(value: object) -> float | None:
    """The number, also from text; None for what is not a number or is too large to compute with."""
    number = read_number(value)
    return number if number is not None and abs(number) <= LARGEST else None


def _pair(value: object) -> Scale | None:
    numbers = [_number(v) for v in value] if isinstance(value, list) and len(value) == 2 else [None]
    low, high = numbers[0], numbers[-1]
    return Scale(low, high) if low is not None and high is not None and low < high else None
