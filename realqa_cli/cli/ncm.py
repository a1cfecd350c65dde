"""The door of `realqa ncm`: the numerical continuity metric of a model, or of a training run's log.

Run it as `realqa ncm test.jsonl --model my-scorer` or `realqa ncm --log my-scorer --plot ncm.png`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter
from realqa_cli.errors import UsageError

EXAMPLES = """[b]Examples[/b]

realqa ncm test.jsonl --model my-scorer

realqa ncm --log my-scorer/log.jsonl --plot ncm.png

realqa ncm --log from-scratch --log lora --plot figure-4.png
"""

LOGS = "Logs"
_TITLES = {"ncm": "NCM", "ncm_star": "NCM*", "ncm_star_release": "NCM* (release)", "loss": "loss"}

_FILES = "Conversations of `realqa build-cot` with direct answers, as JSON Lines."
_LOG = "The log of a training run, or its folder, instead of a model; may be given several times."
_PLOT = "Draw the curves of the logs: loss, NCM, NCM* (.png, .pdf or .svg)."


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
    digits: o.DigitsOption = None,
    log: Annotated[list[Path] | None, o.option(LOGS, "--log", metavar="FILE", help=_LOG)] = None,
    plot: Annotated[Path | None, o.option(LOGS, "--plot", metavar="FILE.png", help=_PLOT)] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> int:
    """Measure how well a model understands its numbers as a whole, or how that grew during training."""
    talk = Reporter(quiet or bool(context.obj))
    if bool(conversations) == bool(log):
        raise UsageError("give conversations for a model, or --log for a training run", where="realqa ncm")
    if plot is not None and not log:
        raise UsageError("draws logs", where="--plot", remedy="add --log RUN/log.jsonl")
    lines = _of_logs(log, plot, talk) if log else [_of_model(conversations or [], context, talk)]
    _deliver(lines, json=json)
    return 0


def _of_logs(log: Sequence[Path], plot: Path | None, talk: Reporter) -> list[dict[str, Any]]:
    from realqa_cli.cli.views import scatter
    from realqa_cli.steps.ncm import log as ncm_log

    if plot is not None:
        scatter.check_plot_path(plot)
    logs = [ncm_log.RunLog.read(path) for path in log]
    for one in logs:
        if one.window < ncm_log.WINDOW:
            talk.say(f"{one.name}: {len(one.steps)} steps are logged, so its two halves are compared")
    if plot is not None:
        ncm_log.plot(logs, plot)
    return [row for one in logs for row in one.rows()]


def _of_model(files: Sequence[Path], context: typer.Context, talk: Reporter) -> dict[str, Any]:
    from realqa_cli.inference.teacher_forcing import conversations
    from realqa_cli.steps.ncm import ncm as step

    settings = o.settings_of(context, step.NcmSettings)
    data = conversations.read_conversations(files)
    with talk.bar("measuring", len(data)) as bar:
        return step.measure_ncm(data, settings, advance=bar.advance)


def _deliver(lines: Sequence[dict[str, Any]], *, json: bool) -> None:
    from realqa_cli.cli.sinks import JsonLines

    if json or not sys.stdout.isatty():
        sink = JsonLines(lambda: None)
        for line in lines:
            sink.write(line)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in [] if "n" in lines[0] else ["run", "steps"]:
        table.add_column(name, no_wrap=True)
    for title in (*_TITLES.values(), *(["n"] if "n" in lines[0] else [])):
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        cells = [_cell(line[name], ratio=line.get("part") == "ratio") for name in _TITLES]
        if "n" in line:
            table.add_row(*cells, str(line["n"]))
            continue
        steps = f"{line['part']} ({line['steps'][0]}–{line['steps'][1]})" if line["steps"] else "ratio"
        style, last = ("bold", True) if line["part"] == "ratio" else ("", False)
        table.add_row(line["run"] if line["part"] == "first" else "", steps, *cells, style=style, end_section=last)
    Console(file=sys.stdout).print(table)


def _cell(value: float | None, *, ratio: bool) -> str:
    return "–" if value is None else f"{value:+.1%}" if ratio else f"{value:.3f}"
