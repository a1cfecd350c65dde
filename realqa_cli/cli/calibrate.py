"""CLI for `realqa calibrate fit` and `realqa calibrate apply`: scores on a user's own scale, with intervals."""

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.command import Command, Group
from realqa_cli.cli.option_values import parse_scale, settings_of
from realqa_cli.cli.output import JsonLines, OutputOptions
from realqa_cli.cli.output_files import OutputFile, OutputKind, is_json
from realqa_cli.cli.reporter import Reporter
from realqa_cli.errors import OutputError
from realqa_cli.io.jsonl import dump_line

if TYPE_CHECKING:
    from realqa_cli.steps.calibrate.calibration_file import Calibration
    from realqa_cli.steps.calibrate.labelled_scores import LabelledScores

FIT_EXAMPLES = """[b]Examples[/b]

realqa calibrate fit labels.csv --scores scores.jsonl -o my.calibration.json

realqa calibrate fit stars.jsonl --target stars --range 1-5 --scores scores.jsonl -o my.calibration.json
"""

APPLY_EXAMPLES = """[b]Examples[/b]

realqa calibrate apply --calibration my.calibration.json scores.jsonl -o calibrated.jsonl

realqa score photos/ | realqa calibrate apply --calibration my.calibration.json
"""

CALIBRATION = "Calibration"

CALIBRATION_FILE = OutputKind(
    "a calibration", (".json",), lambda path: is_json(path, lambda found: found["kind"] == "realqa calibration")
)
_LABELS = "Your labels of 50 and more photos: JSON Lines or a table (.csv, .tsv, .xlsx) with image and mos."
Labels = Annotated[str, typer.Argument(metavar="LABELS.jsonl", show_default=False, help=_LABELS)]
_SCORES_OF = "Records of `realqa score` for these photos; joined by path, then by unique file name."
ScoresFile = Annotated[str, o.option(CALIBRATION, "--scores", metavar="SCORES.jsonl", help=_SCORES_OF)]
_SCORES_IN = "Records of `realqa score`; - for stdin."
ScoreRecords = Annotated[str, typer.Argument(metavar="SCORES.jsonl", show_default=False, help=_SCORES_IN)]
_TARGET = "Field of the labels with your opinion, a number."
Target = Annotated[str | None, o.option(CALIBRATION, "--target", metavar="FIELD", help=_TARGET, default="mos")]
_RANGE = "Lowest and highest label, for example 1-5. Defaults to mos_range of the labels, else to those seen."
Range = Annotated[str | None, o.option(CALIBRATION, "--range", metavar="LO-HI", parser=parse_scale, help=_RANGE)]
_CURVE = "isotonic, logistic, or auto: the one with the smaller error on held-out labels."
CurveOption = Annotated[str | None, o.option(CALIBRATION, "--curve", metavar="NAME", help=_CURVE, default="auto")]
_COVERAGE = "Probability with which the label of a new photo lies in its interval."
Coverage = Annotated[float | None, o.option(CALIBRATION, "--coverage", metavar="SHARE", help=_COVERAGE, default="0.9")]
_SEED = "Random seed for the folds and the split."
Seed = Annotated[int | None, o.option(CALIBRATION, "--seed", metavar="N", help=_SEED, default="0")]
_OUT = "Write the calibration to this file, for `realqa calibrate apply` and `realqa score --calibration`."
CalibrationOutput = Annotated[
    Path | None,
    OutputFile("--output", CALIBRATION_FILE),
    o.option(o.OUTPUT, "--output", "-o", metavar="my.calibration.json", help=_OUT),
]
_IN = "A file written by `realqa calibrate fit`."
CalibrationInput = Annotated[Path, o.option(CALIBRATION, "--calibration", metavar="FILE", help=_IN)]

app = typer.Typer(cls=Group, rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def calibrate(context: typer.Context) -> None:
    """Fit scores to your own labels of 50 and more photos, and add calibrated scores with intervals."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("fit", cls=Command, epilog=FIT_EXAMPLES)
def fit(
    context: typer.Context,
    labels: Labels,
    scores: ScoresFile,
    target: Target = None,
    range_: Range = None,
    curve: CurveOption = None,
    coverage: Coverage = None,
    seed: Seed = None,
    output: CalibrationOutput = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Fit a curve from scores to your labels, with intervals that contain the label of a new photo."""
    from dataclasses import replace

    from realqa_cli.datasets.labels import read_labels
    from realqa_cli.io.labels import read_label_rows
    from realqa_cli.steps.calibrate import calibrate as step
    from realqa_cli.steps.calibrate.labelled_scores import join_labels

    reporter = Reporter.of(context)
    settings = replace(settings_of(context, step.CalibrateSettings, without=("bounds",)), bounds=range_)  # type: ignore[arg-type]
    settings.check()
    index = read_labels(labels)
    joined = join_labels(read_label_rows(scores), index, settings.target)
    calibration, notes = step.fit_calibration(joined, settings, _settings_of_runs(scores, joined.runs))
    if output is not None:
        _write(calibration, output, overwrite, reporter)
    if table or (sys.stdout.isatty() and not json):
        from realqa_cli.cli.views.calibration import print_calibration

        print_calibration(calibration)
    else:
        JsonLines().write(step.summary_of(calibration))
    for note in (*index.notes(), *notes):
        reporter.say(note)
    return _report_left_out(joined, reporter)


@app.command("apply", cls=Command, epilog=APPLY_EXAMPLES)
def apply(
    context: typer.Context,
    calibration: CalibrationInput,
    scores: ScoreRecords = "-",
    output: o.CalibratedOutput = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> int:
    """Add `calibrated`, the expected label, and its interval to each score record."""
    from realqa_cli.io.labels import STDIN, read_label_rows
    from realqa_cli.io.run_files import read_runs
    from realqa_cli.steps.calibrate.calibrate import apply_calibration
    from realqa_cli.steps.calibrate.calibration_file import read_calibration

    reporter, options = Reporter.of(context), OutputOptions.of(context)
    fitted = read_calibration(calibration)
    runs = {} if scores == STDIN else read_runs(Path(scores))
    counts: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    with options.appender(_key) or nullcontext() as file:
        write = file.append if file else JsonLines().write
        records = apply_calibration(read_label_rows(scores), fitted, lambda run: runs.get(run, {}).get("settings"))
        for record in records:
            failed = record.get("error") is not None
            before = not failed and file is not None and file.take(_key(record))
            if not before:
                write(record)
            counts["failed" if failed else "before" if before else "done"] += 1
            warnings.update(record.get("calibration_warnings") or ())
    report_warnings(warnings, fitted.score_range, reporter)
    words = (("done", "calibrated"), ("before", "were so before"), ("failed", "failed"))
    parts = "; ".join(f"{counts[key]} {word}" for key, word in words if counts[key])
    reporter.say(f"records: {parts or 0}")
    return 1 if counts["failed"] else 0


def report_warnings(warnings: Mapping[str, int], score_range: tuple[float, float], reporter: Reporter) -> None:
    """Says how many records have which warning, and what it means."""
    low, high = score_range
    meanings = {
        "other_model": "scores of another model or with other settings than the fitted ones: fit the calibration again",
        "other_scale": "scores on another scale than the fitted ones: fit the calibration again",
        "out_of_range": f"scores outside of the fitted ones ({low:.2f} to {high:.2f}), where the curve is a guess",
    }
    for name, meaning in meanings.items():
        if warnings.get(name):
            reporter.say(f"warning: {warnings[name]} {meaning}")


def _key(record: Mapping[str, Any]) -> str | None:
    """What makes two records the same work; None for failed items, which are tried again."""
    return None if record.get("error") is not None else dump_line(record)


def _settings_of_runs(scores: str, ids: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The settings that all these runs share, by the manifests next to the scores; None where they are unknown.

    Raises `UsageError` if they differ.
    """
    from realqa_cli.errors import UsageError
    from realqa_cli.io.run_files import read_runs

    runs = read_runs(Path(scores))
    found = [runs[each].get("settings") for each in ids if each in runs]
    if any(settings != found[0] for settings in found) or (len(ids) > 1 and len(found) < len(ids)):
        what = f"the scores come from {len(ids)} runs with different settings"
        raise UsageError(what, where=scores, remedy="score the photos again in one run")
    return found[0] if found else None


def _write(calibration: "Calibration", output: Path, overwrite: bool, reporter: Reporter) -> None:
    """Writes the calibration; an equal one remains as it is, another one needs --overwrite. Raises `OutputError`."""
    from realqa_cli.steps.calibrate.calibration_file import read_calibration

    if not overwrite and output.exists() and output.stat().st_size:
        if read_calibration(output) == calibration:
            reporter.say(f"{output} has this calibration already")
            return
        remedy = "add --overwrite to replace it, or choose another file"
        raise OutputError("the file has another calibration", where=str(output), remedy=remedy)
    calibration.write(output)


def _report_left_out(joined: "LabelledScores", reporter: Reporter) -> int:
    """Reports the rows that were not used; the exit code is 1 where one is damaged."""
    words = {
        "unmatched": "scores of photos without a label, left out",
        "no label": "photos whose label has no such field, left out",
        "failed": "records of items that failed earlier, skipped",
        "repeated": "further scores of the same photo, left out",
    }
    for kind, count in joined.counts.items():
        reporter.say(f"{words.get(kind, 'rows that cannot be used')}: {count}")
    for flaw in joined.flaws:
        reporter.say(f"for example: {flaw}")
    return 1 if {*joined.counts} - {*words} else 0
