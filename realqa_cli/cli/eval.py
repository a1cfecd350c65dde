"""CLI for `realqa eval`: the agreement of predictions with human opinions.

Run it as `realqa eval preds.jsonl --metric srcc`.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.eval_files import EvalFiles
from realqa_cli.cli.option_values import dataset_selection, settings_of
from realqa_cli.cli.output_files import OutputFile, records_kind
from realqa_cli.cli.reporter import Reporter
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

realqa eval attrs.jsonl --attributes --labels truth.jsonl
"""

MEASURE = "What is measured"

_PREDICTIONS = (
    "Records of `realqa score` with mos (also .jsonl.gz, .csv, .parquet), or the paper's generated_predictions.jsonl;"
    " - for stdin. Several files make one table."
)
_METRIC = "srcc, plcc, krcc, rmse, accuracy (of attributes) or all; may be given several times."
_ATTRIBUTES = "Measure the nine attributes and their average, not the score."
_LABELS = "JSON Lines or CSV with the truth; joined by path, then by unique file name."
_COMPARE = "Other predictions: the paired difference on the images of both."
_EXPORT = "Also write scores and MOS as the paper's generated_predictions.jsonl, which the authors' script reads."
_RELEASE = records_kind("predictions in the form of the release", "predict", "label", continues=False)
_PLOT = "Plot scores against MOS with the fit: of one file with the images farthest from it, of several in one plot"
_PLOT_NAMES = "Number and name the images farthest from the fit (--plot of one file), which is the default."
_LATEX = "Print a LaTeX table (booktabs) with the best values in bold."


def eval(
    context: typer.Context,
    predictions: Annotated[list[str], typer.Argument(metavar="PREDS.jsonl...", show_default=False, help=_PREDICTIONS)],
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
    plot_names: Annotated[bool, o.option(MEASURE, "--plot-names/--no-plot-names", metavar="", help=_PLOT_NAMES)] = True,
    report: o.ReportOption = None,
    latex: Annotated[bool, o.flag(o.OUTPUT, "--latex", help=_LATEX)] = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Measure how well predictions agree with people: correlations with intervals, and what is missing."""
    from realqa_cli.steps.evaluate.evaluate import EvalSettings

    talk = Reporter.of(context)
    settings = settings_of(context, EvalSettings)
    settings.check()
    _check(predictions, labels, compare, attributes, {"--plot": plot, "--export-release": export_release})
    if report is not None and (attributes or compare or len(predictions) > 1):
        what = "is for the scores of one file"
        raise UsageError(what, where="--report", remedy="leave out --attributes and --compare, and give one file")
    if latex and (json or table or compare):
        raise UsageError("excludes --json, --table and --compare", where="--latex", remedy="leave out one of them")
    from realqa_cli.datasets.labels import read_labels

    chosen = dataset_selection(context, of=labels, remedy="name it by --labels")
    join = read_labels(labels, chosen) if labels else None
    if attributes:
        lines = _attribute_lines(predictions, join, settings, talk)
    else:
        lines = _score_lines(
            predictions, join, settings, compare, EvalFiles(plot, plot_names, report, export_release), talk
        )
    return _deliver(lines, _sink(json=json, table=table, latex=latex), talk)


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
    for file in predictions:
        if predictions.count(file) > 1:
            raise UsageError("is given twice", where=file, remedy="name every file once")


def _score_lines(
    files: Sequence[str],
    join: "LabelIndex | None",
    settings: "EvalSettings",
    compare: str | None,
    outputs: EvalFiles,
    talk: Reporter,
) -> Iterator[dict[str, Any]]:
    from realqa_cli.steps.evaluate import evaluate

    samples = {}
    for file in files:
        samples[file] = sample = _read(file, join, talk)
        if compare is None:
            lines = [*evaluate.evaluate(sample, settings)]
            yield from (line | ({"file": file} if len(files) > 1 else {}) for line in lines)
            outputs.write_report(sample, lines, file, settings)
        else:
            yield from evaluate.compare(sample, _read(compare, join, talk), compare, settings)
        outputs.write_release(sample, talk)
    if outputs.plot is not None:
        from realqa_cli.cli.views import scatter

        titles = {file: _figures(sample, settings) for file, sample in samples.items()}
        if len(files) > 1:
            scatter.draw_overlay(
                [(f"{file}: {titles[file]}", sample) for file, sample in samples.items()], outputs.plot
            )
        else:
            scatter.draw_scatter(samples[files[0]], outputs.plot, titles[files[0]], name_farthest=outputs.names)


def _read(file: str, join: "LabelIndex | None", talk: Reporter) -> "PredictionSet":
    from realqa_cli.steps.evaluate.predictions import read_predictions

    labels = join.unjoined_copy() if join else None
    sample = read_predictions(_rows(file, labels), labels)
    _tell(sample, file, talk, labels)
    return sample


def _figures(sample: "PredictionSet", settings: "EvalSettings") -> str:
    """The correlations, for the plot."""
    from realqa_cli.steps.evaluate import evaluate

    figures = {line["metric"]: line["value"] for line in evaluate.evaluate(sample, _plain(settings))}
    parts = [f"{name.upper()} {value:.3f}" for name, value in figures.items() if value is not None]
    return ", ".join([*parts, f"n = {len(sample.pairs)}"])


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
    files: Sequence[str], join: "LabelIndex | None", settings: "EvalSettings", talk: Reporter
) -> Iterator[dict[str, Any]]:
    from realqa_cli.steps.evaluate.attribute_table import measure, read_table

    for file in files:
        labels = join.unjoined_copy() if join else None
        table = read_table(_rows(file, labels), labels)
        for note in labels.notes() if labels else ():
            talk.say(note)
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


def _deliver(lines: Iterator[Mapping[str, Any]], sink: "Sink", talk: Reporter) -> int:
    """Prints every line and says what kept the run from being whole; the exit code."""
    from realqa_cli.steps.evaluate.predictions import FEW

    rows, reasons, fewest = 0, [], FEW
    for line in lines:
        sink.write(line)
        if line["n"] and ("attribute" in line or "compared_with" in line):
            fewest = min(fewest, line["n"])
        rows = max(rows, line.get("unparsed", 0) + line.get("missing", 0))
        if line["value"] is None and "reason" in line:
            named = " ".join(str(line[key]) for key in ("file", "attribute", "metric") if key in line)
            reasons.append(f"{named}: {line['reason']}")
    sink.close()
    for reason in reasons:
        talk.say(f"no {reason}")
    if fewest < FEW:
        talk.say(f"warning: {fewest} pairs are few; below {FEW} the metrics and intervals mean little")
    if rows:
        talk.say(f"not measured: {rows} answers, for want of a value or of its truth")
    return 1 if rows or reasons else 0
