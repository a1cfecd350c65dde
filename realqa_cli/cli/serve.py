"""CLI for `realqa serve`: the records of `score` and `self-label` by HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.reporter import Reporter
from realqa_cli.cli.score import calibrated_load

if TYPE_CHECKING:
    from realqa_cli.inference.ray import RecordSource

EXAMPLES = """[b]Examples[/b]

realqa serve

realqa serve --root photos/ --port 8080

REALQA_KEY=secret realqa serve --host 0.0.0.0 --api-key-env REALQA_KEY --only score
"""
SERVE = "Server"

_HOST = "The address to listen at; 0.0.0.0 for all of this machine."
Host = Annotated[str | None, o.option(SERVE, "--host", metavar="ADDRESS", help=_HOST, default="127.0.0.1")]
_PORT = "The port to listen at; 0 takes a free one."
Port = Annotated[int | None, o.option(SERVE, "--port", metavar="N", min=0, max=65535, help=_PORT, default="8000")]
_ROOT = "The folder below which requests may name files; without it they upload photos."
Root = Annotated[Path | None, o.option(SERVE, "--root", metavar="FOLDER", help=_ROOT)]
_ONLY = "Offer only one of score and self-label; each loads the model once."
Only = Annotated[str | None, o.option(SERVE, "--only", metavar="TASK", help=_ONLY)]
_KEY = "The environment variable with the key that requests must bear."
KeyVariable = Annotated[str | None, o.option(SERVE, "--api-key-env", metavar="VAR", help=_KEY)]
_BODY = "Most MB of a request; larger ones get 413."
MaxBody = Annotated[float | None, o.option(SERVE, "--max-body", metavar="MB", min=0.001, help=_BODY, default="32")]
_IMAGES = "Most photos of a request; more get 413."
MaxImages = Annotated[int | None, o.option(SERVE, "--max-images", metavar="N", min=1, help=_IMAGES, default="64")]
_QUEUE = "Requests at the same time; further ones get 429."
Queue = Annotated[int | None, o.option(SERVE, "--queue", metavar="N", min=1, help=_QUEUE, default="64")]
_TIMEOUT = "Seconds in which a request must have arrived; slower ones get 408."
BodyTimeout = Annotated[
    float | None, o.option(SERVE, "--body-timeout", metavar="SECONDS", min=0.001, help=_TIMEOUT, default="60")
]


def serve(
    context: typer.Context,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    backend: o.BackendOption = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    method: o.MethodOption = None,
    decode: o.Decode = None,
    preset: o.PresetOption = None,
    preset_file: o.PresetFile = None,
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    jpeg_draft: o.JpegDraft = False,
    color_management: o.ColorManagement = None,
    decode_timeout: o.DecodeTimeout = None,
    decode_memory: o.DecodeMemory = None,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    distribution: o.Distribution = False,
    calibration: o.CalibrationOption = None,
    measured: o.Measured = False,
    frames: o.Frames = None,
    fps: o.Fps = None,
    host: Host = None,
    port: Port = None,
    root: Root = None,
    only: Only = None,
    api_key_env: KeyVariable = None,
    max_body: MaxBody = None,
    max_images: MaxImages = None,
    queue: Queue = None,
    body_timeout: BodyTimeout = None,
    quiet: o.Quiet = False,
) -> int:
    """Answer HTTP requests with the records of score and self-label; SIGTERM ends it after those in progress."""
    from realqa_cli.steps.serve.serve import listen, run_server
    from realqa_cli.steps.serve.settings import ApiKey, ServeSettings

    reporter = Reporter.of(context)
    settings = settings_of(context, ServeSettings)
    settings.check()
    key = ApiKey.from_environment(settings.api_key_env)
    loads = _loads(context)
    with listen(settings) as listener:
        sources: dict[str, RecordSource] = {}
        with reporter.bar("loading the model", None):
            for task in settings.tasks:
                sources[task] = loads[task]()
        for source in sources.values():
            reporter.manifest(source.manifest.as_json())
        if settings.is_open:
            reporter.say("other machines can use this server without a key; --api-key-env VAR asks for one")
        names = ", ".join(f"POST /v1/{task}" for task in sources)
        run_server(
            sources, settings, key, listener, lambda address: reporter.say(f"serving at {address} ({names}; GET /docs)")
        )
    reporter.say("stopped; all accepted requests were answered")
    return 0


def _loads(context: typer.Context) -> "dict[str, Callable[[], RecordSource]]":
    """What loads the model of each task in this process."""
    from realqa_cli.steps.score.score import Scorer, ScoreSettings
    from realqa_cli.steps.self_label.self_label import LabelSettings, SelfLabeler

    score, label = settings_of(context, ScoreSettings), settings_of(context, LabelSettings)

    def load_scorer() -> "RecordSource":
        return Scorer.from_settings(score)

    calibration: Path | None = context.params["calibration"]
    return {
        "score": load_scorer if calibration is None else calibrated_load(calibration, load_scorer, None),
        "self-label": lambda: SelfLabeler(label),
    }
