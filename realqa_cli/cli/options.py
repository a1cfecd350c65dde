"""The options that commands share, each written once: name, help, and how its text is read.

An option that was not given is None, and the settings of the step decide. The help repeats their
defaults, so that it need not load them; tests/test_habits.py keeps the two alike.
"""

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from realqa_cli.domain.scales import Scale

if TYPE_CHECKING:
    from realqa_cli.backends.server.settings import ServerSettings

MODEL, SCORING, SERVER, OUTPUT = "Model", "Scoring", "Server", "Input and output"


def option(panel: str, *names: str, help: str, default: str | None = None, **more: Any) -> Any:
    """An option in a panel of the help; `default` is what the help says of it, the settings decide."""
    says = f"{help} [dim]\\[default: {default}][/dim]" if default else help
    return typer.Option(*names, rich_help_panel=panel, help=says, **more)


def flag(panel: str, *names: str, help: str) -> Any:
    """An option that is given or not."""
    return typer.Option(*names, rich_help_panel=panel, help=help, metavar="")


Settings = TypeVar("Settings")


def settings_of(context: typer.Context, kind: type[Settings], *, without: Collection[str] = ()) -> Settings:
    """The dataclass `kind` from the options of its fields' names; what was not given keeps its default.

    without: fields that no option gives as it is.
    """
    names = {field.name for field in fields(kind)} - {*without}  # type: ignore[arg-type]
    given = {name: context.params.get(name) for name in names}
    return kind(**{name: value for name, value in given.items() if value not in (None, (), [])})


def asking_of(context: typer.Context, kind: type[Settings]) -> Settings:
    """The same for a step that may ask a server. Raises UsageError for options that then mean nothing."""
    from realqa_cli.errors import UsageError

    settings, url = settings_of(context, kind, without=("server",)), context.params["server"]
    if url is None:
        for name in ("api_key_env", "concurrency", "retries", "timeout"):
            if context.params[name] is not None:
                raise UsageError("concerns a server", where=_flag(name), remedy="add --server URL")
        return settings
    for name in ("adapter", "revision", "trust_remote_code", "backend", "device", "dtype", "quantize"):
        if context.params[name]:
            remedy = "leave it or --server out"
            raise UsageError("concerns a model in this process", where=_flag(name), remedy=remedy)
    for name, instead in (("batch_size", "use --concurrency"), ("jpeg_draft", "leave it out")):
        if context.params[name]:
            raise UsageError("concerns a model in this process", where=_flag(name), remedy=instead)
    # A name from the environment is that of a model here.
    told = context.get_parameter_source("model")
    model = context.params["model"] if told is not None and told.name == "COMMANDLINE" else None
    return replace(settings, server=server_of(context, url, model))  # type: ignore[type-var]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def server_of(context: typer.Context, url: str, model: str | None) -> "ServerSettings":
    """The settings of the server at `url` from the options that concern one; see `settings_of`."""
    from realqa_cli.backends.server.settings import ServerSettings

    names = ("api_key_env", "concurrency", "retries", "timeout")
    given = {name: context.params[name] for name in names if context.params.get(name) is not None}
    return ServerSettings(url, model, **given)


def parse_scale(text: str) -> Scale:
    """Reads `1-5` or `0-10`, low before high."""
    try:
        return Scale.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


_SOURCES = (
    "Photos, videos, folders (searched to the bottom), .jsonl files whose lines have an 'image' or 'video'"
    " field, or - for such lines on stdin."
)
Sources = Annotated[list[str], typer.Argument(metavar="SOURCES", show_default=False, help=_SOURCES)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Say nothing on stderr but errors.")]

_MODEL = "A bundled model, a model folder, a short name (qwen2-vl-2b, ...) or a hub id."
Model = Annotated[
    str | None,
    option(MODEL, "--model", "-m", metavar="NAME", envvar="REALQA_MODEL", help=_MODEL, default="realqa-tiny"),
]
_ADAPTER = "A PEFT adapter for the model: a folder or hub id, with :subfolder where it lies in one."
Adapter = Annotated[str | None, option(MODEL, "--adapter", metavar="NAME", help=_ADAPTER)]
_REVISION = "The hub revision: a commit, tag or branch."
Revision = Annotated[str | None, option(MODEL, "--revision", metavar="REV", help=_REVISION)]
_TRUST = "Run the code that a model brings; needs --revision."
TrustRemoteCode = Annotated[bool, flag(MODEL, "--trust-remote-code", help=_TRUST)]
_BACKEND = (
    "auto, onnx (models with graphs, on a CPU, without torch), openvino (the same, faster; installed"
    " apart), hf (transformers), or echo (a fake without a model, for tests)."
)
BackendOption = Annotated[str | None, option(MODEL, "--backend", metavar="NAME", help=_BACKEND, default="auto")]
_DEVICE = "auto, cpu, cuda, cuda:1 or mps; auto leaves small models (--backend onnx) on the CPU."
Device = Annotated[str | None, option(MODEL, "--device", metavar="NAME", help=_DEVICE, default="auto")]
_DTYPE = "auto, float32, bfloat16 or float16; auto is float32 on a CPU, but for --backend openvino."
Dtype = Annotated[str | None, option(MODEL, "--dtype", metavar="NAME", help=_DTYPE, default="auto")]
_QUANTIZE = "4bit or 8bit weights; on CUDA only."
Quantize = Annotated[str | None, option(MODEL, "--quantize", metavar="BITS", help=_QUANTIZE)]

_METHOD = (
    "direct asks for the score alone, cot for the attributes first, levels for a word; regression is for"
    " models with that head. The model's folder says which; direct where it does not."
)
MethodOption = Annotated[str | None, option(SCORING, "--method", metavar="NAME", help=_METHOD)]
_DECODE = "exact weighs every score that the model could give; greedy reads the one that it writes."
Decode = Annotated[str | None, option(SCORING, "--decode", metavar="NAME", help=_DECODE, default="exact")]
_PRESET = "realqa-release: pixels and numerals as the paper's released adapters expect them."
PresetOption = Annotated[str | None, option(SCORING, "--preset", metavar="NAME", help=_PRESET)]
_ENGINE = "local: in this process; ray: on a Ray cluster, one model a GPU."
Engine = Annotated[str | None, option(SCORING, "--engine", metavar="NAME", help=_ENGINE, default="local")]
_BATCH_SIZE = "Photos in one forward pass."
BatchSize = Annotated[int | None, option(SCORING, "--batch-size", metavar="N", min=1, help=_BATCH_SIZE, default="4")]
_MIN_PIXELS = "Enlarge photos of fewer pixels; the model's folder says how few."
MinPixels = Annotated[int | None, option(SCORING, "--min-pixels", metavar="N", min=1, help=_MIN_PIXELS)]
_MAX_PIXELS = "Reduce photos of more pixels; the model's folder says how many."
MaxPixels = Annotated[int | None, option(SCORING, "--max-pixels", metavar="N", min=1, help=_MAX_PIXELS)]
_JPEG_DRAFT = "Decode large JPEGs at a half, a quarter or an eighth of their size: faster, slightly other scores."
JpegDraft = Annotated[bool, flag(SCORING, "--jpeg-draft", help=_JPEG_DRAFT)]
_SCALE = "The scale of a model without realqa.json, 1-5 for example."
ScaleOption = Annotated[str | None, option(SCORING, "--scale", metavar="LO-HI", parser=parse_scale, help=_SCALE)]
_DIGITS = "Digits of the scores of a model without realqa.json."
DigitsOption = Annotated[int | None, option(SCORING, "--digits", metavar="N", min=1, max=3, help=_DIGITS)]
_DISTRIBUTION = "Add the probability of every score."
Distribution = Annotated[bool, flag(SCORING, "--distribution", help=_DISTRIBUTION)]

_FRAMES = "Frames of a video to look at, spread evenly: 8; with --fps at most so many: 64."
Frames = Annotated[int | None, option(SCORING, "--frames", metavar="N", min=1, max=768, help=_FRAMES)]
_FPS = "Look at so many frames of a video a second."
Fps = Annotated[float | None, option(SCORING, "--fps", metavar="R", min=0.001, help=_FPS)]
_PER_FRAME = "Also score each frame of a video that is looked at, as a photo."
PerFrame = Annotated[bool, flag(SCORING, "--per-frame", help=_PER_FRAME)]

_REASONS = "Also give reasons in words, where the model was trained to."
Reasons = Annotated[bool, flag(SCORING, "--reasons", help=_REASONS)]
_FORM = "Form of the chain of thought (--method cot): regular or natural; as in training if it is not given."
FormOption = Annotated[str | None, option(SCORING, "--form", metavar="NAME", help=_FORM)]
_COT_REASONS = "Let the model write its reasons (--method cot); as in training if it is not given."
CotReasons = Annotated[bool | None, option(SCORING, "--reasons/--no-reasons", metavar="", help=_COT_REASONS)]

_SERVER = "Ask an OpenAI-compatible server in place of a model in this process; its address ends in /v1."
Server = Annotated[str | None, option(SERVER, "--server", metavar="URL", help=_SERVER)]
_API_KEY_ENV = "The environment variable that holds the server's key; unset where it wants none."
ApiKeyEnv = Annotated[
    str | None, option(SERVER, "--api-key-env", metavar="VAR", help=_API_KEY_ENV, default="OPENAI_API_KEY")
]
_CONCURRENCY = "Requests at once."
Concurrency = Annotated[
    int | None, option(SERVER, "--concurrency", metavar="N", min=1, max=256, help=_CONCURRENCY, default="4")
]
_RETRIES = "Further attempts after a failure that may pass: 429, 5xx, time-outs, half answers."
Retries = Annotated[int | None, option(SERVER, "--retries", metavar="N", min=0, max=100, help=_RETRIES, default="5")]
_TIMEOUT = "Seconds that a request may take."
Timeout = Annotated[
    float | None, option(SERVER, "--timeout", metavar="SECONDS", min=0.001, help=_TIMEOUT, default="180")
]

_LIMIT = "Stop after N items."
Limit = Annotated[int | None, option(OUTPUT, "--limit", metavar="N", min=1, help=_LIMIT)]
_OUTPUT = "Append the records to this file, and go on where an earlier run stopped."
Output = Annotated[Path | None, option(OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT)]
_NO_RESUME = "Start over; a file that holds something needs --overwrite."
NoResume = Annotated[bool, flag(OUTPUT, "--no-resume", help=_NO_RESUME)]
_OVERWRITE = "With --no-resume: replace what the file holds."
Overwrite = Annotated[bool, flag(OUTPUT, "--overwrite", help=_OVERWRITE)]
_JSON = "JSON Lines, also where stdout is a terminal."
Json = Annotated[bool, flag(OUTPUT, "--json", help=_JSON)]
_TABLE = "A table, also where stdout is no terminal."
TableOption = Annotated[bool, flag(OUTPUT, "--table", help=_TABLE)]
_TOP = "Print only the N best, best first."
Top = Annotated[int | None, option(OUTPUT, "--top", metavar="N", min=1, help=_TOP)]
_REPORT = "Also write a page with the photos and their scores."
ReportOption = Annotated[Path | None, option(OUTPUT, "--report", metavar="FILE.html", help=_REPORT)]
