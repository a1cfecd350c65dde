"""The help of a command, on stdout: usage, purpose, examples, everyday options, then the others by subject."""

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

EVERYDAY = frozenset({
    "model", "server", "output", "overwrite", "top", "report", "table", "json", "limit", "dataset", "quiet",
    "help", "help_all", "max_cost", "dry_run", "to", "from_", "screen", "epochs", "resume", "no_resume",
    "objective", "tuning", "stage", "scores", "formats", "metric", "labels", "plot", "compare",
    "host", "port", "root",
})  # fmt: skip
"""Options, by parameter, that the help of a command with many options shows first."""


def print_help(command: Any, context: Any, *, everything: bool) -> None:
    """Print the help of a command with all of its options, or with the everyday ones."""
    console = Console()
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    _print_head(console, command, context, " ".join(map(_metavar, arguments)))
    if arguments:
        console.print(_panel("Arguments", arguments))
    options = _options(command, context)
    panels: dict[str, list[Any]] = {}
    rest = options
    if command.is_long:
        panels["Everyday options"] = [option for option in options if option.name in EVERYDAY]
        rest = [option for option in options if option.name not in EVERYDAY]
    for option in rest if everything else ():
        panels.setdefault(option.rich_help_panel or "Options", []).append(option)
    for title, members in panels.items():
        console.print(_panel(title, members))
    if not everything:
        console.print(Text(f" {len(rest)} more options: {context.command_path} --help-all\n", "dim"))


def print_group_help(group: Any, context: Any) -> None:
    """Print the help of a group: its commands by what they are for, then its options."""
    console = Console()
    _print_head(console, group, context, "COMMAND ...")
    panels: dict[str, list[Any]] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        panels.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append(command)
    width = max(len(str(command.name)) for commands in panels.values() for command in commands)
    for title, commands in panels.items():
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="bold cyan", no_wrap=True, min_width=width)
        rows.add_column()
        for command in commands:
            rows.add_row(command.name, Text(_first_paragraph(command.help)))
        console.print(Panel(rows, title=title, title_align="left", border_style="dim"))
    console.print(_panel("Options", _options(group, context)))


def _options(command: Any, context: Any) -> list[Any]:
    return [param for param in command.get_params(context) if param.param_type_name == "option" and not param.hidden]


def _print_head(console: Console, command: Any, context: Any, tail: str) -> None:
    """Usage, purpose and examples."""
    usage = f"{context.command_path} [OPTIONS] {tail}".rstrip()
    console.print(Padding(Text.assemble("Usage: ", (usage, "bold")), (1, 1)))
    console.print(Padding(Text(_first_paragraph(command.help)), (0, 1, 1, 1)))
    examples = [line.strip() for line in (command.epilog or "").splitlines() if "realqa" in line]
    if examples:
        console.print(Text(" Examples", "bold"))
        for example in examples:
            console.print(Padding(Text(example, "cyan"), (0, 1, 0, 3)))
        console.print()


def _metavar(argument: Any) -> str:
    """An argument as the usage line shows it: `SOURCES...`, `[LABELS]`."""
    name = f"{argument.metavar or argument.name.upper()}{'...' if argument.nargs == -1 else ''}"
    return name if argument.required else f"[{name}]"


def _panel(title: str, params: list[Any]) -> Panel:
    """Options or arguments, each with what it means."""
    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="bold cyan", max_width=24)
    rows.add_column(style="yellow", max_width=14, overflow="fold")
    rows.add_column()
    for param in params:
        words = Text.from_markup(param.help or "")
        if getattr(param, "envvar", None):
            words.append(f" [environment: {param.envvar}]", "dim")
        if param.param_type_name == "argument":
            rows.add_row(_metavar(param), "", words)
            continue
        if param.required:
            words.append(" [required]", "dim")
        names = ", ".join(sorted(param.opts, key=len))
        takes = "" if param.is_flag else param.metavar or ""
        rows.add_row(names, takes, words)
    return Panel(rows, title=title, title_align="left", border_style="dim")


def _first_paragraph(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0].replace("\n", " ")
