"""The options that commands share, each declared once: name, help, and how its text is read.

An option that was not given is None, and the settings of the step decide. The help repeats their defaults, so
that it need not load them; a test keeps the two in agreement. `option_values` turns values into settings.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from realqa_cli.cli.option_values import parse_columns, parse_levels, parse_scale, parse_shard, parse_words
from realqa_cli.cli.output_files import METRICS, PAGE, PLOT, OutputFile, records_kind
from realqa_cli.datasets import DATASETS
from realqa_cli.io.shards import Shard

MODEL, SCORING, SERVER, DATA, OUTPUT = "Model", "Scoring", "Server", "Data sets", "Input and output"


def option(panel: str, *names: str, help: str, default: str | None = None, **more: Any) -> Any:
    """An option in a panel of the help; `default` is only shown there."""
    words = f"{help} [dim]\\[default: {default}][/dim]" if default else help
    return typer.Option(*names, rich_help_panel=panel, help=words, **more)


def flag(panel: str, *names: str, help: str) -> Any:
    """An option without a value."""
    return typer.Option(*names, rich_help_panel=panel, help=help, metavar="")


_SOURCES = (
    "Photos, videos, folders (searched recursively), .jsonl files whose records have an 'image' or 'video'"
    " field, or - for such records on stdin; also tar archives of photos, and URLs (s3://, gs://, https://)."
)
Sources = Annotated[list[str], typer.Argument(metavar="SOURCES", show_default=False, help=_SOURCES)]
OptionalSources = Annotated[list[str] | None, typer.Argument(metavar="SOURCES", show_default=False, help=_SOURCES)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Print only errors to stderr.")]

_MODEL = "A bundled model, a model folder, a short name (qwen2-vl-2b, ...) or a hub id."
Model = Annotated[
    str | None,
    option(MODEL, "--model", "-m", metavar="NAME", envvar="REALQA_MODEL", help=_MODEL, default="realqa-tiny"),
]
_ADAPTER = "A PEFT adapter for the model: a folder or hub id, with :subfolder if it lies in one."
Adapter = Annotated[str | None, option(MODEL, "--adapter", metavar="NAME", help=_ADAPTER)]
_REVISION = "The hub revision: a commit, tag or branch."
Revision = Annotated[str | None, option(MODEL, "--revision", metavar="REV", help=_REVISION)]
_TRUST = "Run the code that the model's repository brings; needs --revision."
TrustRemoteCode = Annotated[bool, flag(MODEL, "--trust-remote-code", help=_TRUST)]
_BACKEND = (
    "auto, onnx (models with ONNX graphs, on a CPU, without torch), openvino (the same, faster; installed"
    " separately), hf (transformers), or echo (a fake for tests, without a model)."
)
BackendOption = Annotated[str | None, option(MODEL, "--backend", metavar="NAME", help=_BACKEND, default="auto")]
_DEVICE = "auto, cpu, cuda, cuda:1 or mps; auto leaves small models (--backend onnx) on the CPU."
Device = Annotated[str | None, option(MODEL, "--device", metavar="NAME", help=_DEVICE, default="auto")]
_DTYPE = "auto, float32, bfloat16 or float16; auto is float32 on a CPU, except with --backend openvino."
Dtype = Annotated[str | None, option(MODEL, "--dtype", metavar="NAME", help=_DTYPE, default="auto")]
_QUANTIZE = "4bit or 8bit weights; CUDA only."
Quantize = Annotated[str | None, option(MODEL, "--quantize", metavar="BITS", help=_QUANTIZE)]

_METHOD = (
    "direct (the score alone), cot (the attributes first), levels (one of several words), think (a thought first,"
    " with a preset) or regression (models with that head). Defaults to the preset's or to what the model's folder"
    " says, else direct."
)
MethodOption = Annotated[str | None, option(SCORING, "--method", metavar="NAME", help=_METHOD)]
_DECODE = "exact computes the probability of every possible score; greedy reads the one that the model writes."
Decode = Annotated[str | None, option(SCORING, "--decode", metavar="NAME", help=_DECODE, default="exact")]
_PRESET = "Ask as the authors of a known model do, for example q-align; `realqa presets` lists them; none: not."
PresetOption = Annotated[str | None, option(SCORING, "--preset", metavar="NAME", help=_PRESET)]
_PRESET_FILE = "Ask as this file says; `realqa presets NAME` prints one as an example."
PresetFile = Annotated[Path | None, option(SCORING, "--preset-file", metavar="FILE.toml", help=_PRESET_FILE)]
_PROMPT = "Ask this question instead."
PromptOption = Annotated[str | None, option(SCORING, "--prompt", metavar="TEXT", help=_PROMPT)]
_PREFIX = "Let the answer begin with this text, after which the number or word follows."
PrefixOption = Annotated[str | None, option(SCORING, "--prefix", metavar="TEXT", help=_PREFIX)]
_ASK = (
    "Ask these questions of the preset in one run, such as quality,aesthetics; each photo is encoded once. The records"
    " have all answers in `scores`."
)
AskOption = Annotated[Any, option(SCORING, "--ask", metavar="NAME,...", parser=parse_words, help=_ASK)]
_LEVELS = "The words of --method levels, best first: excellent,good,... or with values excellent=5,good=4,..."
LevelsOption = Annotated[str | None, option(SCORING, "--levels", metavar="WORD,...", parser=parse_levels, help=_LEVELS)]
_SAMPLES = "Average over N random thoughts of a reasoning model; by default its greedy thought."
Samples = Annotated[int | None, option(SCORING, "--samples", metavar="N", min=1, max=64, help=_SAMPLES)]
_SEED = "Random seed of --samples."
SamplesSeed = Annotated[int | None, option(SCORING, "--seed", metavar="N", min=0, help=_SEED, default="0")]
_ENGINE = "local (this process) or ray (a Ray cluster, one model per GPU)."
Engine = Annotated[str | None, option(SCORING, "--engine", metavar="NAME", help=_ENGINE, default="local")]
_BATCH_SIZE = "Photos per forward pass."
BatchSize = Annotated[int | None, option(SCORING, "--batch-size", metavar="N", min=1, help=_BATCH_SIZE, default="4")]
_MIN_PIXELS = "Enlarge photos with fewer pixels. Defaults to what the model's folder says."
MinPixels = Annotated[int | None, option(SCORING, "--min-pixels", metavar="N", min=1, help=_MIN_PIXELS)]
_MAX_PIXELS = "Reduce photos with more pixels. Defaults to what the model's folder says."
MaxPixels = Annotated[int | None, option(SCORING, "--max-pixels", metavar="N", min=1, help=_MAX_PIXELS)]
_JPEG_DRAFT = "Decode large JPEGs at 1/2, 1/4 or 1/8 of their size: faster, with slightly different scores."
JpegDraft = Annotated[bool, flag(SCORING, "--jpeg-draft", help=_JPEG_DRAFT)]
_COLOR = "Convert colors to sRGB by the embedded profile. By default as in training; old adapters were trained without."
ColorManagement = Annotated[
    bool | None,
    option(SCORING, "--color-management/--no-color-management", metavar="", help=_COLOR),
]
_DECODE_TIMEOUT = "Seconds that decoding one file may take; videos get one more for each 10 MB."
DecodeTimeout = Annotated[
    float | None,
    option(SCORING, "--decode-timeout", metavar="SECONDS", min=0.001, help=_DECODE_TIMEOUT, default="20"),
]
_DECODE_MEMORY = "Memory in MB that decoding one file may take, beyond the picture itself."
DecodeMemory = Annotated[
    int | None, option(SCORING, "--decode-memory", metavar="MB", min=1, help=_DECODE_MEMORY, default="1000")
]
_SCALE = "Scale of the scores of a model without realqa.json, for example 1-5."
ScaleOption = Annotated[str | None, option(SCORING, "--scale", metavar="LO-HI", parser=parse_scale, help=_SCALE)]
_DIGITS = "Digits of the scores of a model without realqa.json."
DigitsOption = Annotated[int | None, option(SCORING, "--digits", metavar="N", min=1, max=3, help=_DIGITS)]
_CALIBRATION = "Add calibrated scores, by a file that `realqa calibrate fit` wrote."
CalibrationOption = Annotated[Path | None, option(SCORING, "--calibration", metavar="FILE", help=_CALIBRATION)]
_DISTRIBUTION = "Add the probability of every score to the records."
Distribution = Annotated[bool, flag(SCORING, "--distribution", help=_DISTRIBUTION)]
_MEASURED = "Add sharpness, size, time and fingerprint of the photos to the records, for realqa rank."
Measured = Annotated[bool, flag(SCORING, "--measured", help=_MEASURED)]

_FRAMES = "Frames per video, evenly spaced: 8, or with --fps at most 64."
Frames = Annotated[int | None, option(SCORING, "--frames", metavar="N", min=1, max=768, help=_FRAMES)]
_FPS = "Frames per second of video."
Fps = Annotated[float | None, option(SCORING, "--fps", metavar="R", min=0.001, help=_FPS)]
_PER_FRAME = "Also score each of a video's frames as a photo."
PerFrame = Annotated[bool, flag(SCORING, "--per-frame", help=_PER_FRAME)]

_REASONS = "Also give reasons in words, if the model was trained to."
Reasons = Annotated[bool, flag(SCORING, "--reasons", help=_REASONS)]
_FORM = "Form of the chain of thought (--method cot): regular or natural; as in training if it is not given."
FormOption = Annotated[str | None, option(SCORING, "--form", metavar="NAME", help=_FORM)]
_COT_REASONS = "Let the model write its reasons (--method cot); as in training if it is not given."
CotReasons = Annotated[bool | None, option(SCORING, "--reasons/--no-reasons", metavar="", help=_COT_REASONS)]

_SERVER = "Use an OpenAI-compatible server instead of a local model; the address ends in /v1."
Server = Annotated[str | None, option(SERVER, "--server", metavar="URL", help=_SERVER)]
_API_KEY_ENV = "Environment variable that holds the server's API key, if it needs one."
ApiKeyEnv = Annotated[
    str | None, option(SERVER, "--api-key-env", metavar="VAR", help=_API_KEY_ENV, default="OPENAI_API_KEY")
]
_CONCURRENCY = "Concurrent requests."
Concurrency = Annotated[
    int | None, option(SERVER, "--concurrency", metavar="N", min=1, max=256, help=_CONCURRENCY, default="4")
]
_RETRIES = "Retries after a temporary failure: 429, 5xx, timeouts, incomplete answers."
Retries = Annotated[int | None, option(SERVER, "--retries", metavar="N", min=0, max=100, help=_RETRIES, default="5")]
_TIMEOUT = "Seconds that a request may take."
Timeout = Annotated[
    float | None, option(SERVER, "--timeout", metavar="SECONDS", min=0.001, help=_TIMEOUT, default="180")
]


def dataset_option(subject: str) -> Any:
    """`--dataset`, where `subject` is the folder of a data set."""
    words = f"{subject} is the folder of a public data set: {', '.join(DATASETS)} (csv: any table)."
    return option(DATA, "--dataset", metavar="NAME", help=words)


Dataset = Annotated[str | None, dataset_option("SOURCES")]
_SPLIT = "Only this split of the data set: train, validation or test, or a name of its own."
Split = Annotated[str | None, option(DATA, "--split", metavar="NAME", help=_SPLIT)]
_SUBSET = "The set of the RealQA release to read (--dataset realqa); an unknown name lists them."
Subset = Annotated[str | None, option(DATA, "--subset", metavar="NAME", help=_SUBSET)]
_COLUMNS = (
    "Columns of a table, for example image=name,mos=MOS,split=set,mos_range=0-100 (video= for image=;"
    " mos_range is a column or a range). Others are found by their usual names. Implies --dataset csv."
)
Columns = Annotated[
    str | None, option(DATA, "--columns", metavar="KEY=COLUMN,...", parser=parse_columns, help=_COLUMNS)
]

SCORES = records_kind("scores", "score", exports=True)
LABELS = records_kind("labels", "attributes", exports=True)
CONVERSATIONS = records_kind("conversations", "messages")
COMPOSITES = records_kind("labels with a composite", "composite", exports=True)
CALIBRATED = records_kind("calibrated scores", "calibrated", exports=True)
TRANSCRIPTS = records_kind("transcripts", "trial", "run")

_OUTPUT = (
    "Append the records to this file (.jsonl) and continue where an earlier run stopped. A .jsonl.gz, .csv or .parquet"
    " file is written at the end, from FILE.records.jsonl."
)
_output = option(OUTPUT, "--output", "-o", metavar="FILE", help=_OUTPUT)
ScoresOutput = Annotated[Path | None, OutputFile("--output", SCORES), _output]
LabelsOutput = Annotated[Path | None, OutputFile("--output", LABELS), _output]
CalibratedOutput = Annotated[Path | None, OutputFile("--output", CALIBRATED), _output]
CompositesOutput = Annotated[Path | None, OutputFile("--output", COMPOSITES), _output]
_NO_RESUME = "Start over instead of continuing; refuses a file that is not empty."
NoResume = Annotated[bool, flag(OUTPUT, "--no-resume", help=_NO_RESUME)]
_OVERWRITE = "Start over and replace existing output files."
Overwrite = Annotated[bool, flag(OUTPUT, "--overwrite", help=_OVERWRITE)]
_RESUME_BY = (
    "How finished photos of an earlier run are recognised: stat (its path, size and time; it is not opened) or content"
    " (every photo is read)."
)
ResumeByOption = Annotated[str | None, option(OUTPUT, "--resume-by", metavar="WHAT", help=_RESUME_BY, default="stat")]
_JSON = "Print JSON Lines even if stdout is a terminal."
Json = Annotated[bool, flag(OUTPUT, "--json", help=_JSON)]
_TABLE = "Print a table even if stdout is not a terminal."
TableOption = Annotated[bool, flag(OUTPUT, "--table", help=_TABLE)]
_TOP = "Print only the N best, best first."
Top = Annotated[int | None, option(OUTPUT, "--top", metavar="N", min=1, help=_TOP)]
_LIMIT = "Process at most N items."
Limit = Annotated[int | None, option(OUTPUT, "--limit", metavar="N", min=1, help=_LIMIT)]
_FILES_FROM = "Also take the photos and videos that FILE names, one path a line; - for stdin."
FilesFrom = Annotated[str | None, option(OUTPUT, "--files-from", metavar="FILE", help=_FILES_FROM)]
_SHARD = "Take only part I of N, from 1: the items whose names hash to it."
ShardOption = Annotated[Shard | None, option(OUTPUT, "--shard", metavar="I/N", parser=parse_shard, help=_SHARD)]
_PROGRESS = "auto (a bar, or a line every 30 s if stderr is not a terminal), json (such lines as JSON) or off."
ProgressOption = Annotated[str | None, option(OUTPUT, "--progress", metavar="MODE", help=_PROGRESS, default="auto")]
_METRICS = "Keep the run's counts and rate in this file, in the text format of Prometheus."
MetricsFile = Annotated[
    Path | None,
    OutputFile("--metrics-file", METRICS),
    option(OUTPUT, "--metrics-file", metavar="FILE.prom", help=_METRICS),
]
_REPORT = "Also write an HTML page with the photos: to search, filter, compare, enlarge, mark and export."
ReportOption = Annotated[
    Path | None, OutputFile("--report", PAGE), option(OUTPUT, "--report", metavar="FILE.html", help=_REPORT)
]


def plot_option(panel: str, help: str) -> Any:
    """`--plot`, whose file is a picture."""
    return option(panel, "--plot", metavar="FILE.png", help=f"{help} (.png, .pdf or .svg)")


PLOT_FILE = OutputFile("--plot", PLOT)
