"""CLI for `realqa build-cot`: labels in, training conversations out.

Run it as `realqa build-cot attrs.jsonl --scores mos.jsonl > train.jsonl`.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import dataset_selection, parse_scale, settings_of
from realqa_cli.cli.output_files import OutputFile
from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError

if TYPE_CHECKING:
    from realqa_cli.datasets import DatasetSelection
    from realqa_cli.io.labels import LabelIndex
    from realqa_cli.steps.build_cot.build_cot import Builder
    from realqa_cli.steps.build_cot.drafts import Draft
    from realqa_cli.steps.build_cot.settings import BuildSettings

EXAMPLES = """[b]Examples[/b]

realqa build-cot attrs.jsonl --scores mos.jsonl > train.jsonl

realqa build-cot labels.jsonl --stage attributes -o cold-start.jsonl

realqa build-cot koniq10k/ --dataset koniq10k --split training --formats direct -o train.jsonl

realqa build-cot RealQA/ --dataset realqa --stage attributes -o cold-start.jsonl

realqa build-cot attrs.jsonl --scores AVA/ --dataset ava --split train -o train.jsonl

realqa build-cot attrs.jsonl --scores mos.jsonl --for realqa-tiny -o train.jsonl

realqa composite apply labels.jsonl --weights weights.json | realqa build-cot - -o train.jsonl

realqa build-cot labels.jsonl --rewrite-server http://localhost:8000/v1 -o train.jsonl
"""

CONTENT, NUMBER = "Conversations", "Score in the text"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_LABELS = (
    "Files of `realqa annotate`, `realqa self-label` or `realqa composite apply`, tables with a MOS, - for records on"
    " stdin, or with --dataset the folder of a data set."
)
Labels = Annotated[list[str], typer.Argument(metavar="LABELS", show_default=False, help=_LABELS)]
_STAGE = "score (direct answers and chains of thought) or attributes (the cold start)."
Stage = Annotated[str | None, o.option(CONTENT, "--stage", metavar="NAME", help=_STAGE, default="score")]
_GRANULARITY = "For --stage attributes: one attribute, one level, or all of them in a conversation."
Granularity = Annotated[
    str | None,
    o.option(
        CONTENT, "--granularity", metavar="NAMES", parser=_names, help=_GRANULARITY, default="attributes,levels,mix"
    ),
]
_FORMATS = "For --stage score: the direct answer, the chain of thought in prose, or in the regular form."
Formats = Annotated[
    str | None,
    o.option(CONTENT, "--formats", metavar="NAMES", parser=_names, help=_FORMATS, default="direct,cot,cot-regular"),
]
_ORDER = "Levels of attributes: high-first or low-first."
OrderOption = Annotated[str | None, o.option(CONTENT, "--order", metavar="NAME", help=_ORDER, default="high-first")]
_MISSING = "Labels without all ten attributes: leave-out what is missing, or report them as failed."
Missing = Annotated[str | None, o.option(CONTENT, "--missing", metavar="NAME", help=_MISSING, default="leave-out")]
_SEED = "Random seed for the wording of the prose."
Seed = Annotated[int | None, o.option(CONTENT, "--seed", metavar="N", help=_SEED, default="0")]
_DIGITS = "Digits of the number."
Digits = Annotated[int | None, o.option(NUMBER, "--digits", metavar="N", min=1, max=3, help=_DIGITS, default="3")]
_SCALE = "The number's scale in the text; by default the MOS's own range where it fits (1-5, 1-10), else 0-10."
TextScale = Annotated[str | None, o.option(NUMBER, "--scale", metavar="LO-HI", parser=parse_scale, help=_SCALE)]
_FOR = "Take scale and digits from the realqa.json of this model, on which training will start."
ForModel = Annotated[str | None, o.option(NUMBER, "--for", metavar="MODEL", help=_FOR)]
_SCORES = "JSON Lines or CSV with image, mos and mos_range; joined by path, then by unique file name."
Scores = Annotated[str | None, o.option(NUMBER, "--scores", metavar="FILE", help=_SCORES)]
Dataset = Annotated[str | None, o.dataset_option("The path of --scores, or without it LABELS,")]
_MOS_RANGE = "The range of the MOS in records that do not state it."
MosRange = Annotated[str | None, o.option(NUMBER, "--mos-range", metavar="LO-HI", parser=parse_scale, help=_MOS_RANGE)]
_REWRITE_SERVER = (
    "Let an OpenAI-compatible server reword the chains of thought in prose; its address ends in /v1."
    " Where a rewording loses a value, the composed text is kept."
)
RewriteServer = Annotated[str | None, o.option(o.SERVER, "--rewrite-server", metavar="URL", help=_REWRITE_SERVER)]
_REWRITE_MODEL = "The server's model that rewords; by default the only one that it has."
RewriteModel = Annotated[str | None, o.option(o.SERVER, "--rewrite-model", metavar="NAME", help=_REWRITE_MODEL)]
_OUTPUT = (
    "Write to this file instead of stdout. It is FILE.part until it is complete; the same command continues an"
    " interrupted run."
)
Output = Annotated[
    Path | None,
    OutputFile("--output", o.CONVERSATIONS),
    o.option(o.OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT),
]


def build_cot(
    context: typer.Context,
    labels: Labels,
    stage: Stage = None,
    granularity: Granularity = None,
    formats: Formats = None,
    order: OrderOption = None,
    missing: Missing = None,
    seed: Seed = None,
    digits: Digits = None,
    scale: TextScale = None,
    for_model: ForModel = None,
    scores: Scores = None,
    dataset: Dataset = None,
    split: o.Split = None,
    subset: o.Subset = None,
    columns: o.Columns = None,
    mos_range: MosRange = None,
    rewrite_server: RewriteServer = None,
    rewrite_model: RewriteModel = None,
    api_key_env: o.ApiKeyEnv = None,
    concurrency: o.Concurrency = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    output: Output = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> int:
    """Make training conversations from labels: direct answers, and chains of thought that end in the score."""
    from realqa_cli.cli.build_cot_output import ConversationFile, Rewrites
    from realqa_cli.cli.output import JsonLines
    from realqa_cli.steps.build_cot.build_cot import Builder

    reporter = Reporter.of(context)
    settings = _settings(context, for_model)
    rewrites = Rewrites.of(context, settings, reporter)
    selection = dataset_selection(context)
    join = _join(labels, scores, selection, settings, reporter)
    builder = Builder(settings, join, place=lambda path: _place(path, output), exists=_exists)
    drafts, notes = _drafts(builder, labels, None if join else selection)
    resume = not (no_resume or overwrite)
    target = ConversationFile(output, settings, rewrites, resume=resume, overwrite=overwrite) if output else None
    with target or nullcontext() as file:
        write = file.append if file else JsonLines().write
        for line in rewrites.lines(drafts, file) if rewrites else (draft.line for draft in drafts):
            write(line)
    sys.stdout.flush()
    more = [*(join.notes() if join else ()), *_notes(builder), *(target.notes() if target else ())]
    for note in [*notes, *more, *(rewrites.notes() if rewrites else ())]:
        reporter.say(note)
    return 1 if builder.counts["failed"] else 0


def _settings(context: typer.Context, for_model: str | None) -> "BuildSettings":
    """The settings from the options, with scale and digits of the model of `--for`. Raises UsageError."""
    from realqa_cli.steps.build_cot.settings import BuildSettings

    settings = settings_of(context, BuildSettings)
    if for_model is None:
        return settings
    from realqa_cli import models

    for name in ("scale", "digits"):
        if context.params[name] is not None:
            remedy = f"leave out one of --for and --{name}"
            raise UsageError(f"--for {for_model} decides it already", where=f"--{name}", remedy=remedy)
    config = models.scorer_config_of(for_model)
    if config is None:
        what, remedy = f"{for_model} has no realqa.json", "give --scale and --digits instead"
        raise UsageError(what, where="--for", remedy=remedy)
    return replace(settings, scale=config.scale, digits=config.digits)


def _join(
    labels: list[str],
    scores: str | None,
    selection: "DatasetSelection | None",
    settings: "BuildSettings",
    reporter: Reporter,
) -> "LabelIndex | None":
    """The rows of `--scores`, by image. Raises UsageError."""
    from realqa_cli.datasets.labels import read_labels
    from realqa_cli.io.labels import STDIN

    if labels.count(STDIN) > 1 or scores == STDIN:
        raise UsageError("standard input can be read only once, as LABELS", where=STDIN, remedy="name a file instead")
    if scores and settings.stage == "attributes":
        remedy = "leave it out: this stage states no score"
        raise UsageError("applies to --stage score", where="--scores", remedy=remedy)
    return read_labels(scores, selection, reporter.say) if scores else None


def _drafts(
    builder: "Builder", labels: list[str], selection: "DatasetSelection | None"
) -> tuple[Iterable["Draft"], list[str]]:
    """The conversations of the files of labels, or of a data set with notes on it. Raises UsageError."""
    if selection is None:
        from realqa_cli.io.labels import read_label_rows

        rows = chain.from_iterable(map(read_label_rows, labels))
        return builder.drafts(builder.scores.within(rows) if builder.scores else rows), []
    dataset = selection.open(labels)
    dataset.require_files()
    if selection.name == "realqa" and builder.settings.stage == "attributes":
        from realqa_cli.datasets.realqa import conversations_of
        from realqa_cli.steps.build_cot.release import release_drafts

        found = conversations_of(Path(labels[0]), dataset, selection.subset)
        return release_drafts(builder, found), dataset.notes_on()
    from realqa_cli.datasets.labels import dataset_rows

    return builder.drafts(dataset_rows(dataset.entries)), dataset.notes_on()


def _exists(path: str) -> bool:
    """Whether the photo is there, as far as this machine can know."""
    return path.startswith("data:") or "://" in path or os.path.exists(path)


def _place(path: str, output: Path | None) -> str:
    """The photo's path as it opens from the output's folder; on stdout, from the current folder."""
    if output is None or os.path.isabs(path) or path.startswith("data:") or "://" in path:
        return path
    return os.path.relpath(path, output.parent)


def _notes(builder: "Builder") -> Iterator[str]:
    """The lines of the summary, the count last."""
    counts: Any = builder.counts
    for key, words in (
        ("assumed range", "scores taken as 1-5, because no record states their range (--mos-range does)"),
        ("composite", "scores taken from `composite`, mapped from the range that its weights can reach"),
        ("without cot", "labels without attributes, which gave no chain of thought"),
        ("repeated", "labels of images that had one before, used nevertheless"),
        ("missing", "photos that are not there, each with an error record"),
        ("of scores", "conversations that state a score, which belong to --stage score"),
        ("other granularity", "conversations of other granularities, left out"),
        ("failed before", "records of items that failed in an earlier step, left out"),
    ):
        if counts[key]:
            yield f"{words}: {counts[key]}"
    if counts["missing"] and counts["missing"] == counts["failed"] and not counts["conversations"]:
        yield (
            "none of the photos is there: relative paths start at the folder of LABELS; for a published data set give"
            " its folder and --dataset NAME"
        )
    if len(builder.scales) > 1:
        known = ", ".join(map(str, builder.scales))
        yield f"the texts are on different scales ({known}): a model needs one, give --scale"
    by_format = ", ".join(f"{count} {name}" for name, count in builder.formats.items())
    failed = f"; {counts['failed']} failed, see their error records" if counts["failed"] else ""
    conversations = plural(counts["conversations"], "conversation")
    yield f"{plural(counts['records'], 'record')}: {conversations}{f' ({by_format})' if by_format else ''}{failed}"
