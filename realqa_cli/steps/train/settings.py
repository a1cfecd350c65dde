"""Settings of a training run, their defaults, and the checks on them.

The defaults are those of the paper's release: LoRA of rank 128 on all linear layers of vision and language, AdamW
without weight decay, learning rate 1e-4 (1e-5 for full tuning), cosine schedule, warm-up over 10 % of the steps, 16
conversations per step; 2 epochs, or 6 with chains of thought and from scratch.
"""

import math
from dataclasses import dataclass, replace

import torch

from realqa_cli import models
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.objectives.objective import OBJECTIVES

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda", "mps")

EFFECTIVE_BATCH_SIZE = 16
"""Conversations per step of the paper's release: 2 per device and 8 accumulation steps."""
BATCH_SIZE = 2

_CHOICES = {"objective": tuple(OBJECTIVES), "tuning": tuning.TUNINGS, "dtype": DTYPES, "device": DEVICES}
_COUNTS = (
    "lora_rank", "max_steps", "batch_size", "accumulate", "max_length", "save_steps", "logging_steps",
)  # fmt: skip
_SHARES = ("warmup", "lora_dropout")


@dataclass(frozen=True)
class TrainSettings:
    """Every setting that determines the trained weights. None leaves the choice to `settle`.

    epochs: 2; 6 with chains of thought and from scratch.  learning_rate: 1e-4 for LoRA, else 1e-5.
    lora_dropout: 0.15, or 0.05 if no answer states a score.  warmup: share of all steps.
    batch_size: conversations per device and forward pass.  accumulate: gradient-accumulation steps.
    max_length: tokens per row.  number_weight: of the number-aware loss.
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
    batch_size: int = BATCH_SIZE
    accumulate: int = EFFECTIVE_BATCH_SIZE // BATCH_SIZE
    max_length: int = 2048
    min_pixels: int | None = None
    max_pixels: int | None = None
    scale: tuple[float, float] | None = None
    digits: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    gradient_checkpointing: bool = False
    save_steps: int = 200
    logging_steps: int = 1
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for an invalid value."""
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
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
        if self.number_loss and self.objective != "ntp":
            raise UsageError("applies to --objective ntp only", where="--number-loss", remedy="leave it out")

    def settle(self, spec: DataSpec) -> "TrainSettings":
        """The settings with every open choice made."""
        lora = self.tuning == "lora"
        chosen = {
            "epochs": 6.0 if spec.has_cot or self.tuning == "scratch" else 2.0,
            "learning_rate": 1e-4 if lora else 1e-5,
            "lora_dropout": (0.15 if spec.has_scores else 0.05) if lora else None,
        }
        chosen = {name: value for name, value in chosen.items() if getattr(self, name) is None}
        if self.dtype == "auto":
            on_cpu = self.on_cpu or not torch.cuda.is_available()
            return replace(self, **chosen, dtype="float32" if on_cpu else "bfloat16")  # type: ignore[arg-type]
        return replace(self, **chosen)  # type: ignore[arg-type]

    @property
    def on_cpu(self) -> bool:
        """Whether training runs on the CPU. Raises UsageError for a device that the machine does not have."""
        has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        if not has.get(self.device, True):
            raise UsageError(f"this machine has no {self.device} device", where="--device", remedy="use --device auto")
        return self.device == "cpu" or (self.device == "auto" and not (has["cuda"] or has["mps"]))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
