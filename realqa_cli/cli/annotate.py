"""The door of `realqa annotate`: photos in, attribute records by a paid model out."""

from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli import dataset_options as d
from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter

EXAMPLES = """[b]Examples[/b]

realqa annotate photos/ --server https://api.openai.com/v1 --model gpt-4o --dry-run

realqa annotate photos/ --server https://api.openai.com/v1 --model gpt-4o --max-cost 20 -o labels.jsonl

realqa annotate photos/ --server http://localhost:8000/v1 --screen -o labels.jsonl

realqa annotate photos/ --model gpt-4o --to openai-batch requests.jsonl

realqa annotate photos/ --model gpt-4o --from openai-batch results.jsonl -o labels.jsonl

realqa annotate labels.jsonl --to label-studio tasks.json

realqa annotate --from label-studio export.json -o refined.jsonl
"""

ASKING, COST, PEOPLE = "Asking", "Pace and cost", "Batches and people"

_SOURCES = "Photos, folders (searched to the bottom), .jsonl files with an 'image' field, or - for stdin."
_SERVER = "An OpenAI-compatible server; its address ends in /v1."
_MODEL = "The server's model; by default the only one that it has."
_SCREEN = "Also ask whether a photo has subtitles, a watermark, or is stitched, so that it can be left out."
_MAX_PIXELS = "Reduce photos of more pixels before they are sent."
_FORMAT = "How photos are sent: jpeg, or png, which loses nothing and is about ten times as large."
_MAX_TOKENS = "The longest reply, in tokens; models that think first need more."
_AGAIN = "Ask, and pay, anew where the replies in the ledger cannot be used."
_MAX_COST = "Stop before everything in the ledger together costs more, in US dollars."
_PRICES = 'Prices of models, over the table that is built in: {"name": {"input": 0.8, "output": 3.2}} per million.'
_DRY_RUN = "Send nothing; print how many photos, tokens and US dollars it would be."
_TO = "Write FILE for label-studio or openai-batch instead of asking."
_FROM = (
    "Read FILE of label-studio or openai-batch (or a folder of such files) instead of asking; what a batch"
    " has no answer to is asked if there is a --server."
)
_IMAGE_ROOT = "The folder that Label Studio serves; by default the one above the photos' own."
_IMAGE_URL = "Where a web server has the folder of --image-root instead."

Exchange = tuple[str, Path]


def annotate(
    context: typer.Context,
    sources: Annotated[list[str] | None, typer.Argument(metavar="SOURCES", show_default=False, help=_SOURCES)] = None,
    server: Annotated[str | None, o.option(o.SERVER, "--server", metavar="URL", help=_SERVER)] = None,
    model: Annotated[str | None, o.option(o.SERVER, "--model", "-m", metavar="NAME", help=_MODEL)] = None,
    api_key_env: o.ApiKeyEnv = None,
    concurrency: o.Concurrency = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    screen: Annotated[bool, o.flag(ASKING, "--screen", help=_SCREEN)] = False,
    max_pixels: Annotated[
        int | None,
        o.option(ASKING, "--max-pixels", metavar="N", min=784, help=_MAX_PIXELS, default="1003520"),
    ] = None,
    image_format: Annotated[
        str | None, o.option(ASKING, "--image-format", metavar="NAME", help=_FORMAT, default="jpeg")
    ] = None,
    max_tokens: Annotated[
        int | None, o.option(ASKING, "--max-tokens", metavar="N", min=1, help=_MAX_TOKENS, default="2048")
    ] = None,
    ask_again: Annotated[bool, o.flag(ASKING, "--ask-again", help=_AGAIN)] = False,
    requests_per_minute: Annotated[
        float | None,
        o.option(COST, "--requests-per-minute", metavar="N", min=0.001, help="Requests in a minute at most."),
    ] = None,
    tokens_per_minute: Annotated[
        float | None,
        o.option(COST, "--tokens-per-minute", metavar="N", min=1, help="Tokens in a minute at most."),
    ] = None,
    max_cost: Annotated[float | None, o.option(COST, "--max-cost", metavar="USD", min=0.0, help=_MAX_COST)] = None,
    prices: Annotated[Path | None, o.option(COST, "--prices", metavar="FILE", help=_PRICES)] = None,
    dry_run: Annotated[bool, o.flag(COST, "--dry-run", help=_DRY_RUN)] = False,
    to: Annotated[Exchange | None, o.option(PEOPLE, "--to", metavar="FORMAT FILE", help=_TO)] = None,
    from_: Annotated[Exchange | None, o.option(PEOPLE, "--from", metavar="FORMAT FILE", help=_FROM)] = None,
    image_root: Annotated[Path | None, o.option(PEOPLE, "--image-root", metavar="DIR", help=_IMAGE_ROOT)] = None,
    image_url: Annotated[str | None, o.option(PEOPLE, "--image-url", metavar="URL", help=_IMAGE_URL)] = None,
    dataset: d.DatasetOption = None,
    split: d.Split = None,
    subset: d.Subset = None,
    columns: d.Columns = None,
    limit: o.Limit = None,
    output: o.Output = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> int:
    """Have a model behind a server label photos with the ten attributes; no reply is paid twice."""
    from realqa_cli.cli.annotate_modes import run
    from realqa_cli.cli.annotate_request import AnnotateRequest
    from realqa_cli.cli.delivery import OutputOptions

    chosen = d.selection(dataset, split, columns, subset)
    wanted = OutputOptions(output, not no_resume, overwrite, sources=sources or (), dataset=chosen)
    return run(AnnotateRequest.of(context, wanted, Reporter(quiet or bool(context.obj))))
