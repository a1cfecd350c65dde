"""CLI for `realqa score`: photos and videos in, score records out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_with_server
from realqa_cli.cli.output import Clear, OutputOptions, Sink
from realqa_cli.cli.reporter import Reporter
from realqa_cli.models import BUNDLED

if TYPE_CHECKING:
    from realqa_cli.inference.ray import RecordSource

EXAMPLES = """[b]Examples[/b]

realqa score photo.jpg

realqa score holiday/ --top 10

realqa score holiday/ --model q-future/Q-ReAlign-Mini-0.8B --preset q-realign

realqa score holiday/ --model q-future/Q-ReAlign-Mini-0.8B --ask quality,aesthetics

realqa score clip.mp4 --frames 16 --per-frame

realqa score holiday/ -o scores.jsonl --report scores.html

realqa score koniq/ --dataset koniq10k --split test -o test.jsonl

realqa score holiday/ --server http://localhost:8000/v1 --concurrency 16 -o scores.jsonl

find . -name '*.jpg' | jq -R '{image: .}' -c | realqa score - | jq .score
"""


def score(
    context: typer.Context,
    sources: o.OptionalSources = None,
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
    decode: o.Decode = None,
    form: o.FormOption = None,
    reasons: o.CotReasons = None,
    preset: o.PresetOption = None,
    preset_file: o.PresetFile = None,
    prompt: o.PromptOption = None,
    prefix: o.PrefixOption = None,
    ask: o.AskOption = None,
    levels: o.LevelsOption = None,
    samples: o.Samples = None,
    seed: o.SamplesSeed = None,
    engine: o.Engine = None,
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
    per_frame: o.PerFrame = False,
    dataset: o.Dataset = None,
    split: o.Split = None,
    subset: o.Subset = None,
    columns: o.Columns = None,
    files_from: o.FilesFrom = None,
    shard: o.ShardOption = None,
    limit: o.Limit = None,
    output: o.ScoresOutput = None,
    no_resume: o.NoResume = False,
    resume_by: o.ResumeByOption = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    top: o.Top = None,
    report: o.ReportOption = None,
    progress: o.ProgressOption = None,
    metrics_file: o.MetricsFile = None,
    quiet: o.Quiet = False,
) -> int:
    """Score photos and videos: the expected score, its uncertainty, and with --distribution all others."""
    _preload(context)
    from realqa_cli.cli.run_step import run_step
    from realqa_cli.cli.score_summary import ScoreSummary
    from realqa_cli.steps.score.score import ScoreSettings, open_scorer

    settings = settings_with_server(context, ScoreSettings)
    options, reporter = OutputOptions.of(context), Reporter.of(context)
    closing = ScoreSummary()
    load: Callable[[], RecordSource] = partial(open_scorer, settings)
    if calibration is not None:
        load = calibrated_load(calibration, load, reporter)
    return run_step(load, options, reporter, limit=limit, table=_table, closing=closing)


def _preload(context: typer.Context) -> None:
    """Starts to load the bundled model if the run will use it, before the modules of the step are imported."""
    asked = ("adapter", "server", "backend", "device", "dtype", "quantize", "trust_remote_code", "engine")
    if context.params["model"] not in (None, BUNDLED[0]) or any(context.params[name] for name in asked):
        return
    from realqa_cli.backends.onnx.preload import preload_bundled

    preload_bundled()


def calibrated_load(
    file: Path, load: "Callable[[], RecordSource]", reporter: Reporter | None
) -> "Callable[[], RecordSource]":
    """Loads the step, whose records get calibrated scores. The file is read before the model is loaded.

    reporter: gets the warnings at the end of the records; None where the records alone hold them.
    """
    from realqa_cli.cli.calibrate import report_warnings
    from realqa_cli.steps.calibrate.calibrate import CalibratedSource
    from realqa_cli.steps.calibrate.calibration_file import read_calibration

    calibration = read_calibration(file)
    if reporter is None:
        return lambda: CalibratedSource(load(), calibration)
    say = partial(report_warnings, score_range=calibration.score_range, reporter=reporter)
    return lambda: CalibratedSource(load(), calibration, say)


def _table(clear: Clear) -> Sink:
    """The table, whose libraries are loaded only where it is shown."""
    from realqa_cli.cli.views.scores import ScoreTable

    return ScoreTable(clear)
