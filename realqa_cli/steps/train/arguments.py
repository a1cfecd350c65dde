"""The `TrainingArguments` of transformers for settled `TrainSettings`."""

import os
from pathlib import Path
from typing import Any

from realqa_cli.steps.train.settings import TrainSettings

_MAX_LOADER_PROCESSES = 8


def training_arguments(settings: TrainSettings, output: Path) -> Any:
    """The arguments for settings that `settle` completed. Creating them initialises the devices and processes."""
    from transformers import TrainingArguments

    checkpointing: dict[str, Any] = {
        "activation_checkpointing": True,
        "activation_checkpointing_kwargs": {"use_reentrant": False},
    }
    arguments = TrainingArguments(
        output_dir=str(output),
        num_train_epochs=settings.epochs or 0,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate or 0,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        max_grad_norm=1.0,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        bf16=settings.dtype == "bfloat16",
        fp16=settings.dtype == "float16",
        use_cpu=settings.on_cpu,
        seed=settings.seed,
        data_seed=settings.seed,
        **(checkpointing if settings.gradient_checkpointing else {}),
        dataloader_num_workers=loader_processes(settings),
        dataloader_pin_memory=not settings.on_cpu,
        remove_unused_columns=False,
        logging_steps=settings.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.save_steps,
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs are used by one process each, not by DataParallel
    return arguments


def loader_processes(settings: TrainSettings) -> int:
    """Processes that open photos ahead; none on a CPU, where they would slow down training."""
    return 0 if settings.on_cpu else min(_MAX_LOADER_PROCESSES, max(1, (os.cpu_count() or 1) - 1))
