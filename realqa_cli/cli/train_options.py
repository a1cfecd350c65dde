"""The options of `realqa train`, each written once: name, help, and how its text is read."""

from pathlib import Path
from typing import Annotated

import typer

from realqa_cli.cli.options import OUTPUT, flag, option

TUNING, OPTIMISER, VALIDATION, RUN = "What is trained", "Optimiser", "Validation and log", "Run"

_FILES = "Conversations written by `realqa build-cot`, or others in sharegpt form (JSON Lines or a JSON list)."
Conversations = Annotated[list[Path], typer.Argument(metavar="CONVERSATIONS.jsonl", show_default=False, help=_FILES)]
_OUTPUT = "Folder of the run: log, checkpoints, and finally the model. A run in this folder is resumed."
OutputFolder = Annotated[Path, option(OUTPUT, "--output", "-o", metavar="DIR", help=_OUTPUT)]
_RESUME = "Resume from the last checkpoint in the folder (the default)."
Resume = Annotated[bool, flag(OUTPUT, "--resume", help=_RESUME)]
_OVERWRITE = "Start over, and replace the training run in the folder."
OverwriteRun = Annotated[bool, flag(OUTPUT, "--overwrite", help=_OVERWRITE)]

_OBJECTIVE = (
    "ntp (next-token prediction: answers with the score as a number), levels (the score as one of five words), or"
    " regression (a linear head). The last two train on direct answers only."
)
ObjectiveOption = Annotated[str | None, option(TUNING, "--objective", metavar="NAME", help=_OBJECTIVE, default="ntp")]
_TUNING = "lora (an adapter on all linear layers), full, or scratch (full, from random weights)."
TuningOption = Annotated[str | None, option(TUNING, "--tuning", metavar="NAME", help=_TUNING, default="lora")]
_RANK = "Rank of the adapter; 128, or the rank of the adapter that training continues from."
LoraRank = Annotated[int | None, option(TUNING, "--lora-rank", metavar="N", min=1, help=_RANK)]
_DROPOUT = "Dropout of the adapter; 0.15, or 0.05 if no answer states a score."
LoraDropout = Annotated[float | None, option(TUNING, "--lora-dropout", metavar="P", min=0, max=0.99, help=_DROPOUT)]
FreezeVision = Annotated[bool, flag(TUNING, "--freeze-vision", help="Do not train the vision tower.")]
_NUMBER = "Number-aware loss for direct answers: near misses cost less than far ones."
NumberLoss = Annotated[bool, flag(TUNING, "--number-loss", help=_NUMBER)]
_WEIGHT = "Weight of the number-aware loss; below 1 if chains of thought are trained too."
NumberWeight = Annotated[float | None, option(TUNING, "--number-weight", metavar="X", min=0, help=_WEIGHT, default="1")]
_LENGTH = "Refuse conversations of more tokens, including those of the photos."
MaxLength = Annotated[int | None, option(TUNING, "--max-length", metavar="N", min=1, help=_LENGTH, default="2048")]

_EPOCHS = "Passes over the conversations; 2, or 6 with chains of thought and with --tuning scratch."
Epochs = Annotated[float | None, option(OPTIMISER, "--epochs", metavar="N", help=_EPOCHS)]
MaxSteps = Annotated[int | None, option(OPTIMISER, "--max-steps", metavar="N", min=1, help="Stop after N steps.")]
_RATE = "Peak learning rate; 1e-4 for lora, 1e-5 for full and scratch."
LearningRate = Annotated[float | None, option(OPTIMISER, "--learning-rate", metavar="RATE", help=_RATE)]
_WARMUP = "Share of the steps with a rising learning rate."
Warmup = Annotated[float | None, option(OPTIMISER, "--warmup", metavar="SHARE", help=_WARMUP, default="0.1")]
WeightDecay = Annotated[
    float | None, option(OPTIMISER, "--weight-decay", metavar="X", min=0, help="Weight decay of AdamW.", default="0")
]
_BETA2 = "Decay rate of the second moment of AdamW."
AdamBeta2 = Annotated[float | None, option(OPTIMISER, "--adam-beta2", metavar="X", help=_BETA2, default="0.999")]
_BATCH = "Conversations per device in one forward pass."
BatchSizePerDevice = Annotated[
    int | None, option(OPTIMISER, "--batch-size", metavar="N", min=1, help=_BATCH, default="2")
]
_ACCUMULATE = "Gradient-accumulation steps; by default they follow from --effective-batch-size."
Accumulate = Annotated[
    int | None,
    option(OPTIMISER, "--accumulate", metavar="N", min=1, help=_ACCUMULATE),
]
_EFFECTIVE = "Conversations per step, over any number of processes."
EffectiveBatchSize = Annotated[
    int | None,
    option(OPTIMISER, "--effective-batch-size", metavar="N", min=1, help=_EFFECTIVE, default="16"),
]
_GROUP = "Batch conversations of similar length, which saves padding if photos differ in size."
GroupByLength = Annotated[bool, flag(OPTIMISER, "--group-by-length", help=_GROUP)]
_SEED = "Random seed for initial weights, order and dropout."
Seed = Annotated[int | None, option(OPTIMISER, "--seed", metavar="N", help=_SEED, default="0")]

TrainDevice = Annotated[
    str | None, option(RUN, "--device", metavar="NAME", help="auto, cpu, cuda or mps.", default="auto")
]
_DTYPE = "float32, bfloat16 or float16; auto is bfloat16 on CUDA, else float32."
TrainDtype = Annotated[str | None, option(RUN, "--dtype", metavar="NAME", help=_DTYPE, default="auto")]
_CHECKPOINTING = "Recompute activations in the backward pass to save memory."
GradientCheckpointing = Annotated[bool, flag(RUN, "--gradient-checkpointing", help=_CHECKPOINTING)]
_ATTENTION = "auto, sdpa, flash_attention_2 or eager."
Attention = Annotated[str | None, option(RUN, "--attention", metavar="NAME", help=_ATTENTION, default="auto")]
_FSDP = "Shard the model by FSDP: a JSON or YAML configuration, as accelerate takes it."
Fsdp = Annotated[str | None, option(RUN, "--fsdp", metavar="CONFIG", help=_FSDP)]
_DEEPSPEED = "Shard the model by DeepSpeed: its JSON configuration."
Deepspeed = Annotated[str | None, option(RUN, "--deepspeed", metavar="CONFIG", help=_DEEPSPEED)]
_STRICT = "Stop before the first step if a photo cannot be decoded; without it, such photos are left out and listed."
Strict = Annotated[bool, flag(RUN, "--strict", help=_STRICT)]
_VALIDATION = "Held-out conversations, or records with image and mos: SRCC, PLCC and NCM go to log.jsonl."
Validation = Annotated[str | None, option(VALIDATION, "--validation", metavar="FILE", help=_VALIDATION)]
_EVAL_STEPS = "Steps between validations; 100 with --validation."
EvalSteps = Annotated[int | None, option(VALIDATION, "--eval-steps", metavar="N", min=1, help=_EVAL_STEPS)]
_KEEP = "Which weights become the result: best (by SRCC, the default with --validation) or last."
Keep = Annotated[str | None, option(VALIDATION, "--keep", metavar="WHICH", help=_KEEP)]
_REPORT_TO = "Also log to tensorboard or wandb; each needs its package (pip install 'realqa[tensorboard]')."
ReportTo = Annotated[str | None, option(VALIDATION, "--report-to", metavar="NAME", help=_REPORT_TO, default="none")]
_LIMIT = "Checkpoints that are kept during training."
SaveTotalLimit = Annotated[
    int | None, option(VALIDATION, "--save-total-limit", metavar="N", min=1, help=_LIMIT, default="1")
]
SaveSteps = Annotated[
    int | None, option(RUN, "--save-steps", metavar="N", min=1, help="Steps between checkpoints.", default="200")
]
LoggingSteps = Annotated[
    int | None, option(RUN, "--logging-steps", metavar="N", min=1, help="Steps between log lines.", default="1")
]
