"""CLI for `realqa sort-probe`: how well models sort decimals (paper Tab. 3).

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
from realqa_cli.cli.option_values import server_of, settings_of
from realqa_cli.cli.output_files import OutputFile
from realqa_cli.cli.reporter import ProgressBar, Reporter
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError, one_line
from realqa_cli.io.run_files import read_runs, write_runs

if TYPE_CHECKING:
    from realqa_cli.io.appender import Appender
    from realqa_cli.steps.sort_probe.sort_probe import Probe, ProbeSettings
    from realqa_cli.steps.sort_probe.text_models import TextModel

EXAMPLES = """[b]Examples[/b]

realqa sort-probe --model qwen2-vl-2b --model qwen2-vl-7b --transcripts sorting.jsonl

realqa sort-probe --model internvl2 --server http://localhost:8000/v1 --concurrency 16
"""

PROBE = "Probe"

_MODEL = (
    "A model to probe; may be given several times: qwen2-vl-2b, qwen2-vl-7b, internvl2, minicpm-v2.5,"
    " llava-1.5, mplug-owl2 (the paper's), a model folder, a hub id, or with --server its name there."
    " Without it $REALQA_MODEL, or the server's only model."
)
_REVISION = "The hub revision; with several models one for each, in their order."
_DECIMALS = "Digits after the point: 0 to N; 2 is the form that the paper's text describes."
_TRANSCRIPTS = "Keep every prompt and answer in this file, and continue where an earlier run stopped."


Models = Annotated[
    list[str] | None, o.option(o.MODEL, "--model", "-m", metavar="NAME", help=_MODEL, default="realqa-tiny")
]
Revisions = Annotated[list[str] | None, o.option(o.MODEL, "--revision", metavar="REV", help=_REVISION)]
_BATCH = "Prompts in one forward pass."
PromptsPerBatch = Annotated[int | None, o.option(o.MODEL, "--batch-size", metavar="N", min=1, help=_BATCH, default="4")]
Trials = Annotated[int | None, o.option(PROBE, "--trials", metavar="N", min=1, help="Lists to sort.", default="200")]
Numbers = Annotated[
    int | None, o.option(PROBE, "--numbers", metavar="N", min=2, help="Numbers in a list.", default="10")
]
Decimals = Annotated[int | None, o.option(PROBE, "--decimals", metavar="N", min=0, max=3, help=_DECIMALS, default="3")]
_SEED = "Random seed for the numbers."
Seed = Annotated[int | None, o.option(PROBE, "--seed", metavar="N", help=_SEED, default="0")]
Transcripts = Annotated[
    Path | None,
    OutputFile("--transcripts", o.TRANSCRIPTS),
    o.option(o.OUTPUT, "--transcripts", metavar="FILE", help=_TRANSCRIPTS),
]


def sort_probe(
    context: typer.Context,
    model: Models = None,
    revision: Revisions = None,
    trust_remote_code: o.TrustRemoteCode = False,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    batch_size: PromptsPerBatch = None,
    server: o.Server = None,
    api_key_env: o.ApiKeyEnv = None,
    concurrency: o.Concurrency = None,
    retries: o.Retries = None,
    timeout: o.Timeout = None,
    trials: Trials = None,
    numbers: Numbers = None,
    decimals: Decimals = None,
    seed: Seed = None,
    transcripts: Transcripts = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Test whether models can sort decimals, which predicting scores requires."""
    from realqa_cli.cli.output import JsonLines
    from realqa_cli.cli.views.sorting import SortingTable
    from realqa_cli.io.appender import Appender
    from realqa_cli.steps.sort_probe.sort_probe import ProbeSettings

    reporter = Reporter.of(context)
    settings = settings_of(context, ProbeSettings)
    text_models = _served(context) if server is not None else _local(context)
    resume = not (no_resume or overwrite)
    file = Appender(transcripts, resume=resume, overwrite=overwrite, key=_key) if transcripts else None
    failed = 0
    with reporter.bar("sorting", len(text_models) * settings.trials) as bar:
        sink = SortingTable(bar.stop) if table or (sys.stdout.isatty() and not json) else JsonLines(bar.stop)
        try:
            with file or nullcontext() as kept:
                for text_model in text_models:
                    record = _probe(text_model, settings, kept, reporter, bar)
                    failed += record["failed"]
                    sink.write(record)
        finally:  # also after an error of a later model
            sink.close()
    if failed:
        reporter.say(f"trials without an answer: {failed}")
    return 1 if failed else 0


def _probe(
    open_model: Callable[[], "TextModel"],
    settings: "ProbeSettings",
    file: "Appender | None",
    reporter: Reporter,
    bar: ProgressBar,
) -> dict[str, Any]:
    """The record of one model, which is freed when this returns."""
    from realqa_cli.io.jsonl import read_lines
    from realqa_cli.steps.sort_probe.sort_probe import Probe

    text_model = open_model()
    with text_model.closing:
        probe = Probe(text_model, settings)
        _write_manifest(probe, file, reporter)
        if file is not None:
            probe.resume(line for _, line in read_lines(file.path) if isinstance(line, dict))
        record = probe.record(_kept(probe, file, bar))
    if record["unparsed"] and record["accuracy"] == 0:
        answer = one_line(probe.unparsed_example or "", 200)
        reporter.say(
            f"{text_model.name}: the accuracy is 0 because no list could be read in {record['unparsed']} of"
            f" {record['trials']} answers, for example: {answer!r}"
        )
    return record


def _kept(probe: "Probe", file: "Appender | None", bar: ProgressBar) -> Iterator[dict[str, Any]]:
    """The transcripts of the probe, each written to the file before it counts."""
    for one in probe.transcripts():
        if file is not None and not file.take(_key(one)):
            file.append(one)
        bar.advance()
        yield one


def _write_manifest(probe: "Probe", file: "Appender | None", reporter: Reporter) -> None:
    """Writes the manifest next to the file, or to stderr without one."""
    if file is None:
        reporter.manifest(probe.manifest.as_json())
        return
    runs = read_runs(file.path) if file.resume else {}
    write_runs(file.path, runs | {probe.manifest.run: probe.manifest.as_json()})


def _local(context: typer.Context) -> list[Callable[[], "TextModel"]]:
    """A function for each model that opens it in this process, once all were checked. Raises UsageError."""
    from realqa_cli.inference.model_settings import ModelSettings
    from realqa_cli.steps.sort_probe import text_models as step

    names = context.params["model"] or [os.environ.get("REALQA_MODEL") or ModelSettings.model]
    revisions = context.params["revision"] or []
    if len(revisions) not in (0, len(names)):
        what = f"is given {len(revisions)} times for {plural(len(names), 'model')}"
        raise UsageError(what, where="--revision", remedy="give one for each model, in their order")
    names_only = ("trust_remote_code", "device", "dtype", "quantize", "batch_size")
    more = {name: context.params[name] for name in names_only if context.params[name] is not None}
    settings = [
        ModelSettings(model=name, revision=revision, **more)
        for name, revision in zip(names, revisions or [None] * len(names), strict=True)
    ]
    for one in settings:
        step.check_model(one)
    return [partial(step.open_local, one) for one in settings]


def _served(context: typer.Context) -> list[Callable[[], "TextModel"]]:
    """A function for each of a server's models that opens it. Raises UsageError for options of local models."""
    from realqa_cli.steps.sort_probe import text_models as step

    for name in ("revision", "trust_remote_code", "device", "dtype", "quantize", "batch_size"):
        if context.params[name]:
            option = f"--{name.replace('_', '-')}"
            raise UsageError("applies to models in this process", where=option, remedy="leave out it or --server")
    server = server_of(context, context.params["server"], None)
    return [partial(step.open_served, name, server) for name in context.params["model"] or [None]]


def _key(one: Mapping[str, Any]) -> tuple[str, int] | None:
    """The key by which two transcripts are the same work; None for failed trials, which are tried again."""
    match one:
        case {"run": str(run), "trial": int(trial)} if one.get("error") is None:
            return run, trial
    return None
