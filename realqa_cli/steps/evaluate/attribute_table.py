"""Tab. 1 of the paper: the agreement of nine fine-grained attributes with their labels, each and on average.

Correlations are of the codes in `attributes` (paper Sec. 4.1); accuracy is the share of exact classes, and
`within_one` that of codes at most one apart. A column without a value is N.A., as in the paper, and left out
of the average, which says so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.datasets.items import TRUTH_FIELD
from realqa_cli.domain import metrics
from realqa_cli.domain.attributes import ATTRIBUTES, Attribute
from realqa_cli.domain.parsing import read_attributes
from realqa_cli.errors import ItemError
from realqa_cli.io.labels import LabelIndex, LabelRow
from realqa_cli.steps.evaluate.evaluate import EvalSettings, MetricLine, estimate_metric, group_labels
from realqa_cli.steps.evaluate.predictions import latest, released

COLUMNS = (
    "eye_catching",
    "composition",
    *(key for key, attribute in ATTRIBUTES.items() if attribute.kind == "choice"),
)
"""The nine columns, in the order of the paper's table."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AttributeTable:
    """Codes of all images: (N, 9) arrays, NaN where there is no pair; counts by column."""

    predicted_N9: Floats
    true_N9: Floats
    unparsed: Mapping[str, int]
    missing: Mapping[str, int]
    rows: tuple[LabelRow, ...]
    repeated: int = 0


def read_table(rows: Iterable[LabelRow], labels: LabelIndex | None = None) -> AttributeTable:
    """The codes of every image's attributes, as predicted, and as `labels` (or the row itself) have them."""
    kept, repeated = latest(rows)
    predicted = np.full((len(kept), len(COLUMNS)), np.nan)
    true = predicted.copy()
    unparsed, missing = dict.fromkeys(COLUMNS, 0), dict.fromkeys(COLUMNS, 0)
    for i, row in enumerate(kept):
        given, known = _predicted(row), _truth(row, labels)
        for j, key in enumerate(COLUMNS):
            try:
                code, truth = (
                    _code(ATTRIBUTES[key], given.get(key)),
                    _true_code(ATTRIBUTES[key], known.get(key)),
                )
            except ValueError:
                unparsed[key] += 1
                continue
            if code is None or truth is None:
                asked = truth is not None or not released(row)  # there, an answer is of some attributes only
                unreadable = row.error is not None or released(row)
                unparsed[key] += asked and unreadable
                missing[key] += asked and not unreadable
            else:
                predicted[i, j], true[i, j] = code, truth
    return AttributeTable(predicted, true, unparsed, missing, tuple(kept), repeated)


def measure(table: AttributeTable, settings: EvalSettings) -> Iterator[MetricLine]:
    """One record a metric and column, each metric's columns followed by their average."""
    names = list(settings.names)
    if "accuracy" in names:
        names.insert(names.index("accuracy") + 1, "within_one")
    groups = group_labels(table.rows, settings.groups)
    for name in names:
        metric = _METRICS[name]
        defined = []
        for j, key in enumerate(COLUMNS):
            present = ~np.isnan(table.true_N9[:, j])
            a, b = table.predicted_N9[present, j], table.true_N9[present, j]
            some = None if groups is None else [g for g, is_there in zip(groups, present, strict=True) if is_there]
            line = estimate_metric(metric, a, b, settings, some)
            if name == "within_one" and len(ATTRIBUTES[key].options) == 2:
                line = {"value": None, "ci95": None, "note": "of two classes all are within one"}
            if line["value"] is not None:
                defined.append(j)
            counts = {"n": int(present.sum()), "unparsed": table.unparsed[key], "missing": table.missing[key]}
            yield {"metric": name, "attribute": key, **line, **counts}
        yield {"metric": name, "attribute": "average", **_average(table, metric, defined, settings, groups)}


def _average(
    table: AttributeTable,
    metric: metrics.Metric,
    columns: list[int],
    settings: EvalSettings,
    groups: list[Any] | None,
) -> MetricLine:
    """The mean of the columns that have a value; its interval is of the mean, all columns drawn together."""

    def mean_N9(predicted_N9: Floats, true_N9: Floats) -> float:
        values = []
        for j in columns:
            present = ~np.isnan(true_N9[:, j])
            values.append(metric(predicted_N9[present, j], true_N9[present, j]))
        if not values:
            raise ValueError("no column has a value")
        return float(np.mean(values))

    left_out = [key for j, key in enumerate(COLUMNS) if j not in columns]
    line = estimate_metric(mean_N9, table.predicted_N9, table.true_N9, settings, groups)
    line |= {
        "n": int((~np.isnan(table.true_N9)).any(axis=1).sum()),
        "unparsed": sum(table.unparsed.values()),
        "missing": sum(table.missing.values()),
        "columns": len(columns),
    }
    if left_out:
        line |= {"left_out": left_out, "note": f"the average of {len(columns)} columns; the others are N.A."}
    return line


def _equal(predicted: Floats, truth: Floats) -> float:
    if len(truth) == 0:
        raise ValueError("accuracy of no pairs has no value")
    return float(np.mean(predicted == truth))  # metrics.accuracy, on codes and without its Python loop


_METRICS: dict[str, metrics.Metric] = metrics.METRICS | {"accuracy": _equal, "within_one": metrics.within_one}


def _attributes(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _predicted(row: LabelRow) -> Mapping[str, Any]:
    """Those of our records, or those of the answer in a row of the release's predictions."""
    if released(row):
        return read_attributes(row.record["predict"])
    return _attributes(row.record.get("attributes"))


def _truth(row: LabelRow, labels: LabelIndex | None) -> Mapping[str, Any]:
    if labels is not None:
        try:
            return _attributes(labels.find(row).record.get("attributes"))
        except ItemError:
            return {}
    if released(row):
        return read_attributes(row.record.get("label"))
    return _attributes(row.record.get(TRUTH_FIELD))


def _code(attribute: Attribute, value: object) -> int | None:
    """None where there is no value. Raises ValueError for one that the attribute does not have."""
    if value is None or (isinstance(value, Mapping) and value.get("score") is None):
        return None
    return attribute.code(value)


def _true_code(attribute: Attribute, value: object) -> int | None:
    """None also for a value that the attribute does not have: then the truth is missing; the answer is not wrong."""
    try:
        return _code(attribute, value)
    except ValueError:
        return None
