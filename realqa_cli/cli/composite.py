"""CLI for `realqa composite fit` and `realqa composite apply`: one score from attributes, fitted to feedback."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.command import Command, Group
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.output import JsonLines, OutputOptions
from realqa_cli.cli.output_files import OutputFile, OutputKind, is_json
from realqa_cli.cli.reporter import Reporter
from realqa_cli.errors import OutputError, UsageError
from realqa_cli.io.jsonl import dump_line

if TYPE_CHECKING:
    from realqa_cli.steps.composite.composite import CompositeSettings
    from realqa_cli.steps.composite.feedback import FeedbackTable
    from realqa_cli.steps.composite.weights_file import Weights

FIT_EXAMPLES = """[b]Examples[/b]

realqa composite fit labels.jsonl --target ctr -o weights.json

realqa composite fit labels.jsonl --feedback clicks.csv --target ctr -o weights.json --plot weights.png
"""

APPLY_EXAMPLES = """[b]Examples[/b]

realqa composite apply --weights weights.json labels.jsonl > ranked.jsonl

realqa self-label photos/ | realqa composite apply --weights weights.json
"""

FITTING = "Fitting"

WEIGHTS = OutputKind(
    "a file of weights", (".json",), lambda path: is_json(path, lambda weights: "cross_validation" in weights)
)
_LABELS = "Records of `realqa annotate` or `realqa self-label`; - for stdin."
LabelFiles = Annotated[list[str], typer.Argument(metavar="LABELS.jsonl", show_default=False, help=_LABELS)]
LabelFile = Annotated[str, typer.Argument(metavar="LABELS.jsonl", show_default=False, help=_LABELS)]
_TARGET = "Numeric field with the feedback; dots lead into nested fields."
Target = Annotated[str, o.option(FITTING, "--target", metavar="FIELD", help=_TARGET)]
_FEEDBACK = "JSON Lines or CSV with the target, if the labels lack it; joined by path, then by unique file name."
Feedback = Annotated[str | None, o.option(FITTING, "--feedback", metavar="FILE", help=_FEEDBACK)]
_COMPONENTS = "Components of the partial least squares; chosen by cross-validation by default."
Components = Annotated[int | None, o.option(FITTING, "--components", metavar="N", min=1, help=_COMPONENTS)]
_BOOTSTRAP = "Bootstrap samples for the weights' intervals; 0 for none."
Bootstrap = Annotated[int | None, o.option(FITTING, "--bootstrap", metavar="N", min=0, help=_BOOTSTRAP, default="200")]
_SEED = "Random seed for the folds and the bootstrap."
Seed = Annotated[int | None, o.option(FITTING, "--seed", metavar="N", help=_SEED, default="0")]
_PLOT = "Plot the weights, their importance and the cross-validation"
Plot = Annotated[Path | None, o.PLOT_FILE, o.plot_option(o.OUTPUT, _PLOT)]
_WEIGHTS_OUT = "Write the weights to this file, for `realqa composite apply`."
WeightsOutput = Annotated[
    Path | None,
    OutputFile("--output", WEIGHTS),
    o.option(o.OUTPUT, "--output", "-o", metavar="weights.json", help=_WEIGHTS_OUT),
]
_WEIGHTS_IN = "A file written by `realqa composite fit`."
WeightsFile = Annotated[Path, o.option(FITTING, "--weights", metavar="weights.json", help=_WEIGHTS_IN)]

app = typer.Typer(cls=Group, rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def composite(context: typer.Context) -> None:
    """Fit weights of the attributes to feedback from people, and add the weighted sum to labels."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("fit", cls=Command, epilog=FIT_EXAMPLES)
def fit(
    context: typer.Context,
    labels: LabelFiles,
    target: Target,
    feedback: Feedback = None,
    components: Components = None,
    bootstrap: Bootstrap = None,
    seed: Seed = None,
    plot: Plot = None,
    output: WeightsOutput = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Fit a weight for each attribute to labels with a feedback field, by partial least squares."""
    from realqa_cli.steps.composite import composite as step

    reporter = Reporter.of(context)
    settings = settings_of(context, step.CompositeSettings)
    settings.check()
    if output is not None and no_resume and not overwrite:
        _refuse_existing(output)
    table = _read_table(labels, feedback, settings, reporter)
    weights, notes = step.fit_composite(table, settings)
    if output is not None:
        _write_weights(weights, output, overwrite, reporter)
    if plot is not None:
        from realqa_cli.cli.views.weights_plot import draw_weights

        draw_weights(weights, plot)
    _show(weights, json=json)
    for note in notes:
        reporter.say(note)
    return _report_left_out(table, reporter)


@app.command("apply", cls=Command, epilog=APPLY_EXAMPLES)
def apply(
    context: typer.Context,
    weights: WeightsFile,
    labels: LabelFile = "-",
    output: o.CompositesOutput = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> int:
    """Add `composite`, the weighted sum of the attributes, to each label, in the unit of the feedback."""
    from realqa_cli.io.labels import read_label_rows
    from realqa_cli.steps.composite import composite as step
    from realqa_cli.steps.composite.weights_file import read_weights

    reporter, options = Reporter.of(context), OutputOptions.of(context)
    fitted = read_weights(weights)
    counts: Counter[str] = Counter()
    with options.appender(_key) or nullcontext() as file:
        write = file.append if file else JsonLines().write
        for record in step.apply_composite(read_label_rows(labels), fitted):
            failed = record.get("error") is not None
            before = not failed and file is not None and file.take(_key(record))
            if not before:
                write(record)
            counts["failed" if failed else "before" if before else "done"] += 1
            counts["imputed"] += "composite_imputed" in record
    return _report_applied(counts, reporter)


def _key(record: Mapping[str, Any]) -> str | None:
    """What makes two records the same work: their whole content; None for failed items, which are tried again."""
    return None if record.get("error") is not None else dump_line(record)


def _report_applied(counts: Mapping[str, int], reporter: Reporter) -> int:
    if counts["imputed"]:
        reporter.say(f"records without some attribute, for which the mean was used: {counts['imputed']}")
    words = (("done", "have a composite"), ("before", "had it before"), ("failed", "failed"))
    parts = "; ".join(f"{counts[key]} {word}" for key, word in words if counts[key])
    reporter.say(f"records: {parts or 0}")
    return 1 if counts["failed"] else 0


def _refuse_existing(output: Path) -> None:
    """Raises `OutputError` for a file that holds something."""
    if output.exists() and output.stat().st_size:
        raise OutputError("the file is not empty", where=str(output), remedy="add --overwrite, or choose another file")


def _write_weights(weights: "Weights", output: Path, overwrite: bool, reporter: Reporter) -> None:
    """Write the weights; equal ones remain as they are, others need --overwrite. Raises `OutputError`."""
    from realqa_cli.steps.composite.weights_file import read_weights

    if not overwrite and output.exists() and output.stat().st_size:
        if read_weights(output) == weights:
            reporter.say(f"{output} has these weights already")
            return
        remedy = "add --overwrite to replace them, or choose another file"
        raise OutputError("the file is not empty: it has other weights", where=str(output), remedy=remedy)
    weights.write(output)


def _read_table(
    labels: Sequence[str], feedback: str | None, settings: "CompositeSettings", reporter: Reporter
) -> "FeedbackTable":
    from realqa_cli.datasets.labels import read_labels
    from realqa_cli.io.labels import STDIN, read_label_rows
    from realqa_cli.steps.composite.feedback import read_feedback

    if feedback == STDIN or list(labels).count(STDIN) > 1:
        raise UsageError("standard input can be one file of labels only", where=STDIN)
    index = read_labels(feedback) if feedback else None
    table = read_feedback(chain.from_iterable(map(read_label_rows, labels)), settings.target, index)
    for note in index.notes() if index else ():
        reporter.say(note)
    return table


def _report_left_out(table: "FeedbackTable", reporter: Reporter) -> int:
    """Report the labels that were not used; the exit code is 1 where one is damaged."""
    words = {
        "no target": "labels without feedback, left out",
        "unmatched": "labels without a matching row of feedback, left out",
        "failed": "records of items that failed earlier, skipped",
    }
    for kind, count in table.counts.items():
        reporter.say(f"{words.get(kind, 'labels that cannot be used')}: {count}")
    for flaw in table.flaws:
        reporter.say(f"for example: {flaw}")
    return 1 if set(table.counts) - set(words) else 0


def _show(weights: "Weights", *, json: bool) -> None:
    """Print the weights: a table on a terminal, else JSON Lines."""
    from realqa_cli.cli.views.weights import lines_of, print_weights

    if not json and sys.stdout.isatty():
        print_weights(weights)
        return
    sink = JsonLines()
    for line in lines_of(weights):
        sink.write(line)
