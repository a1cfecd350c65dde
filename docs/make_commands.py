"""Writes reference/commands.md from the Typer application: `make docs`. A test checks that the page is up to date."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from realqa_cli.cli.app import build_app

PAGE = Path(__file__).parent / "reference" / "commands.md"
HEAD = """# Commands

<!-- Written by `make docs` from the commands' own help; do not edit. -->

Data goes to stdout; progress, warnings and summaries go to stderr. `score`, `eval`, `ncm` and `sort-probe` print a
table where stdout is a terminal, and JSON Lines otherwise.
Exit codes: 0 all done, 1 some items failed, 2 wrong usage or configuration, 130 interrupted.
`realqa --version` prints the version; `REALQA_DEBUG=1` shows the traceback of an unexpected error.
"""


def page() -> str:
    """The whole page."""
    sections = [section(name, command) for name, command in commands(typer.main.get_command(build_app()))]
    return "\n".join([HEAD, *sections])


def commands(group: Any, words: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its full name, such as "composite fit"."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{words}{name} ")
        else:
            yield f"{words}{name}", command


def section(name: str, command: Any) -> str:
    """The section of one command: its help, its options by panel, its examples."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["realqa", name, "[OPTIONS]", *(str(a.metavar) for a in arguments)])
    lines = [f"## realqa {name}", "", plain(command.help), "", "```sh", usage, "```", ""]
    lines += [f"- `{argument.metavar}`: {plain(argument.help)}" for argument in arguments]
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(getattr(option, "rich_help_panel", None) or "Talk", []).append(option)
    for panel, members in panels.items():
        lines += ["", f"### {panel}", "", "| option | what it does | default |", "|---|---|---|"]
        lines += [row(option) for option in members]
    lines += ["", "### Examples", "", "```sh", *examples(command.epilog), "```", ""]
    return "\n".join(lines)


def row(option: Any) -> str:
    """The row of one option."""
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))
    shown = f"{names} {option.metavar}".strip()
    description, _, default = plain(option.help).partition(" \\[default: ")
    variable = f" Environment: `{option.envvar}`." if option.envvar else ""
    return f"| {shown} | {description}{variable} | {default.removesuffix(']')} |"


def plain(text: str | None) -> str:
    """The text without Rich markup, safe in a Markdown table."""
    return re.sub(r"\[/?[a-z]+\]", "", text or "").replace("|", "\\|").strip()


def examples(epilog: str | None) -> list[str]:
    """The command lines in an epilog."""
    return [line.strip() for line in (epilog or "").splitlines() if "realqa " in line]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
