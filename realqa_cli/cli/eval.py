"""CLI for `realqa eval`: the agreement of predictions with human opinions.

Run it as `realqa eval preds.jsonl --metric srcc`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import dataset_selection, settings_of
from realqa_cli.cli.output_files import OutputFile, records_kind
from realqa_cli.cli.reporter import Reporter
from realqa_cli.errors import UsageError

if TYPE_CHECKING:
    from realqa_cli.io.labels import LabelIndex, LabelRow
    from realqa_cli.steps.evaluate.evaluate import EvalSettings
    from realqa_cli.steps.evaluate.predictions import PredictionSet

EXAMPLES = """[b]Examples[/b]

realqa eval preds.jsonl

realqa eval preds.jsonl --labels mos.csv --metric srcc --metric plcc --fit logistic --plot preds.png

realqa eval preds.jsonl --labels koniq/ --dataset koniq10k --split test

realqa eval preds.jsonl --compare baseline.jsonl

realqa eval preds.jsonl --export-release generated_predictions.jsonl

realqa eval attrs.jsonl --attributes --labels truth.jsonl
"""

MEASURE = "What is measured"

_PREDICTIONS = "Records of `realqa score` with mos, or the paper's generated_predictions.jsonl; - for stdin."
_METRIC = "srcc, plcc, krcc, rmse, accuracy (of attributes) or all; may be given several times."
_ATTRIBUTES = "Measure the nine attributes and their average, not the score."
_LABELS = "JSON Lines or CSV with the truth; joined by path, then by unique file name."
_COMPARE = "Other predictions: the paired difference on the images of both."
_EXPORT = "Also write scores and MOS as the paper's generated_predictions.jsonl, which the authors' script reads."
_RELEASE = records_kind("predictions in the form of the release", "predict", "label", continues=False)
_PLOT = "Plot scores against MOS, with the fit and the images farthest from it"


def eval(
    context: typer.Context,
    predictions: Annotated[str, typer.Argument(metavar="PREDS.jsonl", show_default=False, help=_PREDICTIONS)],
    metric: Annotated[
        list[str] | None, o.option(MEASURE, "--metric", metavar="NAME", help=_METRIC, default="all")
    ] = None,
    attributes: Annotated[bool, o.option(MEASURE, "--attributes", metavar="", help=_ATTRIBUTES)] = False,
    labels: Annotated[str | None, o.option(MEASURE, "--labels", metavar="FILE", help=_LABELS)] = None,
    dataset: Annotated[str | None, o.dataset_option("The path of --labels")] = None,
    split: o.Split = None,
    subset: o.Subset = None,
    columns: o.Columns = None,
    bootstrap: Annotated[
        int | None,
        o.option(
            MEASURE,
            "--bootstrap",
            metavar="N",
            min=0,
            help="Resamples of the intervals; 0 for none.",
            default="1000",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        o.option(MEASURE, "--groups", metavar="FIELD", help="Resample whole groups of equal values of this field."),
    ] = None,
    seed: Annotated[
        int | None, o.option(MEASURE, "--seed", metavar="N", help="Of the resampling.", default="0")
    ] = None,
    fit: Annotated[
        str | None,
        o.option(
            MEASURE,
            "--fit",
            metavar="NAME",
            help="Before plcc and rmse: none, or logistic (four parameters).",
            default="none",
        ),
    ] = None,
    compare: Annotated[str | None, o.option(MEASURE, "--compare", metavar="FILE", help=_COMPARE)] = None,
    plot: Annotated[Path | None, o.PLOT_FILE, o.plot_option(MEASURE, _PLOT)] = None,
    export_release: Annotated[
        Path | None,
        OutputFile("--export-release", _RELEASE),
        o.option(MEASURE, "--export-release", metavar="FILE.jsonl", help=_EXPORT),
    ] = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Measure how well predictions agree with people: correlations with intervals, and what is missing."""
    from realqa_cli.steps.evaluate.evaluate import EvalSettings

    talk = Reporter.of(context)
    settings = settings_of(context, EvalSettings)
    settings.check()
    _check(predictions, labels, compare, attributes, {"--plot": plot, "--export-release": export_release})
    from realqa_cli.datasets.labels import read_labels

    chosen = dataset_selection(context, of=labels, remedy="name it by --labels")
    join = read_labels(labels, chosen) if labels else None
    if attributes:
        lines = _attribute_lines(predictions, join, settings, talk)
    else:
        lines = _score_lines(predictions, join, settings, compare, plot, export_release, talk)
    return _deliver(lines, json=json, talk=talk)


def _check(
    predictions: str, labels: str | None, compare: str | None, attributes: bool, files: Mapping[str, Path | None]
) -> None:
    for option, value in (("--compare", compare), *files.items()):
        if attributes and value is not None:
            raise UsageError("is for scores", where=option, remedy=f"leave out {option} or --attributes")
    for option, file in (("--labels", labels), ("--compare", compare)):
        if file == "-":
            raise UsageError("standard input is for the predictions", where=option)
        if file is not None and option == "--compare" and file == predictions:
            raise UsageError("is the same file as the predictions", where=option)


def _score_lines(
    predictions: str,
    join: "LabelIndex | None",
    settings: "EvalSettings",
    compare: str | None,
    plot: Path | None,
    export: Path | None,
    talk: Reporter,
) -> Iterator[dict[str, Any]]:
    from realqa_cli.steps.evaluate import evaluate
    from realqa_cli.steps.evaluate.predictions import read_predictions

    sample = read_predictions(_rows(predictions, join), join)
    _tell(sample, predictions, talk, join)
    if compare is None:
        yield from evaluate.evaluate(sample, settings)
    else:
        again = join.unjoined_copy() if join else None
        other = read_predictions(_rows(compare, again), again)
        _tell(other, compare, talk, again)
        yield from evaluate.compare(sample, other, compare, settings)
    if export is not None:
        from realqa_cli.io.jsonl import dump_line, write_atomic
        from realqa_cli.steps.evaluate.release_export import release_rows

        write_atomic(export, "".join(dump_line(row) + "\n" for row in release_rows(sample)))
        left_out = len(sample.predictions) - len(sample.pairs)
        talk.say(f"{export}: {len(sample.pairs)} rows" + (f", {left_out} left out" if left_out else ""))
    if plot is not None:
        from realqa_cli.cli.views import scatter

        figures = {line["metric"]: line for line in evaluate.evaluate(sample, _plain(settings))}
        parts = [
            f"{name.upper()} {figures[name]['value']:.3f}" for name in figures if figures[name]["value"] is not None
        ]
        scatter.draw_scatter(sample, plot, ", ".join([*parts, f"n = {len(sample.pairs)}"]))


def _plain(settings: "EvalSettings") -> "EvalSettings":
    """Correlations without intervals, for the picture's title."""
    return type(settings)(metric=("srcc", "plcc"), bootstrap=0)


def _rows(predictions: str, join: "LabelIndex | None") -> "Iterable[LabelRow]":
    from realqa_cli.io.labels import read_label_rows

    rows = read_label_rows(predictions)
    return join.within(rows) if join else rows


def _tell(sample: "PredictionSet", name: str, talk: Reporter, join: "LabelIndex | None") -> None:
    for note in join.notes() if join else ():
        talk.say(note)
    if sample.repeated:
        talk.say(f"{name}: {sample.repeated} rows of images that come again later; the last one counts")
    if sample.unjoined:
        talk.say(f"{name}: the labels have {sample.unjoined} more images, without a prediction")
    from realqa_cli.steps.evaluate.predictions import data_warnings

    for line in data_warnings(sample, join):
        talk.say(line)


def _attribute_lines(
    predictions: str, join: "LabelIndex | None", settings: "EvalSettings", talk: Reporter
) -> Iterator[dict[str, Any]]:
    from realqa_cli.steps.evaluate.attribute_table import measure, read_table

    table = read_table(_rows(predictions, join), join)
    for note in join.notes() if join else ():
        talk.say(note)
    yield from measure(table, settings)


def _deliver(lines: Iterator[Mapping[str, Any]], *, json: bool, talk: Reporter) -> int:
    """Prints every line and says what kept the run from being whole; the exit code."""
    from realqa_cli.cli.output import JsonLines
    from realqa_cli.cli.views.metrics import MetricTable
    from realqa_cli.steps.evaluate.predictions import FEW

    sink = JsonLines(lambda: None) if json or not sys.stdout.isatty() else MetricTable()
    rows, reasons, fewest = 0, [], FEW
    for line in lines:
        sink.write(line)
        if line["n"] and ("attribute" in line or "compared_with" in line):
            fewest = min(fewest, line["n"])
        rows = max(rows, line.get("unparsed", 0) + line.get("missing", 0))
        if line["value"] is None and "reason" in line:
            reasons.append(f"{line.get('attribute', '')} {line['metric']}".strip() + f": {line['reason']}")
    sink.close()
    for reason in reasons:
        talk.say(f"no {reason}")
    if fewest < FEW:
        talk.say(f"warning: {fewest} pairs are few; below {FEW} the metrics and intervals mean little")
    if rows:
        talk.say(f"not measured: {rows} answers, for want of a value or of its truth")
    return 1 if rows or reasons else 0
