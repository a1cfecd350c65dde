"""CLI for `realqa eval`: the agreement of predictions with human opinions.

Run it as `realqa eval preds.jsonl --metric srcc`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from realqa_cli.cli import eval_options as e
from realqa_cli.cli import options as o
from realqa_cli.cli.eval_files import EvalFiles
from realqa_cli.cli.option_values import dataset_selection, settings_of
from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError

if TYPE_CHECKING:
    from realqa_cli.cli.output import Sink
    from realqa_cli.io.labels import LabelIndex, LabelRow
    from realqa_cli.steps.evaluate.evaluate import EvalSettings
    from realqa_cli.steps.evaluate.predictions import PredictionSet

EXAMPLES = """[b]Examples[/b]

realqa eval preds.jsonl

realqa eval preds.jsonl --labels mos.csv --metric srcc --metric plcc --fit logistic --plot preds.png

realqa eval preds.jsonl --labels koniq/ --dataset koniq10k --split test

realqa eval preds.jsonl --compare baseline.jsonl

realqa eval preds.jsonl --export-release generated_predictions.jsonl

realqa eval ours.jsonl baseline.jsonl other.jsonl --latex --plot overlay.pdf

realqa eval compared.jsonl --pairs

realqa eval attrs.jsonl --attributes --labels truth.jsonl
"""


def eval(
    context: typer.Context,
    predictions: e.Predictions,
    metric: e.Metrics = None,
    attributes: e.Attributes = False,
    pairs: e.Pairs = False,
    labels: e.Labels = None,
    dataset: e.LabelsDataset = None,
    split: o.Split = None,
    subset: o.Subset = None,
    columns: o.Columns = None,
    bootstrap: e.Bootstrap = None,
    groups: e.Groups = None,
    seed: e.Seed = None,
    fit: e.Fit = None,
    compare: e.Compare = None,
    plot: e.Plot = None,
    export_release: e.ExportRelease = None,
    plot_names: e.PlotNames = True,
    report: o.ReportOption = None,
    latex: e.Latex = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Measure how well predictions agree with people: correlations with intervals, and what is missing."""
    from realqa_cli.steps.evaluate.evaluate import EvalSettings

    reporter = Reporter.of(context)
    settings = settings_of(context, EvalSettings)
    if pairs:
        return _measure_pairs(context, predictions, settings, reporter)
    settings.check()
    _check(predictions, labels, compare, attributes, {"--plot": plot, "--export-release": export_release})
    if report is not None and (attributes or compare or len(predictions) > 1):
        what = "is for the scores of one file"
        raise UsageError(what, where="--report", remedy="leave out --attributes and --compare, and give one file")
    if latex and (json or table or compare):
        raise UsageError("excludes --json, --table and --compare", where="--latex", remedy="leave out one of them")
    from realqa_cli.datasets.labels import read_labels

    chosen = dataset_selection(context, of=labels, remedy="name it by --labels")
    index = read_labels(labels, chosen, reporter.say) if labels else None
    sink = _sink(json=json, table=table, latex=latex)
    if attributes:
        return _print(_attribute_lines(predictions, index, settings, reporter), sink, reporter)
    samples = {file: _read(file, index, reporter) for file in predictions}
    other = None if compare is None else (compare, _read(compare, index, reporter))
    lines = list(_score_lines(samples, other, settings))
    code = _print(lines, sink, reporter)
    EvalFiles(plot, plot_names, report, export_release).write(samples, lines, settings, reporter)
    return code


def _measure_pairs(context: typer.Context, files: Sequence[str], settings: "EvalSettings", reporter: Reporter) -> int:
    from realqa_cli.cli.eval_pairs import check_pairs_options, pair_lines

    names = ("attributes", "labels", "dataset", "columns", "compare", "plot", "export_release", "report")
    check_pairs_options({f"--{name.replace('_', '-')}": context.params[name] for name in names})
    _check_repeated(files)
    json, table, latex = (bool(context.params[name]) for name in ("json", "table", "latex"))
    if latex and (json or table):
        raise UsageError("excludes --json and --table", where="--latex", remedy="leave out one of them")
    return _print(pair_lines(files, settings, reporter), _sink(json=json, table=table, latex=latex), reporter)


def _check(
    predictions: Sequence[str],
    labels: str | None,
    compare: str | None,
    attributes: bool,
    files: Mapping[str, Path | None],
) -> None:
    if files["--export-release"] is not None and len(predictions) > 1:
        raise UsageError("is for one file of predictions", where="--export-release", remedy="give one file")
    for option, value in (("--compare", compare), *files.items()):
        if attributes and value is not None:
            raise UsageError("is for scores", where=option, remedy=f"leave out {option} or --attributes")
    if compare is not None and len(predictions) > 1:
        raise UsageError("compares one file with another", where="--compare", remedy="give one file of predictions")
    for option, file in (("--labels", labels), ("--compare", compare)):
        if file == "-":
            raise UsageError("standard input is for the predictions", where=option)
        if file is not None and option == "--compare" and file in predictions:
            raise UsageError("is the same file as the predictions", where=option)
    _check_repeated(predictions)


def _check_repeated(predictions: Sequence[str]) -> None:
    for file in predictions:
        if predictions.count(file) > 1:
            raise UsageError("is given twice", where=file, remedy="name every file once")


def _score_lines(
    samples: Mapping[str, "PredictionSet"], other: "tuple[str, PredictionSet] | None", settings: "EvalSettings"
) -> Iterator[dict[str, Any]]:
    """The metrics of each file, or their difference from those of another file, which comes with its name."""
    from realqa_cli.steps.evaluate import evaluate

    for file, sample in samples.items():
        if other is None:
            named = {"file": file} if len(samples) > 1 else {}
            yield from (line | named for line in evaluate.evaluate(sample, settings))
        else:
            name, theirs = other
            yield from evaluate.compare_predictions(sample, theirs, name, settings)


def _read(file: str, index: "LabelIndex | None", reporter: Reporter) -> "PredictionSet":
    """Read predictions, with the truth of the labels where there are any, and report what is doubtful about them."""
    from realqa_cli.steps.evaluate.predictions import read_predictions

    labels = index.unjoined_copy() if index else None
    sample = read_predictions(_rows(file, labels), labels)
    _report_data(sample, file, reporter, labels)
    return sample


def _rows(predictions: str, index: "LabelIndex | None") -> "Iterable[LabelRow]":
    from realqa_cli.io.labels import read_label_rows

    rows = read_label_rows(predictions)
    return index.within(rows) if index else rows


def _report_data(sample: "PredictionSet", name: str, reporter: Reporter, index: "LabelIndex | None") -> None:
    for note in index.notes() if index else ():
        reporter.say(note)
    if sample.repeated:
        reporter.say(f"{name}: {sample.repeated} rows of images that come again later; the last one counts")
    if sample.unjoined:
        reporter.say(f"{name}: the labels have {sample.unjoined} more images, without a prediction")
    from realqa_cli.steps.evaluate.predictions import data_warnings

    for line in data_warnings(sample, index):
        reporter.say(line)


def _attribute_lines(
    files: Sequence[str], index: "LabelIndex | None", settings: "EvalSettings", reporter: Reporter
) -> Iterator[dict[str, Any]]:
    from realqa_cli.steps.evaluate.attribute_table import measure, read_table

    for file in files:
        labels = index.unjoined_copy() if index else None
        table = read_table(_rows(file, labels), labels)
        for note in labels.notes() if labels else ():
            reporter.say(note)
        for line in measure(table, settings):
            yield line | ({"file": file} if len(files) > 1 else {})


def _sink(*, json: bool, table: bool, latex: bool) -> "Sink":
    from realqa_cli.cli.output import JsonLines

    if latex:
        from realqa_cli.cli.views.latex import LatexTable

        return LatexTable()
    if table or (sys.stdout.isatty() and not json):
        from realqa_cli.cli.views.metrics import MetricTable

        return MetricTable()
    return JsonLines()


def _print(lines: Iterable[Mapping[str, Any]], sink: "Sink", reporter: Reporter) -> int:
    """Print every line, and report what was not measured. Returns the exit code."""
    from realqa_cli.steps.evaluate.predictions import FEW

    rows, reasons, fewest = 0, [], FEW
    for line in lines:
        sink.write(line)
        if line["n"] and ({"attribute", "compared_with", "ties"} & line.keys()):
            fewest = min(fewest, line["n"])
        rows = max(rows, line.get("unparsed", 0) + line.get("missing", 0))
        if line["value"] is None and "reason" in line:
            named = " ".join(str(line[key]) for key in ("file", "attribute", "metric") if key in line)
            reasons.append(f"{named}: {line['reason']}")
    sink.close()
    for reason in reasons:
        reporter.say(f"no {reason}")
    if fewest < FEW:
        reporter.say(f"warning: only {plural(fewest, 'pair')}; below {FEW} the metrics and intervals mean little")
    if rows:
        reporter.say(f"not measured: {rows} answers, for want of a value or of its truth")
    return 1 if rows or reasons else 0
