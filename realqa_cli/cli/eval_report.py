"""`realqa eval --report`: the HTML report of predictions, with the MOS of each photo and the metrics at the top."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from realqa_cli import __version__
from realqa_cli.cli.views.report import Report
from realqa_cli.io.manifest import Manifest
from realqa_cli.steps.evaluate.evaluate import EvalSettings
from realqa_cli.steps.evaluate.predictions import PredictionRow, PredictionSet


def write_eval_report(
    sample: PredictionSet, lines: Sequence[Mapping[str, Any]], file: str, settings: EvalSettings, page: Path
) -> None:
    """Write the page of a file's predictions; `lines` are the metrics. Raises `OutputError`."""
    report = Report(_path_of, page=page, title=f"{Path(file).name} and MOS")
    report.lines = [_described(line) for line in lines]
    bounds = _observed(sample)
    for prediction in sample.predictions:
        report.add(_record(prediction, bounds))
    manifest = Manifest("eval", {"predictions": os.path.basename(file), **vars(settings)}, {"realqa": __version__})
    report.write(page, manifest.as_json())


def _record(prediction: PredictionRow, bounds: list[float]) -> dict[str, Any]:
    row = prediction.row
    record = {**row.record, row.kind: row.name}
    if prediction.score is None:
        message = row.error.what if row.error else "the row has no score that can be read"
        earlier = row.record.get("error")
        return record | {"error": earlier if isinstance(earlier, Mapping) else {"message": f"{row.name}: {message}"}}
    scale, mos_range = prediction.scale, prediction.mos_range
    known: dict[str, Any] = {"score": prediction.score, "mos": prediction.mos, "error": None}
    known["scale"] = list(scale) if scale else list(mos_range) if mos_range else bounds
    known["mos_range"] = list(mos_range) if mos_range else None
    return record | known


def _observed(sample: PredictionSet) -> list[float]:
    """The lowest and the highest score or MOS, for records that name no scale."""
    numbers = [n for p in sample.predictions for n in (p.score, p.mos) if n is not None]
    return [min(numbers), max(numbers)] if numbers and min(numbers) < max(numbers) else [0.0, 1.0]


def _described(line: Mapping[str, Any]) -> str:
    value, interval = line["value"], line["ci95"]
    if value is None:
        return f"{line['metric'].upper()}: none ({line.get('reason', 'not defined')})"
    between = "" if interval is None else f", 95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
    return f"{line['metric'].upper()} {value:.3f}{between}, n = {line['n']}"


def _path_of(record: Mapping[str, Any]) -> Path | None:
    name = record.get("image") or record.get("video")
    return Path(name) if isinstance(name, str) and os.path.isfile(name) else None
