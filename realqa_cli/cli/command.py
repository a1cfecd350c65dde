"""Commands and groups of commands: help that starts with everyday options, checks that all commands share."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from realqa_cli.cli.output_files import check_output_files
from realqa_cli.cli.streams import ClosedStream
from realqa_cli.errors import UsageError

FEW = 20
"""Commands with at most so many options show all of them in their help."""


class Command(TyperCommand):
    """A command whose output options are checked before it runs; `--help-all` shows all of many options."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        options = [param for param in self.params if param.param_type_name == "option"]
        self.is_long = len(options) > FEW
        if self.is_long:
            self.params.append(_help_all_option())

    def invoke(self, ctx: Any) -> Any:
        """Check the options that all commands share, then run the command. Raises `UsageError`."""
        ctx.params.pop("help_all", None)
        if ctx.params.get("json") and ctx.params.get("table"):
            raise UsageError("--table and --json are mutually exclusive", remedy="choose one of the two")
        if ctx.params.get("output", ...) is None and isinstance(sys.stdout, ClosedStream):
            sys.stdout.write("")  # raises now, not after the first records, which may have been paid for
        check_output_files(ctx)
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, of a command with many options that with the everyday ones."""
        from realqa_cli.cli.help import print_help

        print_help(self, ctx, everything=not self.is_long)


class Group(TyperGroup):
    """A group of commands, which its help shows by what they are for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        from realqa_cli.cli.help import print_group_help

        print_group_help(self, ctx)


def _show_all(context: typer.Context, value: bool) -> None:
    if value:
        from realqa_cli.cli.help import print_help

        print_help(context.command, context, everything=True)
        raise typer.Exit


def _help_all_option() -> Any:
    """The option `--help-all` as Typer makes it, taken from a command that has nothing else."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def only(
        help_all: Annotated[
            bool,
            typer.Option(
                "--help-all", metavar="", is_eager=True, callback=_show_all, help="Show all options and exit."
            ),
        ] = False,
    ) -> None:
        """Take the option."""

    return typer.main.get_command(app).params[0]
