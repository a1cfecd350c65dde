"""The run of `realqa leaderboard`: every model scores every data set, and the metrics of all are compared."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from realqa_cli.cli.leaderboard_grid import GridCell, GridDataset
from realqa_cli.cli.output import RecordWriter
from realqa_cli.cli.reporter import Reporter
from realqa_cli.cli.views.metrics import best_value
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.ray import RecordSource
from realqa_cli.io.labels import LabelRow, read_label_rows
from realqa_cli.io.leaderboard_record import LeaderboardRecord
from realqa_cli.io.run_files import read_runs
from realqa_cli.models import ModelSource
from realqa_cli.steps.evaluate.evaluate import EvalSettings, MetricLine, compare_predictions, evaluate
from realqa_cli.steps.evaluate.predictions import PredictionSet, read_predictions
from realqa_cli.steps.score.score import ScoreSettings, open_scorer


@dataclass
class GridModel:
    """A row of the grid; the model is loaded when a cell needs it, and once more for photos that are scored twice."""

    scoring: ScoreSettings
    source: ModelSource

    @cached_property
    def scorer(self) -> RecordSource:
        """The loaded model. Raises ModelError."""
        return open_scorer(self.scoring)

    @cached_property
    def second_scorer(self) -> RecordSource:
        """The model, loaded again, with another batch size. What it says was said when it was loaded first."""
        log = logging.getLogger("realqa")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            return open_scorer(replace(self.scoring, batch_size=1 if self.scoring.batch_size > 1 else 2))
        finally:
            log.setLevel(level)


@dataclass(frozen=True)
class GridResult:
    """What a cell came to. failed: why the model could not run; then there are no predictions."""

    predictions: PredictionSet
    repeatability: float | None = None
    repeated: int = 0
    failed: str | None = None


def run_cell(cell: GridCell, model: GridModel, reporter: Reporter, *, resume: bool, overwrite: bool) -> GridResult:
    """Score the photos of the cell that have no score yet, unless all of them have. Raises OutputError."""
    try:
        if overwrite or not resume or not cell.is_complete(model.source):
            _score_cell(cell, model, reporter, resume=resume, overwrite=overwrite)
    except ModelError as error:
        reporter.say(str(error))
        return GridResult(PredictionSet(()), failed=str(error))
    first, again = _scores(cell, again=False), _scores(cell, again=True)
    both = [abs(score - first[name]) for name, score in again.items() if name in first] if cell.repeat else []
    rows = read_predictions(_rows(cell, again=False))
    return GridResult(rows, max(both, default=None), len(both))


def _score_cell(cell: GridCell, model: GridModel, reporter: Reporter, *, resume: bool, overwrite: bool) -> None:
    cell.unmark()
    reporter.say(f"{cell.scoring.model} on {cell.dataset.label}")
    failed, runs = 0, []
    for again in (False, True) if cell.repeat else (False,):
        items = cell.items(again=again)
        options = cell.output(again=again, resume=resume, overwrite=overwrite)
        with reporter.bar("loading the model", len(items)) as bar:
            with RecordWriter(options, reporter, bar) as writer:
                source = model.second_scorer if again else model.scorer
                writer.begin(source.manifest)
                writer.take(source.records(items, done=writer.finished))
            failed += writer.finish()
        runs.append(source.manifest.run)
    if not failed:
        cell.mark_complete(model.source, runs)


def _rows(cell: GridCell, *, again: bool) -> Iterator[LabelRow]:
    """The records of the cell's photos by the last run, or one with the same settings."""
    file = cell.again if again else cell.scores
    manifests = read_runs(file)
    last = next(reversed(manifests.values()), None)
    settings = None if last is None else last.get("settings")
    runs = {run for run, manifest in manifests.items() if manifest.get("settings") == settings}
    names = {item.name for item in cell.items(again=again)}
    for row in read_label_rows(str(file)):
        if row.record.get("image", row.record.get("video")) in names and row.record.get("run") in (*runs, None):
            yield row


def _scores(cell: GridCell, *, again: bool) -> dict[str, float]:
    if again and not cell.repeat:
        return {}
    return {row.name: row.record["score"] for row in _rows(cell, again=again) if row.record.get("score") is not None}


def board_records(
    results: Mapping[tuple[str, str], GridResult],
    models: Sequence[str],
    datasets: Sequence[GridDataset],
    settings: EvalSettings,
) -> Iterator[dict[str, Any]]:
    """One record for each data set, metric and model; `results` are by model and data set."""
    for dataset in datasets:
        cells = {model: results[model, dataset.label] for model in models}
        lines = {model: _measured(cell, settings) for model, cell in cells.items()}
        for metric in settings.names:
            known = {model: found[metric]["value"] for model, found in lines.items()}
            best = best_value([*known.values()], metric)  # None of a single model
            leader = next((model for model in models if best is not None and known[model] == best), None)
            for model in models:
                line, difference = lines[model][metric], _no_difference()
                if leader is not None and model != leader and known[model] is not None:
                    difference = _difference(cells[model], cells[leader], leader, replace(settings, metric=(metric,)))
                yield _record(dataset.label, model, line, cells[model], difference, is_best=model == leader)


def _measured(cell: GridResult, settings: EvalSettings) -> dict[str, MetricLine]:
    lines = {line["metric"]: line for line in evaluate(cell.predictions, settings)}
    return lines if cell.failed is None else {name: line | {"reason": cell.failed} for name, line in lines.items()}


def _no_difference() -> MetricLine:
    return {"difference": None, "difference_ci95": None, "p": None}


def _difference(ours: GridResult, theirs: GridResult, name: str, settings: EvalSettings) -> MetricLine:
    try:
        (line,) = compare_predictions(ours.predictions, theirs.predictions, name, settings)
    except UsageError:  # no photo has a score of both
        return _no_difference()
    return {"difference": line["value"], "difference_ci95": line["ci95"], "p": line["p"]}


def _record(
    dataset: str, model: str, line: MetricLine, cell: GridResult, difference: MetricLine, *, is_best: bool
) -> dict[str, Any]:
    fields: dict[str, Any] = {key: line[key] for key in ("metric", "value", "ci95", "n", "unparsed", "missing")}
    fields |= {"dataset": dataset, "model": model, "best": is_best, **difference, "reason": line.get("reason")}
    fields |= {"repeatability": cell.repeatability, "repeated": cell.repeated}
    return LeaderboardRecord(**fields).model_dump()


def lacks(records: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a metric has no value, or some photos have no score."""
    return any(each["value"] is None or each["unparsed"] or each["missing"] for each in records)
