"""The Typer application: the commands, and the options that all of them share.

Each command is a module with its name in this folder. Run it as `realqa` or `python -m realqa_cli`.
"""

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from realqa_cli import __version__
from realqa_cli.cli import (
    annotate,
    build_cot,
    calibrate,
    compare,
    composite,
    doctor,
    eval,
    explain,
    merge,
    ncm,
    presets,
    rank,
    score,
    self_label,
    serve,
    sort_probe,
    split,
    train,
)
from realqa_cli.cli.command import Command, Group
from realqa_cli.cli.options import Quiet
from realqa_cli.errors import UsageError

USE, LABEL, TRAIN, RESEARCH = "Use", "Label", "Train", "Research"
EXAMPLES = """[b]Examples[/b]

realqa score photos/

realqa score photos/ -o scores.jsonl --report scores.html

realqa score clip.mp4 --json
"""

app = typer.Typer(
    name="realqa",
    cls=Group,
    rich_markup_mode="rich",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, name, module, function in (
    (USE, "score", score, score.score),
    (USE, "rank", rank, rank.rank),
    (USE, "compare", compare, compare.compare),
    (USE, "merge", merge, merge.merge),
    (USE, "explain", explain, explain.explain),
    (USE, "serve", serve, serve.serve),
    (USE, "doctor", doctor, doctor.doctor),
    (USE, "presets", presets, presets.presets),
    (LABEL, "self-label", self_label, self_label.self_label),
    (LABEL, "annotate", annotate, annotate.annotate),
    (TRAIN, "build-cot", build_cot, build_cot.build_cot),
    (TRAIN, "split", split, split.split),
    (TRAIN, "train", train, train.train),
    (RESEARCH, "eval", eval, eval.eval),
    (RESEARCH, "ncm", ncm, ncm.ncm),
    (RESEARCH, "sort-probe", sort_probe, sort_probe.sort_probe),
):
    app.command(name, cls=Command, epilog=module.EXAMPLES, rich_help_panel=panel)(function)
app.add_typer(calibrate.app, name="calibrate", rich_help_panel=USE)
app.add_typer(composite.app, name="composite", rich_help_panel=RESEARCH)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"realqa {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    quiet: Quiet = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Score the quality and aesthetics of photos with multimodal language models."""
    context.obj = quiet
    if context.invoked_subcommand is None:
        lines = [f"  {line}" for line in EXAMPLES.splitlines() if line.startswith("realqa ")]
        typer.echo("\n".join(["Try:", *lines, "", "realqa --help lists the commands."]))


def run(arguments: Sequence[str]) -> int:
    """Parse the arguments, run one command, and return its exit code. Raises `UsageError`.

    Typer brings its own copy of click, whose exceptions have no public name: they have a `format_message`.
    """
    command = typer.main.get_command(app)
    if "_REALQA_COMPLETE" in os.environ:  # a shell requests completions
        return int(command.main(list(arguments), prog_name="realqa", standalone_mode=False) or 0)
    try:
        with command.make_context("realqa", list(arguments)) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as stop:
        return int(stop.exit_code)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        verb = next((f" {word}" for word in arguments if word in getattr(command, "commands", ())), "")
        raise UsageError(error.format_message().rstrip("."), remedy=f"see realqa{verb} --help") from error
