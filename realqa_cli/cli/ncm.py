"""CLI for `realqa ncm`: the numerical continuity metric of a model, or of the log of a training run."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.reporter import Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError

EXAMPLES = """[b]Examples[/b]

realqa ncm test.jsonl --model my-scorer

realqa ncm --log my-scorer/log.jsonl --plot ncm.png

realqa ncm --log from-scratch --log lora --plot figure-4.png
"""

LOGS = "Logs"

_FILES = "Conversations with direct answers, written by `realqa build-cot` (JSON Lines)."
_LOG = "The log of a training run or its folder, instead of a model. Can be repeated."
_PLOT = "Plot the curves of the logs: loss, NCM, NCM*"


def ncm(
    context: typer.Context,
    conversations: Annotated[
        list[Path] | None, typer.Argument(metavar="CONVERSATIONS.jsonl", show_default=False, help=_FILES)
    ] = None,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    color_management: o.ColorManagement = None,
    decode_timeout: o.DecodeTimeout = None,
    decode_memory: o.DecodeMemory = None,
    digits: o.DigitsOption = None,
    log: Annotated[list[Path] | None, o.option(LOGS, "--log", metavar="FILE", help=_LOG)] = None,
    plot: Annotated[Path | None, o.PLOT_FILE, o.plot_option(LOGS, _PLOT)] = None,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Measure how well a model understands numbers as a whole, or how this changes during training."""
    reporter = Reporter.of(context)
    if bool(conversations) == bool(log):
        raise UsageError("needs either conversations or --log", where="realqa ncm", remedy="see realqa ncm --help")
    if plot is not None and not log:
        raise UsageError("plots the logs of training runs", where="--plot", remedy="add --log RUN/log.jsonl")
    records = _summarize_logs(log, plot, reporter) if log else [_measure_model(conversations or [], context, reporter)]
    _write(records, json=json)
    return 0


def _summarize_logs(log_paths: Sequence[Path], plot: Path | None, reporter: Reporter) -> list[dict[str, Any]]:
    from realqa_cli.steps.ncm.run_log import WINDOW, RunLog, plot_logs

    logs = [RunLog.read(path) for path in log_paths]
    for log in logs:
        if log.window < WINDOW:
            reporter.say(f"{log.name}: the log has {plural(len(log.steps), 'step')}, so its two halves are compared")
    if plot is not None:
        plot_logs(logs, plot)
    return [row for log in logs for row in log.rows()]


def _measure_model(files: Sequence[Path], context: typer.Context, reporter: Reporter) -> dict[str, Any]:
    from realqa_cli.inference.teacher_forcing.conversations import read_conversations
    from realqa_cli.steps.ncm.ncm import NcmSettings, measure_ncm

    settings = settings_of(context, NcmSettings)
    conversations = read_conversations(files)
    with reporter.bar("measuring", len(conversations)) as bar:
        return measure_ncm(conversations, settings, advance=bar.advance)


def _write(records: Sequence[dict[str, Any]], *, json: bool) -> None:
    from realqa_cli.cli.output import JsonLines

    if json or not sys.stdout.isatty():
        sink = JsonLines()
        for record in records:
            sink.write(record)
        return
    from realqa_cli.cli.views.ncm_table import print_ncm

    print_ncm(records)
