"""The door of `realqa build-cot`: labels in, training conversations out.

Run it as `realqa build-cot attrs.jsonl --scores mos.jsonl > train.jsonl`.
"""

import os
import sys
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realqa_cli.cli import dataset_options as d
from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter
from realqa_cli.errors import UsageError

if TYPE_CHECKING:
    from realqa_cli.steps.build_cot.build_cot import Builder

EXAMPLES = """[b]Examples[/b]

realqa build-cot attrs.jsonl --scores mos.jsonl > train.jsonl

realqa build-cot labels.jsonl --stage attributes -o cold-start.jsonl

realqa build-cot attrs.jsonl --scores AVA/ --dataset ava --split train -o train.jsonl

realqa build-cot koniq.jsonl --mos-range 0-100 --formats direct --digits 2 -o train.jsonl

realqa build-cot labels.jsonl --rewrite-server http://localhost:8000/v1 -o train.jsonl
"""

CONTENT, NUMBER = "Conversations", "Score in the text"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_LABELS = "Files of `realqa annotate` or `realqa self-label`, or - for such lines on stdin."
_STAGE = "score (direct answers and chains of thought) or attributes (the cold start)."
_GRANULARITY = "For --stage attributes: one attribute, one level, or all of them in a conversation."
_FORMATS = "For --stage score: the direct answer, the chain of thought in prose, or in the regular form."
_MISSING = "Labels without all ten attributes: leave-out what is missing, or report them as failed."
_SCORES = "JSON Lines or CSV with image, mos and mos_range; joined by path, then by unique file name."
_SCALE = "The number's scale in the text; by default the MOS's own range where it fits (1-5, 1-10), else 0-10."
_OUTPUT = (
    "Write to this file instead of stdout; one that holds something needs --overwrite."
    " With --rewrite-server: go on where an earlier run stopped."
)
_REWRITE_SERVER = (
    "Have an OpenAI-compatible server reword the chains of thought in prose; its address ends in /v1."
    " Where a rewording loses a value, the composed text stays."
)
_REWRITE_MODEL = "The server's model that rewords; by default the only one that it has."


def build_cot(
    context: typer.Context,
    labels: Annotated[list[str], typer.Argument(metavar="LABELS", show_default=False, help=_LABELS)],
    stage: Annotated[str | None, o.option(CONTENT, "--stage", metavar="NAME", help=_STAGE, default="score")] = None,
    granularity: Annotated[
        str | None,
        o.option(
            CONTENT,
            "--granularity",
            metavar="NAMES",
            parser=_names,
            help=_GRANULARITY,
            default="attributes,levels,mix",
        ),
    ] = None,
    formats: Annotated[
        str | None,
        o.option(
            CONTENT,
            "--formats",
            metavar="NAMES",
            parser=_names,
            help=_FORMATS,
            default="direct,cot,cot-regular",
        ),
    ] = None,
    order: Annotated[
        str | None,
        o.option(
            CONTENT,
            "--order",
            metavar="NAME",
            help="Levels of attributes: high-first or low-first.",
            default="high-first",
        ),
    ] = None,
    missing: Annotated[
        str | None, o.option(CONTENT, "--missing", metavar="NAME", help=_MISSING, default="leave-out")
    ] = None,
    seed: Annotated[
        int | None, o.option(CONTENT, "--seed", metavar="N", help="Of the wording of the prose.", default="0")
    ] = None,
    digits: Annotated[
        int | None,
        o.option(NUMBER, "--digits", metavar="N", min=1, max=3, help="Digits of the number.", default="3"),
    ] = None,
    scale: Annotated[
        str | None, o.option(NUMBER, "--scale", metavar="LO-HI", parser=o.parse_scale, help=_SCALE)
    ] = None,
    scores: Annotated[str | None, o.option(NUMBER, "--scores", metavar="FILE", help=_SCORES)] = None,
    dataset: Annotated[str | None, d.dataset_of("The path of --scores")] = None,
    split: d.Split = None,
    columns: d.Columns = None,
    mos_range: Annotated[
        str | None,
        o.option(
            NUMBER,
            "--mos-range",
            metavar="LO-HI",
            parser=o.parse_scale,
            help="The MOS's range where no record tells it.",
        ),
    ] = None,
    rewrite_server: Annotated[
        str | None, o.option(o.SERVER, "--rewrite-server", metavar="URL", help=_REWRITE_SERVER)
    ] = None,
    rewrite_model: Annotated[
        str | None, o.option(o.SERVER, "--rewrite-model", metavar="NAME", help=_REWRITE_MODEL)
    ] = None,
    api_key_env: o.ApiKeyEnv = None,
    concurrency: o.Concurrency = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    output: Annotated[Path | None, o.option(o.OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT)] = None,
    overwrite: Annotated[
        bool, o.option(o.OUTPUT, "--overwrite", metavar="", help="Replace what the output file holds.")
    ] = False,
    quiet: o.Quiet = False,
) -> int:
    """Make training conversations of labels: direct answers, and chains of thought that end in the score."""
    from realqa_cli.cli.build_cot_rewrite import Rewrites, of_rewriting
    from realqa_cli.cli.sinks import JsonLines
    from realqa_cli.datasets.labels import read_labels
    from realqa_cli.io.appender import Appender
    from realqa_cli.io.labels import STDIN, read_label_rows
    from realqa_cli.steps.build_cot.build_cot import Builder, BuildSettings

    talk = Reporter(quiet or bool(context.obj))
    if overwrite and output is None:
        raise UsageError("concerns an output file", where="--overwrite", remedy="add --output FILE")
    if labels.count(STDIN) > 1 or scores == STDIN:
        raise UsageError("standard input is for one file of labels", where=STDIN)
    if scores and stage == "attributes":
        raise UsageError("is for --stage score", where="--scores", remedy="leave it out: no score is told here")
    settings = o.settings_of(context, BuildSettings)
    rewrites = Rewrites.of(context, settings, output, talk)
    chosen = d.selection(dataset, split, columns, of=scores, remedy="name it by --scores")
    join = read_labels(scores, chosen) if scores else None
    builder = Builder(settings, join, place=lambda path: _place(path, output))
    rows = chain.from_iterable(map(read_label_rows, labels))
    drafts = builder.drafts(join.within(rows) if join else rows)
    resume = rewrites is not None and not overwrite  # only what a server wrote is worth going on with
    appender = Appender(output, resume=resume, overwrite=overwrite, key=of_rewriting) if output else None
    with appender or nullcontext() as file:
        write = file.append if file else JsonLines(lambda: None).write
        for line in rewrites.lines(drafts, file) if rewrites else (draft.line for draft in drafts):
            write(line)
    sys.stdout.flush()
    for note in join.notes() if join else ():
        talk.say(note)
    for note in [*_notes(builder), *(rewrites.notes() if rewrites else [])]:
        talk.say(note)
    return 1 if builder.counts["failed"] else 0


def _place(path: str, output: Path | None) -> str:
    """The photo's path as it opens from the output's folder; on stdout, from the current one."""
    if output is None or os.path.isabs(path):
        return path
    return os.path.relpath(path, output.parent)


def _notes(builder: "Builder") -> list[str]:
    """What a person should know of the run, the count last."""
    counts, notes = builder.counts, []
    for key, words in (
        ("assumed range", "scores taken as 1-5, because nothing tells their range (--mos-range does)"),
        ("without cot", "labels without attributes, which gave no chain of thought"),
        ("repeated", "labels of images that had one before, used all the same"),
        ("no photo", "photos that are not where the labels say"),
        ("passed by", "records of items that failed earlier, passed by"),
    ):
        if counts[key]:
            notes.append(f"{words}: {counts[key]}")
    if len(builder.scales) > 1:
        known = ", ".join(map(str, builder.scales))
        notes.append(f"the texts are on different scales ({known}): a model needs one, give --scale")
    by_format = ", ".join(f"{count} {name}" for name, count in builder.formats.items())
    failed = f"; {counts['failed']} failed, see their error records" if counts["failed"] else ""
    made = f"{counts['conversations']} conversations{f' ({by_format})' if by_format else ''}"
    return [*notes, f"{counts['records']} labels: {made}{failed}"]
