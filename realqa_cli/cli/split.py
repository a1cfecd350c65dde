"""CLI for `realqa split`: a training set and a held-out set from records or conversations."""

from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import OutputError, UsageError

EXAMPLES = """[b]Examples[/b]

realqa split train.jsonl -o fit.jsonl --held-out dev.jsonl

realqa split labels.jsonl --share 0.2 --by scene --seed 1 -o fit.jsonl --held-out dev.jsonl
"""

SPLIT = "Split"

_FILES = "Records or conversations (JSON Lines, or a JSON list)."
_OUTPUT = "File of the training set."
_HELD_OUT = "File of the held-out set."
_SHARE = "Share of the lines that is held out."
_BY = "Field whose value is the group; lines of a group stay together. By default the photo."
_NO_RESUME = "Refuse files that hold anything (a file that holds the same lines is otherwise left as it is)."
_OVERWRITE = "Replace the files."


def split(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE.jsonl", show_default=False, help=_FILES)],
    output: Annotated[Path, o.option(o.OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT)],
    held_out: Annotated[Path, o.option(o.OUTPUT, "--held-out", metavar="FILE", help=_HELD_OUT)],
    no_resume: Annotated[bool, o.flag(o.OUTPUT, "--no-resume", help=_NO_RESUME)] = False,
    overwrite: Annotated[bool, o.flag(o.OUTPUT, "--overwrite", help=_OVERWRITE)] = False,
    share: Annotated[float | None, o.option(SPLIT, "--share", metavar="X", help=_SHARE, default="0.1")] = None,
    by: Annotated[str | None, o.option(SPLIT, "--by", metavar="FIELD", help=_BY)] = None,
    seed: Annotated[
        int | None, o.option(SPLIT, "--seed", metavar="N", help="Random seed for the choice of groups.", default="0")
    ] = None,
    quiet: o.Quiet = False,
) -> int:
    """Divide records or conversations into a training set and a held-out set, by group."""
    from realqa_cli.io.jsonl import dump_line, write_atomic
    from realqa_cli.steps.split.split import SplitSettings, split_lines

    reporter = Reporter(quiet or bool(context.obj))
    inputs = {file.resolve() for file in files}
    if output.resolve() == held_out.resolve() or {output.resolve(), held_out.resolve()} & inputs:
        remedy = "choose three different files"
        raise UsageError("--output and --held-out must differ from each other and from the input", remedy=remedy)
    halves = split_lines(files, o.settings_of(context, SplitSettings))
    for file, lines in ((output, halves.train), (held_out, halves.held_out)):
        text = "".join(dump_line(line) + "\n" for line in lines)
        if file.exists() and file.stat().st_size and not overwrite:
            if not no_resume and file.read_bytes() == text.encode():
                continue
            raise OutputError("the file is not empty", where=str(file), remedy="replace it by --overwrite")
        write_atomic(file, text)
    reporter.say(
        f"{plural(len(halves.train), 'line')} in {plural(halves.train_groups, 'group')} to {output},"
        f" {plural(len(halves.held_out), 'line')} in {plural(halves.held_out_groups, 'group')} to {held_out}"
    )
    return 0
