"""CLI for `realqa compare`: pairs of photos in, P(A > B) and the decision out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import parse_words, settings_with_server
from realqa_cli.cli.output import OutputOptions
from realqa_cli.cli.output_files import OutputFile, records_kind
from realqa_cli.cli.reporter import Reporter
from realqa_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realqa_cli.io.pairs import PhotoPair

EXAMPLES = """[b]Examples[/b]

realqa compare a.jpg b.jpg

realqa compare --pairs pairs.csv -o compared.jsonl

realqa compare --pairs pairs.csv --model q-future/Q-ReAlign-Mini-0.8B

realqa compare --pairs pairs.csv --by model --model qwen2-vl-2b

realqa compare --pairs pairs.jsonl -o compared.jsonl && realqa eval compared.jsonl --pairs
"""

COMPARING = "Comparing"

_PHOTOS = "Two photos or videos."
Photos = Annotated[list[str] | None, typer.Argument(metavar="[A B]", show_default=False, help=_PHOTOS)]
_PAIRS = (
    "A table of pairs (.jsonl, .csv, .tsv, .xlsx, .parquet; - for JSON Lines on stdin) with the columns image_a and"
    " image_b, and if known people's choice (a, b or tie), or share_a, the share of people who prefer A."
)
Pairs = Annotated[str | None, o.option(COMPARING, "--pairs", metavar="FILE", help=_PAIRS)]
_BY = (
    "distribution (the exact distributions of both scores) or model (the model sees both photos, in both orders, and"
    " chooses; for models that take two photos)."
)
By = Annotated[str | None, o.option(COMPARING, "--by", metavar="NAME", help=_BY, default="distribution")]
_PROMPT = "Ask this question about the two photos instead (--by model); otherwise, about each of them."
_PREFIX = "Let the answer begin with this text, after which the choice (--by model) or the number or word follows."
Prompt = Annotated[str | None, o.option(COMPARING, "--prompt", metavar="TEXT", help=_PROMPT)]
Prefix = Annotated[str | None, o.option(COMPARING, "--prefix", metavar="TEXT", help=_PREFIX)]
_CHOICES = "The answers (--by model): for the photo that is shown first, then for the other one."
Choices = Annotated[
    Any,
    o.option(COMPARING, "--choices", metavar="WORD,WORD", parser=parse_words, help=_CHOICES, default="first,second"),
]
_OUTPUT = (
    "Append the records to this file (.jsonl) and continue where an earlier run stopped; scores are kept in"
    " FILE.scores.jsonl. A .jsonl.gz, .csv or .parquet file is written at the end, from FILE.records.jsonl."
)
PairsOutput = Annotated[
    Path | None,
    OutputFile("--output", records_kind("comparisons", "p_a_better", exports=True)),
    o.option(o.OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT),
]
_LIMIT = "Compare at most N pairs."
Limit = Annotated[int | None, o.option(o.OUTPUT, "--limit", metavar="N", min=1, help=_LIMIT)]

_ONLY_OF = {
    "distribution": ("method", "preset", "preset_file", "levels", "scale", "digits"),
    "model": ("choices",),
}
"""The options that apply to one way of comparing only."""


def compare(
    context: typer.Context,
    photos: Photos = None,
    pairs: Pairs = None,
    by: By = None,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    server: o.Server = None,
    api_key_env: o.ApiKeyEnv = None,
    concurrency: o.Concurrency = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    backend: o.BackendOption = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    method: o.MethodOption = None,
    preset: o.PresetOption = None,
    preset_file: o.PresetFile = None,
    prompt: Prompt = None,
    prefix: Prefix = None,
    choices: Choices = None,
    levels: o.LevelsOption = None,
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    jpeg_draft: o.JpegDraft = False,
    color_management: o.ColorManagement = None,
    decode_timeout: o.DecodeTimeout = None,
    decode_memory: o.DecodeMemory = None,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    limit: Limit = None,
    output: PairsOutput = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    progress: o.ProgressOption = None,
    quiet: o.Quiet = False,
) -> int:
    """Compare pairs of photos: the probability that A is better than B, and whether that decides."""
    from dataclasses import replace

    from realqa_cli.cli.compare_run import run_by_distribution, run_by_model

    way = by or "distribution"
    _check(context, way)
    options, reporter = OutputOptions.of(context), Reporter.of(context)
    found = _pairs(photos, pairs, limit)
    if way == "model":
        from realqa_cli.steps.compare.model_choice import ChoiceSettings

        settings = settings_with_server(context, ChoiceSettings)
        settings.check()
        return run_by_model(found, settings, options, reporter)
    from realqa_cli.steps.score.score import ScoreSettings

    scoring = settings_with_server(context, ScoreSettings)
    return run_by_distribution(found, replace(scoring, distribution="all"), options, reporter)


def _check(context: typer.Context, by: str) -> None:
    """Raises UsageError for an unknown way of comparing, and for options of the other one."""
    if by not in _ONLY_OF:
        raise UsageError(f"unknown value {by!r}", where="--by", remedy=f"use one of: {', '.join(_ONLY_OF)}")
    for other, names in _ONLY_OF.items():
        for name in names if other != by else ():
            if context.params[name] is not None:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"applies to --by {other}", where=flag, remedy=f"leave it out, or use --by {other}")


def _pairs(photos: "Sequence[str] | None", file: str | None, limit: int | None) -> "list[PhotoPair]":
    """The pairs, all in memory: a photo may occur again in the last one. Raises UsageError."""
    from itertools import islice

    from realqa_cli.io.pairs import pair_of_paths, read_pairs

    if (file is None) == (not photos):
        raise UsageError("give two photos, or a table of pairs by --pairs", where="compare", remedy="give one of both")
    if file is not None:
        return [*islice(read_pairs(file), limit)]
    if photos is None or len(photos) != 2:
        what = f"needs two photos, not {len(photos or ())}"
        raise UsageError(what, where="compare", remedy="name several pairs in a table, by --pairs FILE")
    return [pair_of_paths(*photos)]
