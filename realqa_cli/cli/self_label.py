"""CLI for `realqa self-label`: photos and videos in, attribute records out."""

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_with_server
from realqa_cli.cli.output import OutputOptions
from realqa_cli.cli.reporter import Reporter

EXAMPLES = """[b]Examples[/b]

realqa self-label photos/ > attrs.jsonl

realqa self-label photos/ -o attrs.jsonl --model my-scorer

realqa self-label photos/ -o attrs.jsonl --report attrs.html

realqa self-label koniq/ --dataset koniq10k -o koniq.jsonl

realqa self-label photos/ --server http://localhost:8000/v1 -o attrs.jsonl

realqa self-label photos/ | jq .attributes.image_clarity
"""


def self_label(
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
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    jpeg_draft: o.JpegDraft = False,
    color_management: o.ColorManagement = None,
    decode_timeout: o.DecodeTimeout = None,
    decode_memory: o.DecodeMemory = None,
    reasons: o.Reasons = False,
    frames: o.Frames = None,
    fps: o.Fps = None,
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
    report: o.ReportOption = None,
    progress: o.ProgressOption = None,
    metrics_file: o.MetricsFile = None,
    quiet: o.Quiet = False,
) -> int:
    """Label photos and videos with the ten attributes, each with the model's confidence."""
    from realqa_cli.cli.run_step import run_step
    from realqa_cli.steps.self_label.self_label import LabelSettings, open_labeler

    settings = settings_with_server(context, LabelSettings)
    options, reporter = OutputOptions.of(context), Reporter.of(context)
    return run_step(lambda: open_labeler(settings), options, reporter, limit=limit, did="labelled")
