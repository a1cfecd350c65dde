"""CLI for `realqa train`, alone or under `accelerate launch -m realqa_cli train ...`."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli import train_options as t
from realqa_cli.cli.option_values import settings_of
from realqa_cli.cli.reporter import ProgressBar, Reporter
from realqa_cli.domain.wording import plural

if TYPE_CHECKING:
    from realqa_cli.steps.train.progress import TrainProgress

_LISTED = 10

EXAMPLES = """[b]Examples[/b]

realqa train train.jsonl --output my-scorer

realqa train train.jsonl --model qwen2-vl-7b --output koniq-7b --gradient-checkpointing

realqa train cold-start.jsonl --tuning full --number-loss --effective-batch-size 32 --output stage-1

realqa train train.jsonl --validation dev.jsonl --eval-steps 50 --report-to tensorboard --output my-scorer

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
    color_management: o.ColorManagement = None,
    decode_timeout: o.DecodeTimeout = None,
    decode_memory: o.DecodeMemory = None,
    max_length: t.MaxLength = None,
    epochs: t.Epochs = None,
    max_steps: t.MaxSteps = None,
    learning_rate: t.LearningRate = None,
    warmup: t.Warmup = None,
    weight_decay: t.WeightDecay = None,
    adam_beta2: t.AdamBeta2 = None,
    batch_size: t.BatchSizePerDevice = None,
    accumulate: t.Accumulate = None,
    effective_batch_size: t.EffectiveBatchSize = None,
    group_by_length: t.GroupByLength = False,
    seed: t.Seed = None,
    device: t.TrainDevice = None,
    dtype: t.TrainDtype = None,
    attention: t.Attention = None,
    gradient_checkpointing: t.GradientCheckpointing = False,
    fsdp: t.Fsdp = None,
    deepspeed: t.Deepspeed = None,
    validation: t.Validation = None,
    eval_steps: t.EvalSteps = None,
    keep: t.Keep = None,
    save_steps: t.SaveSteps = None,
    save_total_limit: t.SaveTotalLimit = None,
    logging_steps: t.LoggingSteps = None,
    report_to: t.ReportTo = None,
    strict: t.Strict = False,
    quiet: o.Quiet = False,
) -> int:
    """Train a scorer on conversations; the output folder is a model for every other command."""
    from realqa_cli.steps.train import train as step
    from realqa_cli.steps.train.settings import TrainSettings

    main_process = os.environ.get("RANK", "0") == "0"
    reporter = Reporter(quiet or bool(context.obj) or not main_process)
    settings = settings_of(context, TrainSettings)
    with reporter.bar("reading conversations", None) as bar:
        try:
            summary = step.train(
                conversations, output, settings, resume=not no_resume, overwrite=overwrite, progress=_progress(bar)
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command resumes from the last checkpoint") from None
    for line in _left_out_lines(summary["left_out"]):
        reporter.say(line)
    if not summary["steps"]:
        reporter.say(f"{output}: this run is complete, nothing to do")
    else:
        reporter.say(
            f"{plural(summary['steps'], 'step')} on {plural(summary['conversations'], 'conversation')};"
            f" use it by: realqa score photos/ --model {output}"
        )
    return 1 if summary["left_out"] else 0


def _left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """The photos that were left out: how many, and the first of them."""
    lines = [f"left out: {error}" for error in [*left_out.values()][:_LISTED]]
    if len(left_out) > _LISTED:
        lines.append(f"left out: {len(left_out) - _LISTED:,} more photos, listed in left-out.json")
    were = "was" if len(left_out) == 1 else "were"
    return [*lines, f"{plural(len(left_out), 'photo')} cannot be decoded and {were} left out"] if lines else []


def _progress(bar: ProgressBar) -> "TrainProgress":
    """Shows the stages of a run in one progress bar; during training also loss, metric and speed."""
    from realqa_cli.steps.train.progress import TrainProgress

    def stage(name: str, total: int | None) -> None:
        if bar.progress is not None and bar.task is not None:
            bar.progress.reset(bar.task, description=name, total=total)

    def show(record: Mapping[str, Any], steps: int) -> None:
        if bar.progress is None or bar.task is None:
            return
        parts = [f"loss {record['loss']:.3f}"]
        if record["ncm"] is not None:
            parts.append(f"NCM {record['ncm']:.2f} NCM* {record['ncm_star']:.2f}")
        note = "  ".join([*parts, f"{record['samples_per_second']:.1f}/s"])
        bar.progress.update(bar.task, completed=record["step"], note=note)

    return TrainProgress(stage=stage, advance=bar.advance, on_step=show)
