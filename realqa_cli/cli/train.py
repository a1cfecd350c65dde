"""CLI for `realqa train`, alone or under `accelerate launch -m realqa_cli train ...`."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli import train_options as t
from realqa_cli.cli.console import ProgressBar, Reporter

EXAMPLES = """[b]Examples[/b]

realqa train train.jsonl --output my-scorer

realqa train train.jsonl --model qwen2-vl-7b --output koniq-7b --gradient-checkpointing

realqa train cold-start.jsonl --tuning full --number-loss --batch-size 32 --accumulate 1 --output stage-1

realqa train train.jsonl --model qwen2-vl-7b --objective regression --epochs 6 --output baseline
"""


def train(
    context: typer.Context,
    conversations: t.Conversations,
    output: t.OutputFolder,
    resume: t.Resume = False,
    no_resume: o.NoResume = False,
    overwrite: t.OverwriteRun = False,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    objective: t.ObjectiveOption = None,
    tuning: t.TuningOption = None,
    lora_rank: t.LoraRank = None,
    lora_dropout: t.LoraDropout = None,
    freeze_vision: t.FreezeVision = False,
    number_loss: t.NumberLoss = False,
    number_weight: t.NumberWeight = None,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    max_length: t.MaxLength = None,
    epochs: t.Epochs = None,
    max_steps: t.MaxSteps = None,
    learning_rate: t.LearningRate = None,
    warmup: t.Warmup = None,
    weight_decay: t.WeightDecay = None,
    adam_beta2: t.AdamBeta2 = None,
    batch_size: t.BatchSizePerDevice = None,
    accumulate: t.Accumulate = None,
    group_by_length: t.GroupByLength = False,
    seed: t.Seed = None,
    device: t.TrainDevice = None,
    dtype: t.TrainDtype = None,
    gradient_checkpointing: t.GradientCheckpointing = False,
    save_steps: t.SaveSteps = None,
    logging_steps: t.LoggingSteps = None,
    quiet: o.Quiet = False,
) -> int:
    """Train a scorer on conversations; the output folder is a model for every other command."""
    from realqa_cli.steps.train import train as step
    from realqa_cli.steps.train.settings import TrainSettings

    main_process = os.environ.get("RANK", "0") == "0"
    reporter = Reporter(quiet or bool(context.obj) or not main_process)
    settings = o.settings_of(context, TrainSettings)
    with reporter.bar("loading the model", None) as bar:
        try:
            summary = step.train(
                conversations,
                output,
                settings,
                resume=not no_resume,
                overwrite=overwrite,
                on_step=_show_step(bar),
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command resumes from the last checkpoint") from None
    if not summary["steps"]:
        reporter.say(f"{output}: this run is complete, nothing to do")
    else:
        reporter.say(
            f"{summary['steps']} steps on {summary['conversations']} conversations;"
            f" use it by: realqa score photos/ --model {output}"
        )
    return 0


def _show_step(bar: ProgressBar) -> Callable[[Mapping[str, Any], int], None]:
    """A callback that shows loss, metric and speed of a log line in the progress bar."""
    started = False

    def show(record: Mapping[str, Any], steps: int) -> None:
        nonlocal started
        if bar.progress is None or bar.task is None:
            return
        if not started:  # a resumed run begins in the middle
            bar.progress.reset(bar.task, description="training", total=steps, completed=record["step"] - 1)
            started = True
        parts = [f"loss {record['loss']:.3f}"]
        if record["ncm"] is not None:
            parts.append(f"NCM {record['ncm']:.2f} NCM* {record['ncm_star']:.2f}")
        note = "  ".join([*parts, f"{record['samples_per_second']:.1f}/s"])
        bar.progress.update(bar.task, completed=record["step"], note=note)

    return show
