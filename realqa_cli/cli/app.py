"""The Typer application: what every command shares, and which commands there are.

A verb is one line here and one module of its name beside this one. Run it as `realqa` or
`python -m realqa_cli`.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from realqa_cli import __version__
from realqa_cli.cli import annotate, build_cot, composite, eval, ncm, score, self_label, sort_probe, split, train
from realqa_cli.cli.options import Quiet
from realqa_cli.errors import UsageError

app = typer.Typer(
    name="realqa",
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score", epilog=score.EXAMPLES)(score.score)
app.command("self-label", epilog=self_label.EXAMPLES)(self_label.self_label)
app.command("annotate", epilog=annotate.EXAMPLES)(annotate.annotate)
app.command("build-cot", epilog=build_cot.EXAMPLES)(build_cot.build_cot)
app.command("split", epilog=split.EXAMPLES)(split.split)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("eval", epilog=eval.EXAMPLES)(eval.eval)
app.command("ncm", epilog=ncm.EXAMPLES)(ncm.ncm)
app.command("sort-probe", epilog=sort_probe.EXAMPLES)(sort_probe.sort_probe)
app.add_typer(composite.app, name="composite")


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
            "--version",
            metavar="",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Score the quality and aesthetics of photos with multimodal language models."""
    context.obj = quiet
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Parses and calls one command; returns its exit code.

    Typer brings its own copy of click, whose errors have no public name: they are told by what they offer.
    """
    command = typer.main.get_command(app)
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
