"""The scores and labels of the same photos, joined by image."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.io.labels import LabelIndex, LabelRow
from realqa_cli.steps.calibrate.curves import Floats


@dataclass(frozen=True)
class LabelledScores:
    """One row for each photo with a score and a label.

    photos: what identifies each.  scale: of the scores.  label_range: the `mos_range` of the labels, if they have it.
    runs: ids of the runs of the scores.  counts: rows that were left out, by reason.
    flaws: an example of each reason that is a mistake.
    """

    scores_N: Floats
    labels_N: Floats
    photos: list[str]
    scale: Scale
    label_range: Scale | None
    runs: tuple[str, ...]
    counts: Counter[str]
    flaws: list[str]


def join_labels(scores: Iterable[LabelRow], labels: LabelIndex, target: str) -> LabelledScores:
    """Joins scores to labels. target: the field of the labels.

    Raises UsageError if no score has a label, or if the scores are on different scales.
    """
    rows: dict[str, tuple[float, float]] = {}
    counts: Counter[str] = Counter()
    flaws: dict[str, str] = {}
    scales: dict[Scale, None] = {}
    ranges: dict[Scale | None, None] = {}
    runs: dict[str, None] = {}
    unmatched: list[LabelRow] = []
    for row in scores:
        try:
            score, scale = _score_of(row)
            label = labels.find(row)
            value, label_range = _label_of(label, target)
        except ItemError as error:
            counts[error.type] += 1
            flaws.setdefault(error.type, str(error))
            if error.type == "unmatched":
                unmatched.append(row)
            continue
        photo = str(row.record.get("content") or row.path)
        counts["repeated"] += photo in rows
        rows.setdefault(photo, (score, value))
        scales[scale] = ranges[label_range] = None
        runs |= {run: None for run in [row.record.get("run")] if isinstance(run, str)}
    if not rows:
        raise UsageError(
            _why_nothing(flaws, labels, unmatched), where="realqa calibrate fit", remedy="check both files"
        )
    for what, found in (("scores", scales), ("labels", ranges)):
        if len(found) > 1:
            named = " and ".join(str(each) for each in found)
            raise UsageError(f"the {what} are on different scales: {named}", remedy="calibrate each on its own")
    pairs = np.array([*rows.values()], dtype=np.float64)
    shown = [flaw for kind, flaw in flaws.items() if kind not in ("failed", "unmatched")]
    return LabelledScores(
        pairs[:, 0], pairs[:, 1], [*rows], next(iter(scales)), next(iter(ranges)), tuple(runs), +counts, shown
    )


def score_of(record: Mapping[str, Any], where: str) -> float:
    """The score of a record. Raises RecordError if it has none."""
    value = record.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError("the record has no score", type="record", where=where)
    return float(value)


def _score_of(row: LabelRow) -> tuple[float, Scale]:
    if row.error is not None:
        raise row.error
    if row.failed:
        raise ItemError("an earlier step failed here", type="failed", where=row.name)
    return score_of(row.record, row.where), _scale(row.record.get("scale"), "scale", row.where)


def _label_of(row: LabelRow, target: str) -> tuple[float, Scale | None]:
    value = row.record.get(target)
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        what = f"the label has no {target}" if value is None else f"{target}: {value!r} is not a number"
        raise RecordError(what, type="no label" if value is None else "record", where=row.where)
    bounds = row.record.get("mos_range") if target == "mos" else None
    return number, None if bounds is None else _scale(bounds, "mos_range", row.where)


def _scale(bounds: Any, name: str, where: str) -> Scale:
    try:
        return Scale.of(bounds)
    except (TypeError, ValueError) as error:
        raise RecordError(f"{name}: {bounds!r} is not [lowest, highest]", type="record", where=where) from error


def _why_nothing(flaws: Mapping[str, str], labels: LabelIndex, unmatched: list[LabelRow]) -> str:
    if unmatched and {*flaws} <= {"unmatched", "failed"}:
        return labels.explain(unmatched)
    return f"no score has a label: {next(iter(flaws.values()), 'the file of scores is empty')}"
