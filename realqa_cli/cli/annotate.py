"""CLI for `realqa annotate`: photos in, attribute records by a model behind a server out."""

from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.exchange import EXCHANGE_KINDS, Exchange
from realqa_cli.cli.output_files import OutputFile
from realqa_cli.cli.reporter import Reporter

EXAMPLES = """[b]Examples[/b]

realqa annotate photos/ --server https://api.openai.com/v1 --model gpt-4o --dry-run

realqa annotate photos/ --server https://api.openai.com/v1 --model gpt-4o --max-cost 20 -o labels.jsonl

realqa annotate photos/ --server http://localhost:8000/v1 --screen -o labels.jsonl

realqa annotate photos/ --model gpt-4o --to openai-batch requests.jsonl

realqa annotate photos/ --model gpt-4o --from openai-batch results.jsonl -o labels.jsonl

realqa annotate labels.jsonl --to label-studio tasks.json

realqa annotate --from label-studio export.json -o refined.jsonl
"""

REQUESTS, COST, PEOPLE = "Requests", "Rate and cost", "Batches and people"

_SOURCES = "Photos, folders (searched recursively), .jsonl files with an 'image' field, or - for stdin."
Sources = Annotated[list[str] | None, typer.Argument(metavar="SOURCES", show_default=False, help=_SOURCES)]
_SERVER = "An OpenAI-compatible server; its address ends in /v1."
Server = Annotated[str | None, o.option(o.SERVER, "--server", metavar="URL", help=_SERVER)]
_MODEL = "The server's model; by default the only one that it has."
Model = Annotated[str | None, o.option(o.SERVER, "--model", "-m", metavar="NAME", help=_MODEL)]
_SCREEN = "Also request the curation flags: whether a photo has subtitles, a watermark, or is stitched."
Screen = Annotated[bool, o.flag(REQUESTS, "--screen", help=_SCREEN)]
_MAX_PIXELS = "Reduce photos with more pixels before they are sent."
MaxPixels = Annotated[
    int | None, o.option(REQUESTS, "--max-pixels", metavar="N", min=784, help=_MAX_PIXELS, default="1003520")
]
_FORMAT = "Encoding of the photos that are sent: jpeg, or png (lossless, about ten times the size)."
ImageFormat = Annotated[str | None, o.option(REQUESTS, "--image-format", metavar="NAME", help=_FORMAT, default="jpeg")]
_MAX_TOKENS = "Maximum tokens of a reply; reasoning models need more."
MaxTokens = Annotated[
    int | None, o.option(REQUESTS, "--max-tokens", metavar="N", min=1, help=_MAX_TOKENS, default="2048")
]
_AGAIN = "Send (and pay for) a new request where the replies in the ledger cannot be used."
AskAgain = Annotated[bool, o.flag(REQUESTS, "--ask-again", help=_AGAIN)]
_REQUESTS = "Maximum requests per minute."
RequestsPerMinute = Annotated[
    float | None, o.option(COST, "--requests-per-minute", metavar="N", min=0.001, help=_REQUESTS)
]
_TOKENS = "Maximum tokens per minute."
TokensPerMinute = Annotated[float | None, o.option(COST, "--tokens-per-minute", metavar="N", min=1, help=_TOKENS)]
_MAX_COST = "Stop before the replies in the ledger cost more than this, in US dollars."
MaxCost = Annotated[float | None, o.option(COST, "--max-cost", metavar="USD", min=0.0, help=_MAX_COST)]
_PRICES = 'JSON file with prices that override the built-in ones: {"name": {"input": 0.8, "output": 3.2}} per million.'
PriceFile = Annotated[Path | None, o.option(COST, "--prices", metavar="FILE", help=_PRICES)]
_DRY_RUN = "Send nothing; print how many photos, tokens and US dollars it would be."
DryRun = Annotated[bool, o.flag(COST, "--dry-run", help=_DRY_RUN)]
_TO = "Write FILE for label-studio (.json) or openai-batch (.jsonl) instead of sending requests."
To = Annotated[
    Exchange | None,
    OutputFile("--to", EXCHANGE_KINDS),
    o.option(PEOPLE, "--to", metavar="FORMAT FILE", help=_TO),
]
_FROM = (
    "Read FILE of label-studio or openai-batch (or a folder of such files) instead of sending requests; photos"
    " that a batch has no answer for are sent if there is a --server."
)
From = Annotated[Exchange | None, o.option(PEOPLE, "--from", metavar="FORMAT FILE", help=_FROM)]
_IMAGE_ROOT = "Folder that Label Studio serves; by default the parent of the photos' folder."
ImageRoot = Annotated[Path | None, o.option(PEOPLE, "--image-root", metavar="DIR", help=_IMAGE_ROOT)]
_IMAGE_URL = "Address under which a web server has the folder of --image-root instead."
ImageUrl = Annotated[str | None, o.option(PEOPLE, "--image-url", metavar="URL", help=_IMAGE_URL)]


def annotate(
    context: typer.Context,
    sources: Sources = None,
    server: Server = None,
    model: Model = None,
    api_key_env: o.ApiKeyEnv = None,
    concurrency: o.Concurrency = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    screen: Screen = False,
    max_pixels: MaxPixels = None,
    image_format: ImageFormat = None,
    color_management: o.ColorManagement = None,
    decode_timeout: o.DecodeTimeout = None,
    decode_memory: o.DecodeMemory = None,
    max_tokens: MaxTokens = None,
    ask_again: AskAgain = False,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    max_cost: MaxCost = None,
    prices: PriceFile = None,
    dry_run: DryRun = False,
    to: To = None,
    from_: From = None,
    image_root: ImageRoot = None,
    image_url: ImageUrl = None,
    dataset: o.Dataset = None,
    split: o.Split = None,
    subset: o.Subset = None,
    columns: o.Columns = None,
    files_from: o.FilesFrom = None,
    shard: o.ShardOption = None,
    limit: o.Limit = None,
    output: o.LabelsOutput = None,
    no_resume: o.NoResume = False,
    resume_by: o.ResumeByOption = None,
    overwrite: o.Overwrite = False,
    progress: o.ProgressOption = None,
    metrics_file: o.MetricsFile = None,
    quiet: o.Quiet = False,
) -> int:
    """Label photos with the ten attributes by a model behind a server; no reply is paid for twice."""
    from realqa_cli.cli.annotate_modes import run
    from realqa_cli.cli.annotate_request import AnnotateRequest
    from realqa_cli.cli.option_values import server_of, settings_of
    from realqa_cli.cli.output import OutputOptions
    from realqa_cli.steps.annotate.settings import AnnotateSettings

    request = AnnotateRequest(
        settings=settings_of(context, AnnotateSettings),
        explicit=frozenset(name for name, value in context.params.items() if value not in (None, False)),
        options=OutputOptions.of(context),
        reporter=Reporter.of(context),
        server=server_of(context, server, model) if server else None,
        model=model,
        price_file=prices,
        limit=limit,
        dry_run=dry_run,
        write_to=to,
        read_from=from_,
        image_root=image_root,
        image_url=image_url,
    )
    request.check()
    return run(request)
