"""The door of `realqa sort-probe`: models in, how well each sorts decimals out (paper Tab. 3).

Run it as `realqa sort-probe --model qwen2-vl-7b --model llava-1.5`.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.console import ProgressBar, Reporter
from realqa_cli.errors import UsageError
from realqa_cli.io.run_files import read_runs, write_runs

if TYPE_CHECKING:
    from realqa_cli.io.appender import Appender
    from realqa_cli.steps.sort_probe.sort_probe import Probe, ProbeSettings, TextModel

EXAMPLES = """[b]Examples[/b]

realqa sort-probe --model qwen2-vl-2b --model qwen2-vl-7b --transcripts sorting.jsonl

realqa sort-probe --model internvl2 --trust-remote-code --revision COMMIT

realqa sort-probe --server http://localhost:8000/v1 --concurrency 16
"""

PROBE = "Probe"

_MODEL = (
    "A model to be probed; may be given several times: qwen2-vl-2b, qwen2-vl-7b, internvl2, minicpm-v2.5,"
    " llava-1.5, mplug-owl2 (the paper's), a model folder, a hub id, or with --server its name there."
    " Without it $REALQA_MODEL, or the server's only model."
)
_REVISION = "The hub revision; with several models one for each, in their order."
_DECIMALS = "Decimals of the numbers: 1 to N."
_TRANSCRIPTS = "Keep every prompt and answer in this file, and go on where an earlier run stopped."


def sort_probe(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        o.option(o.MODEL, "--model", "-m", metavar="NAME", help=_MODEL, default="realqa-tiny"),
    ] = None,
    revision: Annotated[list[str] | None, o.option(o.MODEL, "--revision", metavar="REV", help=_REVISION)] = None,
    trust_remote_code: o.TrustRemoteCode = False,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    batch_size: Annotated[
        int | None,
        o.option(o.MODEL, "--batch-size", metavar="N", min=1, help="Questions at once.", default="4"),
    ] = None,
    server: o.Server = None,
    api_key_env: o.ApiKeyEnv = None,
    concurrency: o.Concurrency = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    trials: Annotated[
        int | None,
        o.option(PROBE, "--trials", metavar="N", min=1, help="Lists to be sorted.", default="200"),
    ] = None,
    numbers: Annotated[
        int | None, o.option(PROBE, "--numbers", metavar="N", min=2, help="Numbers in a list.", default="10")
    ] = None,
    decimals: Annotated[
        int | None, o.option(PROBE, "--decimals", metavar="N", min=1, max=3, help=_DECIMALS, default="3")
    ] = None,
    seed: Annotated[int | None, o.option(PROBE, "--seed", metavar="N", help="Of the numbers.", default="0")] = None,
    transcripts: Annotated[Path | None, o.option(o.OUTPUT, "--transcripts", metavar="FILE", help=_TRANSCRIPTS)] = None,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Test whether models can sort decimals, without which they could hardly predict scores."""
    from realqa_cli.cli.sinks import JsonLines
    from realqa_cli.cli.views.sorting import SortingTable
    from realqa_cli.io.appender import Appender
    from realqa_cli.steps.sort_probe.sort_probe import ProbeSettings

    if json and table:
        raise UsageError("asks for the other form", where="--table", remedy="choose one of --table and --json")
    talk = Reporter(quiet or bool(context.obj))
    settings = o.settings_of(context, ProbeSettings)
    speakers = _served(context) if server is not None else _local(context)
    file = Appender(transcripts, key=_key) if transcripts else None
    failed = 0
    with talk.bar("sorting", len(speakers) * settings.trials) as bar:
        sink = SortingTable(bar.stop) if table or (sys.stdout.isatty() and not json) else JsonLines(bar.stop)
        try:
            with file or nullcontext() as kept:
                for speaker in speakers:
                    record = _probe(speaker, settings, kept, talk, bar)
                    failed += record["failed"]
                    sink.write(record)
        finally:  # what is measured is worth showing, whatever stopped the rest
            sink.close()
    if failed:
        talk.say(f"trials without an answer: {failed}")
    return 1 if failed else 0


def _probe(
    open_speaker: Callable[[], "TextModel"],
    settings: "ProbeSettings",
    file: "Appender | None",
    talk: Reporter,
    bar: ProgressBar,
) -> dict[str, Any]:
    """One model's row; the model is gone when this returns."""
    from realqa_cli.io.jsonl import read_lines
    from realqa_cli.steps.sort_probe.sort_probe import Probe

    speaker = open_speaker()
    with speaker.closing:
        probe = Probe(speaker, settings)
        _note(probe, file.path if file else None, talk)
        if file is not None:
            probe.go_on(line for _, line in read_lines(file.path) if isinstance(line, dict))
        return probe.record(_kept(probe, file, bar))


def _kept(probe: "Probe", file: "Appender | None", bar: ProgressBar) -> Iterator[dict[str, Any]]:
    """The probe's transcripts, each in the file before it counts."""
    for one in probe.transcripts():
        if file is not None and not file.take(_key(one)):
            file.append(one)
        bar.advance()
        yield one


def _note(probe: "Probe", file: Path | None, talk: Reporter) -> None:
    """Writes beside the file what its `run` means, or says it where there is no file."""
    if file is None:
        talk.manifest(probe.manifest.as_json())
        return
    write_runs(file, read_runs(file) | {probe.manifest.run: probe.manifest.as_json()})


def _local(context: typer.Context) -> list[Callable[[], "TextModel"]]:
    """What opens each model in this process, once all are known to be possible. Raises UsageError."""
    from realqa_cli.inference.model_settings import ModelSettings
    from realqa_cli.steps.sort_probe import sort_probe as step

    names = context.params["model"] or [os.environ.get("REALQA_MODEL") or ModelSettings.model]
    revisions = context.params["revision"] or []
    if len(revisions) not in (0, len(names)):
        what = f"is given {len(revisions)} times for {len(names)} models"
        raise UsageError(what, where="--revision", remedy="give one for each model, in their order")
    names_only = ("trust_remote_code", "device", "dtype", "quantize", "batch_size")
    more = {name: context.params[name] for name in names_only if context.params[name] is not None}
    settings = [
        ModelSettings(model=name, revision=revision, **more)
        for name, revision in zip(names, revisions or [None] * len(names), strict=True)
    ]
    for one in settings:
        step.check_model(one)
    return [partial(step.local, one) for one in settings]


def _served(context: typer.Context) -> list[Callable[[], "TextModel"]]:
    """What opens each of a server's models. Raises UsageError for options that concern local ones."""
    from realqa_cli.steps.sort_probe import sort_probe as step

    for name in ("revision", "trust_remote_code", "device", "dtype", "quantize", "batch_size"):
        if context.params[name]:
            option = f"--{name.replace('_', '-')}"
            raise UsageError("concerns a model in this process", where=option, remedy="leave it or --server out")
    server = o.server_of(context, context.params["server"], None)
    return [partial(step.served, name, server) for name in context.params["model"] or [None]]


def _key(one: Mapping[str, Any]) -> tuple[str, int] | None:
    """What makes two transcripts the same work; None for trials without an answer, which are tried again."""
    match one:
        case {"run": str(run), "trial": int(trial)} if "error" not in one:
            return run, trial
    return None
