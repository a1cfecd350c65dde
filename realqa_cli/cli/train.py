"""The door of `realqa train`: conversations in, a model folder out.

Run it as `realqa train train.jsonl --output my-scorer`, or under `accelerate launch -m realqa_cli train ...`.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.console import ProgressBar, Reporter

EXAMPLES = """[b]Examples[/b]

realqa train train.jsonl --output my-scorer

realqa train train.jsonl --model qwen2-vl-7b --output koniq-7b --gradient-checkpointing

realqa train cold-start.jsonl --tuning full --number-loss --batch-size 32 --accumulate 1 --output stage-1

realqa train train.jsonl --model qwen2-vl-7b --objective regression --epochs 6 --output baseline

realqa train train.jsonl --output my-scorer --resume
"""

TUNING, OPTIMISER, RUN = "What is trained", "Optimiser", "Run"

_FILES = "Conversations of `realqa build-cot`, or others in sharegpt form, as JSON Lines."
_OUTPUT = "The folder of the run: its log, its checkpoints, and in the end the model."
_RESUME = "Go on from the last checkpoint in the folder, if there is one."
_OVERWRITE = "Start over in a folder that holds a training run."
_OBJECTIVE = (
    "ntp (to write the answers, the score as a number), levels (the score as one of five words), or"
    " regression (the value of a linear head). The last two learn from direct answers alone."
)
_TUNING = "lora (an adapter on all linear layers), full, or scratch (full, from random weights)."
_RANK = "Rank of the adapter; 128, or that of the adapter that is trained on."
_DROPOUT = "Dropout of the adapter; 0.15, or 0.05 where the conversations teach no scores."
_FREEZE = "Leave the vision part as it is."
_NUMBER = "Near misses cost less: soft numbers as targets, and the expected number's error."
_WEIGHT = "Weight of the number-aware loss; less than 1 where chains of thought are to count beside it."
_GROUP = "Let conversations of like length share a batch: less padding where photos differ in size."
_EPOCHS = "Times through the conversations; 2, or 6 where there are chains of thought."
_RATE = "Peak learning rate; 1e-4 for lora, 1e-5 for full and scratch."
_DECAY = "Weight decay; 0 for lora, 0.05 for full and scratch."
_LENGTH = "Refuse conversations of more tokens, those of the photos included."
_DTYPE = "float32, bfloat16 or float16; auto is bfloat16 on CUDA, else float32."
_CHECKPOINTING = "Compute activations twice to save memory."


def train(
    context: typer.Context,
    conversations: Annotated[
        list[Path], typer.Argument(metavar="CONVERSATIONS.jsonl", show_default=False, help=_FILES)
    ],
    output: Annotated[Path, o.option(o.OUTPUT, "--output", "-o", metavar="DIR", help=_OUTPUT)],
    resume: Annotated[bool, o.option(o.OUTPUT, "--resume", metavar="", help=_RESUME)] = False,
    overwrite: Annotated[bool, o.option(o.OUTPUT, "--overwrite", metavar="", help=_OVERWRITE)] = False,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    objective: Annotated[
        str | None,
        o.option(TUNING, "--objective", metavar="NAME", help=_OBJECTIVE, default="ntp"),
    ] = None,
    tuning: Annotated[str | None, o.option(TUNING, "--tuning", metavar="NAME", help=_TUNING, default="lora")] = None,
    lora_rank: Annotated[int | None, o.option(TUNING, "--lora-rank", metavar="N", min=1, help=_RANK)] = None,
    lora_dropout: Annotated[
        float | None, o.option(TUNING, "--lora-dropout", metavar="P", min=0, max=0.99, help=_DROPOUT)
    ] = None,
    freeze_vision: Annotated[bool, o.option(TUNING, "--freeze-vision", metavar="", help=_FREEZE)] = False,
    number_loss: Annotated[bool, o.option(TUNING, "--number-loss", metavar="", help=_NUMBER)] = False,
    number_weight: Annotated[
        float | None, o.option(TUNING, "--number-weight", metavar="X", min=0, help=_WEIGHT, default="1")
    ] = None,
    scale: o.ScaleOption = None,
    digits: o.DigitsOption = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    max_length: Annotated[
        int | None, o.option(TUNING, "--max-length", metavar="N", min=1, help=_LENGTH, default="2048")
    ] = None,
    epochs: Annotated[float | None, o.option(OPTIMISER, "--epochs", metavar="N", help=_EPOCHS)] = None,
    max_steps: Annotated[
        int | None, o.option(OPTIMISER, "--max-steps", metavar="N", min=1, help="Stop after N steps.")
    ] = None,
    learning_rate: Annotated[float | None, o.option(OPTIMISER, "--learning-rate", metavar="RATE", help=_RATE)] = None,
    warmup: Annotated[
        float | None,
        o.option(OPTIMISER, "--warmup", metavar="SHARE", help="Share of the steps for warm-up.", default="0.1"),
    ] = None,
    weight_decay: Annotated[
        float | None, o.option(OPTIMISER, "--weight-decay", metavar="X", min=0, help=_DECAY)
    ] = None,
    batch_size: Annotated[
        int | None,
        o.option(
            OPTIMISER,
            "--batch-size",
            metavar="N",
            min=1,
            help="Conversations a pass and device.",
            default="2",
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        o.option(OPTIMISER, "--accumulate", metavar="N", min=1, help="Passes a step.", default="8"),
    ] = None,
    group_by_length: Annotated[bool, o.option(OPTIMISER, "--group-by-length", metavar="", help=_GROUP)] = False,
    seed: Annotated[
        int | None,
        o.option(OPTIMISER, "--seed", metavar="N", help="Of first weights, order and dropout.", default="0"),
    ] = None,
    device: Annotated[
        str | None, o.option(RUN, "--device", metavar="NAME", help="auto, cpu, cuda or mps.", default="auto")
    ] = None,
    dtype: Annotated[str | None, o.option(RUN, "--dtype", metavar="NAME", help=_DTYPE, default="auto")] = None,
    gradient_checkpointing: Annotated[
        bool, o.option(RUN, "--gradient-checkpointing", metavar="", help=_CHECKPOINTING)
    ] = False,
    save_steps: Annotated[
        int | None,
        o.option(RUN, "--save-steps", metavar="N", min=1, help="Steps between checkpoints.", default="200"),
    ] = None,
    logging_steps: Annotated[
        int | None,
        o.option(RUN, "--logging-steps", metavar="N", min=1, help="Steps a line of the log.", default="1"),
    ] = None,
    quiet: o.Quiet = False,
) -> int:
    """Train a scorer on conversations; the folder it makes is a model for every other command."""
    from realqa_cli.steps.train import train as step
    from realqa_cli.steps.train.settings import TrainSettings

    first = os.environ.get("RANK", "0") == "0"
    talk = Reporter(quiet or bool(context.obj) or not first)
    settings = o.settings_of(context, TrainSettings)
    with talk.bar("loading the model", None) as bar:
        try:
            account = step.train(conversations, output, settings, resume=resume, overwrite=overwrite, watch=_watch(bar))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("--resume goes on from the last checkpoint") from None
    if not account["steps"]:
        talk.say(f"{output}: this run is complete, nothing to do")
    else:
        talk.say(
            f"{account['steps']} steps on {account['conversations']} conversations;"
            f" use it by: realqa score photos/ --model {output}"
        )
    return 0


def _watch(bar: ProgressBar) -> Callable[[Mapping[str, Any], int], None]:
    """Shows a line of the log beside the bar: loss, metric, speed."""
    started = False

    def show(record: Mapping[str, Any], steps: int) -> None:
        nonlocal started
        if bar.progress is None or bar.task is None:
            return
        if not started:  # loading is over, and a resumed run begins in the middle
            bar.progress.reset(bar.task, description="training", total=steps, completed=record["step"] - 1)
            started = True
        parts = [f"loss {record['loss']:.3f}"]
        if record["ncm"] is not None:
            parts.append(f"NCM {record['ncm']:.2f} NCM* {record['ncm_star']:.2f}")
        note = "  ".join([*parts, f"{record['samples_per_second']:.1f}/s"])
        bar.progress.update(bar.task, completed=record["step"], note=note)

    return show
