"""CLI for `realqa rank`: photos or their scores in, groups and a ranking out, the kept photos linked or copied."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_with_server
from realqa_cli.cli.output import OutputOptions
from realqa_cli.cli.output_files import OutputFile, records_kind
from realqa_cli.cli.reporter import Reporter

if TYPE_CHECKING:
    from realqa_cli.cli.rank_actions import RankActions

EXAMPLES = """[b]Examples[/b]

realqa rank card/

realqa rank card/ -o ranking.jsonl --keep 2 --link-to best/

realqa rank card/ -o ranking.jsonl --report ranking.html

realqa rank card/ --stars 10,20,40,20,10 --xmp --dry-run

realqa rank card/ --server http://localhost:8000/v1 --concurrency 16 -o ranking.jsonl

realqa rank koniq/ --dataset koniq10k --split test -o ranking.jsonl

realqa rank scores.jsonl --json | jq -r 'select(.keep) | .image'
"""

RANKING = "Ranking"

_RANKING = records_kind("a ranking", "rank", exports=True)
_SOURCES = (
    "Photos, videos, folders (searched recursively), records of `realqa score`, whose scores are used, .jsonl files"
    " whose records have an 'image' or 'video' field, or - for records on stdin."
)
RankSources = Annotated[list[str], typer.Argument(metavar="SOURCES|SCORES.jsonl", show_default=False, help=_SOURCES)]
_KEEP = "Photos to keep of each group of near-duplicates or frames of a burst."
Keep = Annotated[int | None, o.option(RANKING, "--keep", metavar="N", min=1, help=_KEEP, default="1")]
_STARS = (
    "Give stars: by shares in percent from one star to five, such as 10,20,40,20,10, or by four scores from which"
    " on there are two to five stars, such as 2,3,3.5,4.2."
)
Stars = Annotated[str | None, o.option(RANKING, "--stars", metavar="LIST", help=_STARS)]
_COPY_TO = "Copy the kept photos to this folder; existing files are never overwritten."
CopyTo = Annotated[Path | None, o.option(RANKING, "--copy-to", metavar="DIR", help=_COPY_TO)]
_LINK_TO = "Make symbolic links to the kept photos in this folder; existing files are never overwritten."
LinkTo = Annotated[Path | None, o.option(RANKING, "--link-to", metavar="DIR", help=_LINK_TO)]
_XMP = (
    "Write stars, and a green label for photos to keep, into XMP sidecars next to the photos; by shares of"
    " 10,20,40,20,10 without --stars. A rating or label that a person chose stays, unless --overwrite is given."
)
Xmp = Annotated[bool, o.flag(RANKING, "--xmp", help=_XMP)]
_DRY_RUN = "Rank, and only report what --copy-to, --link-to and --xmp would do."
DryRun = Annotated[bool, o.flag(RANKING, "--dry-run", help=_DRY_RUN)]
_OUTPUT = (
    "Write the ranking to this file (.jsonl, .jsonl.gz, .csv or .parquet) at the end of the run. Scores are kept in"
    " FILE.scores.jsonl as they come, and a later run continues after them."
)
RankingOutput = Annotated[
    Path | None,
    OutputFile("--output", _RANKING),
    o.option(o.OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT),
]


def rank(
    context: typer.Context,
    sources: RankSources,
    keep: Keep = None,
    stars: Stars = None,
    copy_to: CopyTo = None,
    link_to: LinkTo = None,
    xmp: Xmp = False,
    dry_run: DryRun = False,
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
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    color_management: o.ColorManagement = None,
    decode_timeout: o.DecodeTimeout = None,
    decode_memory: o.DecodeMemory = None,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    dataset: o.Dataset = None,
    split: o.Split = None,
    subset: o.Subset = None,
    columns: o.Columns = None,
    limit: o.Limit = None,
    output: RankingOutput = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    top: o.Top = None,
    report: o.ReportOption = None,
    quiet: o.Quiet = False,
) -> int:
    """Rank photos: near-duplicates and bursts in groups, the best of each group, and the order over all."""
    from dataclasses import replace

    from realqa_cli.cli.rank_run import run_rank
    from realqa_cli.steps.rank.rank import RankSettings
    from realqa_cli.steps.rank.stars import DEFAULT_STARS, StarRule
    from realqa_cli.steps.score.score import ScoreSettings

    rule = StarRule.parse(stars) if stars is not None else DEFAULT_STARS if xmp else None
    settings = RankSettings(keep or RankSettings.keep, rule)
    settings.check()
    scoring = replace(settings_with_server(context, ScoreSettings), distribution=True, measured=True)
    options, reporter = OutputOptions.of(context), Reporter.of(context)
    actions = _actions(copy_to, link_to, xmp=xmp, overwrite=overwrite, dry_run=dry_run)
    actions.check(sources)
    return run_rank(settings, scoring, options, reporter, actions, limit=limit)


def _actions(copy_to: Path | None, link_to: Path | None, *, xmp: bool, overwrite: bool, dry_run: bool) -> "RankActions":
    from realqa_cli.cli.rank_actions import RankActions
    from realqa_cli.steps.rank.placing import Placement

    placements = [
        *([Placement(copy_to, "copy", dry_run)] if copy_to is not None else ()),
        *([Placement(link_to, "link", dry_run)] if link_to is not None else ()),
    ]
    return RankActions(placements, xmp=xmp, overwrite=overwrite, dry_run=dry_run)
