"""The door of `realqa score`: options in, scores out. Run it as `realqa score photos/`."""

import typer

from realqa_cli.cli import dataset_options as d
from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter
from realqa_cli.cli.sinks import Clear, Sink

EXAMPLES = """[b]Examples[/b]

realqa score photo.jpg

realqa score holiday/ --top 10

realqa score clip.mp4 --frames 16 --per-frame

realqa score holiday/ -o scores.jsonl --report scores.html

realqa score koniq/ --dataset koniq10k --split test -o test.jsonl

realqa score holiday/ --server http://localhost:8000/v1 --concurrency 16 -o scores.jsonl

find . -name '*.jpg' | jq -R '{image: .}' -c | realqa score - | jq .score
"""


def score(
    context: typer.Context,
    sources: o.Sources,
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
    engine: o.Engine = None,
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    jpeg_draft: o.JpegDraft = False,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    distribution: o.Distribution = False,
    frames: o.Frames = None,
    fps: o.Fps = None,
    per_frame: o.PerFrame = False,
    dataset: d.DatasetOption = None,
    split: d.Split = None,
    subset: d.Subset = None,
    columns: d.Columns = None,
    limit: o.Limit = None,
    output: o.Output = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    top: o.Top = None,
    report: o.ReportOption = None,
    quiet: o.Quiet = False,
) -> int:
    """Score photos and videos: how good each is, how sure the model is, what else it could have said."""
    from realqa_cli.cli.delivery import OutputOptions, run_step
    from realqa_cli.steps.score.score import ScoreSettings, open_scorer

    chosen = d.selection(dataset, split, columns, subset)
    wanted = OutputOptions(output, not no_resume, overwrite, json, table, top, report, sources, chosen)
    settings = o.asking_of(context, ScoreSettings)
    talk = Reporter(quiet or bool(context.obj))
    return run_step(lambda: open_scorer(settings), wanted, talk, limit=limit, table=_table)


def _table(clear: Clear) -> Sink:
    """The table, whose libraries are not loaded for those who want JSON Lines."""
    from realqa_cli.cli.views.scores import ScoreTable

    return ScoreTable(clear)
