"""The Typer application: the commands, and the options that all of them share.

Each command is a module with its name in this folder. Run it as `realqa` or `python -m realqa_cli`.
"""

import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from realqa_cli import __version__
from realqa_cli.cli.command import Command, Group
from realqa_cli.cli.options import Quiet
from realqa_cli.errors import UsageError

USE, LABEL, TRAIN, RESEARCH = "Use", "Label", "Train", "Research"
EXAMPLES = """[b]Examples[/b]

realqa score photos/

realqa score photos/ -o scores.jsonl --report scores.html

realqa score clip.mp4 --json
"""

COMMANDS = {
    "score": USE,
    "rank": USE,
    "compare": USE,
    "merge": USE,
    "explain": USE,
    "serve": USE,
    "doctor": USE,
    "presets": USE,
    "calibrate": USE,
    "self-label": LABEL,
    "annotate": LABEL,
    "build-cot": TRAIN,
    "split": TRAIN,
    "train": TRAIN,
    "eval": RESEARCH,
    "leaderboard": RESEARCH,
    "ncm": RESEARCH,
    "sort-probe": RESEARCH,
    "composite": RESEARCH,
}
"""The commands in the order of the help, each with its panel there.

The module of a command has its name. It contains a function of that name and EXAMPLES, or, for a group of
commands, an `app`. A run imports the module of its own command only.
"""


def build_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The application with the commands of these names."""
    app = typer.Typer(
        name="realqa",
        cls=Group,
        rich_markup_mode="rich",
        epilog=EXAMPLES,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(start)
    for name in names:
        module = import_module(f"realqa_cli.cli.{name.replace('-', '_')}")
        if group := getattr(module, "app", None):
            app.add_typer(group, name=name, rich_help_panel=COMMANDS[name])
        else:
            function = getattr(module, name.replace("-", "_"))
            app.command(name, cls=Command, epilog=module.EXAMPLES, rich_help_panel=COMMANDS[name])(function)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"realqa {__version__}")
        raise typer.Exit


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


def _needed(verb: str | None, arguments: Sequence[str]) -> Iterable[str]:
    """The commands that must be imported: all of them for the help, for completion and for an unknown command."""
    if "_REALQA_COMPLETE" in os.environ:
        return COMMANDS
    if verb is None:
        return COMMANDS if {"-h", "--help"} & {*arguments} else ()
    return (verb,) if verb in COMMANDS else COMMANDS


def run(arguments: Sequence[str]) -> int:
    """Parse the arguments, run one command, and return its exit code. Raises `UsageError`.

    Typer brings its own copy of click, whose exceptions have no public name: they have a `format_message`.
    """
    verb = next((word for word in arguments if not word.startswith("-")), None)
    command = typer.main.get_command(build_app(_needed(verb, arguments)))
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
        where = f" {verb}" if verb in COMMANDS else ""
        raise UsageError(error.format_message().rstrip("."), remedy=f"see realqa{where} --help") from error
