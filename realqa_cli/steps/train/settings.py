"""How a scorer is trained: every setting, the defaults that data decide, and what the library is told.

The defaults are those of the paper's release: LoRA of rank 128 on all linear layers of language and vision,
AdamW, 1e-4, cosine, warm-up 10 %, 16 conversations a step, 2 epochs or 6 with chains of thought. Full tuning
takes the second moment and the weight decay that a small model was found to want.
"""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from realqa_cli import models
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.objectives.objective import OBJECTIVES

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda", "mps")

_COUNTS = "lora_rank", "max_steps", "batch_size", "accumulate", "max_length", "save_steps", "logging_steps"
_WORKERS = 8
"""Processes that open photos beside a GPU, at most; on a CPU they would take its time from training."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what comes out. None leaves the choice to the data, the model or the tuning.

    learning_rate: 1e-4 for LoRA, 1e-5 else.  weight_decay: 0 for LoRA, 0.05 else.  epochs: 2, or 6 with
    chains of thought.  lora_dropout: 0.15, or 0.05 where no scores are taught.  warmup: share of all steps.
    batch_size: conversations a device and pass.  accumulate: passes a step.  max_length: tokens a row.
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
    weight_decay: float | None = None
    batch_size: int = 2
    accumulate: int = 8
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
        """Raises UsageError for a value that makes no sense."""
        for name, known in (
            ("objective", OBJECTIVES),
            ("tuning", tuning.TUNINGS),
            ("dtype", DTYPES),
            ("device", DEVICES),
        ):
            value = getattr(self, name)
            if value not in known:
                remedy = f"use one of: {', '.join(known)}"
                raise UsageError(f"{value!r} cannot be trained", where=f"--{name}", remedy=remedy)
        for name in (*_COUNTS, "epochs", "learning_rate", "number_weight"):
            value = getattr(self, name)
            if value is not None and not (1 if name in _COUNTS else 1e-30) <= value < math.inf:
                raise UsageError(f"must be above 0, not {value}", where=_option(name))
        for name in ("warmup", "lora_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UsageError(f"must be at least 0 and below 1, not {value}", where=_option(name))
        if self.tuning != "lora" and (self.lora_rank or self.lora_dropout):
            raise UsageError("concerns an adapter", where="--lora-rank", remedy="use --tuning lora")
        if self.number_loss and self.objective != "ntp":
            raise UsageError("concerns numbers in answers", where="--number-loss", remedy="use --objective ntp")

    def settle(self, lessons: DataSpec) -> "TrainSettings":
        """The settings with every choice made that was left open."""
        lora = self.tuning == "lora"
        given = {name: value for name, value in vars(self).items() if value is not None and value != "auto"}
        open_ones = {
            "epochs": 6.0 if lessons.cot else 2.0,
            "learning_rate": 1e-4 if lora else 1e-5,
            "weight_decay": 0.0 if lora else 0.05,
            "lora_dropout": (0.15 if lessons.scores else 0.05) if lora else None,
            "dtype": "float32" if self.on_cpu or not torch.cuda.is_available() else "bfloat16",
        }
        return replace(self, **{**open_ones, **given})

    @property
    def on_cpu(self) -> bool:
        """Whether it is trained on the CPU."""
        has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        if not has.get(self.device, True):
            raise UsageError(f"this machine has no {self.device} device", where="--device", remedy="use --device auto")
        return self.device == "cpu" or (self.device == "auto" and not (has["cuda"] or has["mps"]))

    def arguments(self, output: Path) -> Any:
        """The library's `TrainingArguments` for settings that are settled; sets up the devices."""
        from transformers import TrainingArguments

        lora = self.tuning == "lora"
        checkpointing: dict[str, Any] = {
            "activation_checkpointing": True,
            "activation_checkpointing_kwargs": {"use_reentrant": False},
        }
        arguments = TrainingArguments(
            output_dir=str(output),
            num_train_epochs=self.epochs or 0,
            max_steps=self.max_steps or -1,
            per_device_train_batch_size=self.batch_size,
            gradient_accumulation_steps=self.accumulate,
            learning_rate=self.learning_rate or 0,
            weight_decay=self.weight_decay or 0,
            adam_beta2=0.999 if lora else 0.98,
            max_grad_norm=1.0,
            lr_scheduler_type="cosine",
            warmup_steps=self.warmup,
            bf16=self.dtype == "bfloat16",
            fp16=self.dtype == "float16",
            use_cpu=self.on_cpu,
            seed=self.seed,
            data_seed=self.seed,
            **(checkpointing if self.gradient_checkpointing else {}),
            dataloader_num_workers=0 if self.on_cpu else min(_WORKERS, max(1, (os.cpu_count() or 1) - 1)),
            dataloader_pin_memory=not self.on_cpu,
            remove_unused_columns=False,
            logging_steps=self.logging_steps,
            logging_nan_inf_filter=False,
            save_strategy="steps",
            save_steps=self.save_steps,
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            log_level_replica="error",
        )
        arguments._n_gpu = min(1, arguments.n_gpu)  # more of them by `accelerate launch`, not by threads
        return arguments


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
