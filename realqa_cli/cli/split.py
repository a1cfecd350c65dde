"""CLI for `realqa split`: a training set and a held-out set from records or conversations."""

from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.output_files import OutputFile, records_kind
from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import OutputError

EXAMPLES = """[b]Examples[/b]

realqa split train.jsonl -o fit.jsonl --held-out dev.jsonl

realqa split labels.jsonl --share 0.2 --by scene --seed 1 -o fit.jsonl --held-out dev.jsonl
"""

SPLIT = "Split"

_FILES = "Records or conversations (.jsonl, .jsonl.gz, .csv, .parquet, or a JSON list)."
_OUTPUT = "File of the training set."
_HELD_OUT = "File of the held-out set."
_SHARE = "Share of the lines that is held out."
_BY = "Field whose value is the group; lines of a group stay together. By default the photo."
_NO_RESUME = "Refuse files that are not empty; otherwise a file with the same lines is left as it is."
_LINES = records_kind("JSON Lines", continues=False)
Files = Annotated[list[Path], typer.Argument(metavar="FILE.jsonl", show_default=False, help=_FILES)]
TrainingOutput = Annotated[
    Path, OutputFile("--output", _LINES), o.option(o.OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT)
]
HeldOutOutput = Annotated[
    Path, OutputFile("--held-out", _LINES), o.option(o.OUTPUT, "--held-out", metavar="FILE", help=_HELD_OUT)
]
NoResume = Annotated[bool, o.flag(o.OUTPUT, "--no-resume", help=_NO_RESUME)]
Share = Annotated[float | None, o.option(SPLIT, "--share", metavar="X", help=_SHARE, default="0.1")]
By = Annotated[str | None, o.option(SPLIT, "--by", metavar="FIELD", help=_BY)]
_SEED = "Random seed for the choice of groups."
Seed = Annotated[int | None, o.option(SPLIT, "--seed", metavar="N", help=_SEED, default="0")]


def split(
    context: typer.Context,
    files: Files,
    output: TrainingOutput,
    held_out: HeldOutOutput,
    no_resume: NoResume = False,
    overwrite: o.Overwrite = False,
    share: Share = None,
    by: By = None,
    seed: Seed = None,
    quiet: o.Quiet = False,
) -> int:
    """Divide records or conversations into a training set and a held-out set, by group."""
    from realqa_cli.io.jsonl import dump_line, write_atomic
    from realqa_cli.steps.split.split import SplitSettings, split_lines

    reporter = Reporter.of(context)
    halves = split_lines(files, settings_of(context, SplitSettings))
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
