"""The doors of `realqa composite fit` and `realqa composite apply`: from feedback to one score.

Run them as `realqa composite fit labels.jsonl --target ctr -o weights.json` and
`realqa composite apply --weights weights.json labels.jsonl`.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter
from realqa_cli.errors import UsageError
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

LEARNING = "Learning"

_LABELS = "Records of `realqa annotate` or `realqa self-label`; - for stdin."
_TARGET = "The field that holds the feedback, a number; dots lead into fields of fields."
_FEEDBACK = "JSON Lines or CSV that holds the target instead; joined by path, then by unique file name."
_COMPONENTS = "Components of the partial least squares; by default cross-validation decides."
_PLOT = "Draw the weights, their importance and the cross-validation (.png, .pdf or .svg)."
_WEIGHTS_OUT = "Write the weights to this file, for `realqa composite apply`."
_WEIGHTS_IN = "The file that `realqa composite fit` wrote."
_OVERWRITE = "Replace what the output file holds."

app = typer.Typer(rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def composite(context: typer.Context) -> None:
    """Weigh the attributes by feedback from people, and add the weighted sum to labels."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("fit", epilog=FIT_EXAMPLES)
def fit(
    context: typer.Context,
    labels: Annotated[list[str], typer.Argument(metavar="LABELS.jsonl", show_default=False, help=_LABELS)],
    target: Annotated[str, o.option(LEARNING, "--target", metavar="FIELD", help=_TARGET)],
    feedback: Annotated[str | None, o.option(LEARNING, "--feedback", metavar="FILE", help=_FEEDBACK)] = None,
    components: Annotated[int | None, o.option(LEARNING, "--components", metavar="N", min=1, help=_COMPONENTS)] = None,
    bootstrap: Annotated[
        int | None,
        o.option(
            LEARNING,
            "--bootstrap",
            metavar="N",
            min=0,
            help="Resamples of the weights' intervals; 0 for none.",
            default="200",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        o.option(LEARNING, "--seed", metavar="N", help="Of the folds and the resampling.", default="0"),
    ] = None,
    plot: Annotated[Path | None, o.option(o.OUTPUT, "--plot", metavar="FILE.png", help=_PLOT)] = None,
    output: Annotated[
        Path | None, o.option(o.OUTPUT, "--output", "-o", metavar="weights.json", help=_WEIGHTS_OUT)
    ] = None,
    overwrite: Annotated[bool, o.flag(o.OUTPUT, "--overwrite", help=_OVERWRITE)] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Learn what each attribute is worth from labels with a feedback field, by partial least squares."""
    from realqa_cli.steps.composite import composite as step

    talk = Reporter(quiet or bool(context.obj))
    settings = o.settings_of(context, step.CompositeSettings)
    settings.check()
    _check_output(output, overwrite)
    if plot is not None:
        from realqa_cli.cli.views import scatter

        scatter.check_plot_path(plot)
    sample = _sample(labels, feedback, settings, talk)
    weights, notes = step.fit_composite(sample, settings)
    if output is not None:
        weights.write(output)
    if plot is not None:
        from realqa_cli.cli.views import weights_plot as picture

        picture.draw_weights(weights, plot)
    _show(weights, json=json)
    for note in notes:
        talk.say(note)
    return _tell_left_out(sample, talk)


@app.command("apply", epilog=APPLY_EXAMPLES)
def apply(
    context: typer.Context,
    weights: Annotated[Path, o.option(LEARNING, "--weights", metavar="weights.json", help=_WEIGHTS_IN)],
    labels: Annotated[str, typer.Argument(metavar="LABELS.jsonl", show_default=False, help=_LABELS)] = "-",
    output: o.Output = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> int:
    """Add `composite`, the weighted sum of the attributes, to each label; in the unit of the feedback."""
    from realqa_cli.cli.delivery import OutputOptions
    from realqa_cli.cli.sinks import JsonLines
    from realqa_cli.io.appender import Appender
    from realqa_cli.io.labels import read_label_rows
    from realqa_cli.steps.composite import composite as step
    from realqa_cli.steps.composite.weights_file import read_weights

    talk = Reporter(quiet or bool(context.obj))
    OutputOptions(output, not no_resume, overwrite, sources=(labels,)).check()
    known = read_weights(weights)
    counts: Counter[str] = Counter()
    resume = not no_resume
    appender = Appender(output, resume=resume, overwrite=overwrite, key=_finished) if output else None
    with appender or nullcontext() as file:
        write = file.append if file else JsonLines(lambda: None).write
        for record in step.apply_composite(read_label_rows(labels), known):
            before = file is not None and file.take(_finished(record))
            if not before:
                write(record)
            counts["failed" if record.get("error") is not None else "before" if before else "done"] += 1
            counts["imputed"] += "composite_imputed" in record
    return _tell_applied(counts, talk)


def _finished(record: Mapping[str, Any]) -> str | None:
    """What makes two records the same work: all that they hold; None for failures, which are tried again."""
    return None if record.get("error") is not None else dump_line(record)


def _tell_applied(counts: Mapping[str, int], talk: Reporter) -> int:
    if counts["imputed"]:
        talk.say(f"records that lack an attribute, for which its mean stands in: {counts['imputed']}")
    words = (("done", "have a composite"), ("before", "had it before"), ("failed", "failed"))
    told = "; ".join(f"{counts[key]} {word}" for key, word in words if counts[key])
    talk.say(f"records: {told}")
    return 1 if counts["failed"] else 0


def _check_output(output: Path | None, overwrite: bool) -> None:
    if output is None:
        if overwrite:
            raise UsageError("concerns an output file", where="--overwrite", remedy="add --output FILE")
        return
    if not output.absolute().parent.is_dir():
        raise UsageError(f"no folder {output.parent}", where="--output", remedy="make it first")
    if output.is_dir():
        raise UsageError(f"{output} is a folder", where="--output", remedy="name a file in it")
    if not overwrite and output.exists() and output.stat().st_size:
        raise UsageError(f"{output} is not empty", where="--output", remedy="add --overwrite, or choose another")


def _sample(
    labels: Sequence[str], feedback: str | None, settings: "CompositeSettings", talk: Reporter
) -> "FeedbackTable":
    from realqa_cli.datasets.labels import read_labels
    from realqa_cli.io.labels import STDIN, read_label_rows
    from realqa_cli.steps.composite.feedback import read_feedback

    if feedback == STDIN or list(labels).count(STDIN) > 1:
        raise UsageError("standard input is for one file of labels", where=STDIN)
    join = read_labels(feedback) if feedback else None
    sample = read_feedback(chain.from_iterable(map(read_label_rows, labels)), settings.target, join)
    for note in join.notes() if join else ():
        talk.say(note)
    return sample


def _tell_left_out(sample: "FeedbackTable", talk: Reporter) -> int:
    """Says which rows taught nothing; the exit code, 1 where one is damaged."""
    words = {
        "no target": "labels without feedback, left out",
        "unmatched": "labels without a row of feedback, left out",
        "failed": "records of items that failed earlier, passed by",
    }
    for kind, count in sample.counts.items():
        talk.say(f"{words.get(kind, 'labels that cannot be used')}: {count}")
    for flaw in sample.flaws:
        talk.say(f"for example: {flaw}")
    return 1 if set(sample.counts) - set(words) else 0


def _show(weights: "Weights", *, json: bool) -> None:
    """The coefficients: a table where a person looks on, else JSON Lines."""
    from realqa_cli.cli.sinks import JsonLines
    from realqa_cli.cli.views.weights import lines_of, print_weights

    if not json and sys.stdout.isatty():
        print_weights(weights)
        return
    sink = JsonLines(lambda: None)
    for line in lines_of(weights):
        sink.write(line)
