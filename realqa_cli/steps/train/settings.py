"""Settings of a training run, their defaults, and the checks on them.

The defaults are those of the paper's release: LoRA of rank 128 on all linear layers of vision and language, AdamW
without weight decay, learning rate 1e-4 (1e-5 for full tuning), cosine schedule, warm-up over 10 % of the steps, 16
conversations per step; 2 epochs, or 6 with chains of thought and from scratch.
"""

import logging
import math
from dataclasses import dataclass, replace

import torch

from realqa_cli import models
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.objectives.objective import OBJECTIVES

log = logging.getLogger("realqa")

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda", "mps")
ATTENTIONS = ("auto", "sdpa", "flash_attention_2", "eager")
REPORTERS = ("none", "tensorboard", "wandb")
KEEP = ("best", "last")

EFFECTIVE_BATCH_SIZE = 16
"""Conversations per step of the paper's release: 2 per device and 8 accumulation steps."""
BATCH_SIZE = 2
EVAL_STEPS = 100

_CHOICES = {
    "objective": tuple(OBJECTIVES),
    "tuning": tuning.TUNINGS,
    "dtype": DTYPES,
    "device": DEVICES,
    "attention": ATTENTIONS,
    "report_to": REPORTERS,
    "keep": KEEP,
}
_COUNTS = (
    "lora_rank", "max_steps", "batch_size", "accumulate", "effective_batch_size", "max_length", "save_steps",
    "logging_steps", "eval_steps", "save_total_limit",
)  # fmt: skip
_SHARES = ("warmup", "lora_dropout")


@dataclass(frozen=True)
class TrainSettings:
    """Every setting that determines the trained weights. None leaves the choice to `settle`.

    epochs: 2; 6 with chains of thought and from scratch.  learning_rate: 1e-4 for LoRA, else 1e-5.
    lora_dropout: 0.15, or 0.05 if no answer states a score.  warmup: share of all steps.
    batch_size: conversations per device and forward pass.  accumulate: gradient-accumulation steps.
    effective_batch_size: conversations per step over all processes; accumulate follows from it.
    max_length: tokens per row.  number_weight: of the number-aware loss.
    eval_steps: steps between validations.  keep: which weights become the result.  strict: whether a photo that
    cannot be decoded stops the run.  fsdp, deepspeed: paths of configurations.  color_management, decode_timeout,
    decode_memory: see `DecodeOptions`.
    """

    model: str = models.BUNDLED[0]
    adapter: str | None = None
    revision: str | None = None
    objective: str = "ntp"
    tuning: str = "lora"
    lora_rank: int | None = None
    lora_dropout: float | None = None
    freeze_vision: bool = False
    number_loss: bool = False
    number_weight: float = 1.0
    group_by_length: bool = False
    epochs: float | None = None
    max_steps: int | None = None
    learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.0
    adam_beta2: float = 0.999
    batch_size: int | None = None
    accumulate: int | None = None
    effective_batch_size: int | None = None
    max_length: int = 2048
    min_pixels: int | None = None
    max_pixels: int | None = None
    scale: tuple[float, float] | None = None
    digits: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    gradient_checkpointing: bool = False
    attention: str = "auto"
    fsdp: str | None = None
    deepspeed: str | None = None
    save_steps: int = 200
    save_total_limit: int = 1
    logging_steps: int = 1
    validation: str | None = None
    eval_steps: int | None = None
    keep: str | None = None
    report_to: str = "none"
    strict: bool = False
    color_management: bool = True
    decode_timeout: float = DEFAULT_DECODING.timeout
    decode_memory: int = DEFAULT_DECODING.memory
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for an invalid value."""
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                remedy = f"choose one of: {', '.join(choices)}"
                raise UsageError(f"unknown {name} {value!r}", where=_option(name), remedy=remedy)
        for name in (*_COUNTS, "epochs", "learning_rate", "number_weight"):
            value = getattr(self, name)
            if value is not None and not (1 if name in _COUNTS else 1e-30) <= value < math.inf:
                raise UsageError(f"must be above 0, not {value}", where=_option(name))
        for name in (*_SHARES, "adam_beta2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UsageError(f"must be at least 0 and below 1, not {value}", where=_option(name))
        for name in ("lora_rank", "lora_dropout"):
            if self.tuning != "lora" and getattr(self, name):
                raise UsageError("applies to adapters only", where=_option(name), remedy="use --tuning lora")
        for name in ("eval_steps", "keep"):
            if getattr(self, name) not in (None, "last") and not self.validation:
                raise UsageError("needs validation data", where=_option(name), remedy="add --validation FILE")
        if self.validation and self.deepspeed:
            remedy = "use --fsdp, or train without it and run realqa score and realqa eval on the result"
            raise UsageError("is not supported with DeepSpeed", where="--validation", remedy=remedy)
        if self.fsdp and self.deepspeed:
            raise UsageError("--fsdp and --deepspeed are mutually exclusive", remedy="leave one of them out")
        if self.accumulate and self.effective_batch_size:
            what = "--accumulate and --effective-batch-size are mutually exclusive"
            raise UsageError(what, remedy="leave one of them out")
        if self.number_loss and self.objective != "ntp":
            raise UsageError("applies to --objective ntp only", where="--number-loss", remedy="leave it out")

    def settle(self, spec: DataSpec, processes: int = 1) -> "TrainSettings":
        """The settings with every open choice made, for training in so many processes."""
        lora = self.tuning == "lora"
        chosen = {
            "epochs": 6.0 if spec.has_cot or self.tuning == "scratch" else 2.0,
            "learning_rate": 1e-4 if lora else 1e-5,
            "lora_dropout": (0.15 if spec.has_scores else 0.05) if lora else None,
            "eval_steps": EVAL_STEPS if self.validation else None,
            "keep": "best" if self.validation else "last",
        }
        chosen |= self._batch_sizes(processes)
        chosen = {name: value for name, value in chosen.items() if getattr(self, name) is None}
        if self.dtype == "auto":
            on_cpu = self.on_cpu or not torch.cuda.is_available()
            return replace(self, **chosen, dtype="float32" if on_cpu else "bfloat16")  # type: ignore[arg-type]
        return replace(self, **chosen)  # type: ignore[arg-type]

    def _batch_sizes(self, processes: int) -> dict[str, int]:
        """Batch size, accumulation steps and effective batch size; log a line if the last differs from the default.

        Raises UsageError if the effective batch size is not a multiple of what all processes use in one pass.
        """
        wanted = self.effective_batch_size or EFFECTIVE_BATCH_SIZE
        batch_size = self.batch_size or max(1, min(BATCH_SIZE, wanted // processes))
        one_pass = batch_size * processes
        if self.effective_batch_size and wanted % one_pass:
            raise UsageError(
                f"{wanted} is not a multiple of {one_pass} ({processes} x --batch-size {batch_size})",
                where="--effective-batch-size",
                remedy=f"use {max(1, wanted // one_pass) * one_pass}, or another --batch-size",
            )
        accumulate = self.accumulate or max(1, wanted // one_pass)
        effective = one_pass * accumulate
        if effective != wanted and not (self.accumulate or self.batch_size):
            log.warning("%d conversations per step instead of %d, for %d processes", effective, wanted, processes)
        return {"batch_size": batch_size, "accumulate": accumulate, "effective_batch_size": effective}

    @property
    def decoding(self) -> DecodeOptions:
        """How photos are decoded."""
        return DecodeOptions(None, self.color_management, self.decode_timeout, self.decode_memory)

    @property
    def on_cpu(self) -> bool:
        """Whether training runs on the CPU. Raises UsageError for a device that the machine does not have."""
        has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        if not has.get(self.device, True):
            raise UsageError(f"this machine has no {self.device} device", where="--device", remedy="use --device auto")
        return self.device == "cpu" or (self.device == "auto" and not (has["cuda"] or has["mps"]))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
