"""The `TrainingArguments` of transformers for settled `TrainSettings`, and the processes of a distributed run."""

import json
import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from realqa_cli.errors import UsageError, one_line
from realqa_cli.steps.train.settings import TrainSettings

log = logging.getLogger("realqa")

_MAX_LOADER_PROCESSES = 8
_TIMEOUT = 24 * 3600
"""Seconds that processes wait for the main process, which checks all photos and texts for them."""
_CHECKPOINTING: dict[str, Any] = {
    "activation_checkpointing": True,
    "activation_checkpointing_kwargs": {"use_reentrant": False},
}
_FIXED: dict[str, Any] = {
    "max_grad_norm": 1.0,
    "lr_scheduler_type": "cosine",
    "remove_unused_columns": False,
    "logging_nan_inf_filter": False,
    "save_strategy": "steps",
    "eval_strategy": "no",
    "ddp_timeout": _TIMEOUT,
    "disable_tqdm": True,
    "log_level": "error",
    "log_level_replica": "error",
}
"""Arguments that no setting changes."""


def launched_processes() -> int:
    """Number of processes that accelerate launch or torchrun started for this run; 1 without them."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    alone = "WORLD_SIZE" not in os.environ and "MASTER_ADDR" in os.environ
    if alone and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        log.warning(
            "accelerate launch --cpu starts a single process on this machine, whatever --num_processes says: use"
            " accelerate launch --multi_gpu (with realqa train --device cpu) or torchrun --nproc-per-node instead"
        )
    return count


def training_arguments(settings: TrainSettings, output: Path) -> Any:
    """The arguments for settings that `settle` completed. Creating them initialises the devices and processes."""
    from transformers import TrainingArguments

    _require_reporter(settings)
    arguments = TrainingArguments(
        output_dir=str(output),
        num_train_epochs=settings.epochs or 0,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size or 1,
        gradient_accumulation_steps=settings.accumulate or 1,
        learning_rate=settings.learning_rate or 0,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        warmup_steps=settings.warmup,
        bf16=settings.dtype == "bfloat16",
        fp16=settings.dtype == "float16",
        use_cpu=settings.on_cpu,
        seed=settings.seed,
        data_seed=settings.seed,
        **(_CHECKPOINTING if settings.gradient_checkpointing else {}),
        dataloader_num_workers=loader_processes(settings),
        dataloader_pin_memory=not settings.on_cpu,
        logging_steps=settings.logging_steps,
        save_steps=settings.save_steps,
        report_to=settings.report_to,
        run_name=output.resolve().name,
        **_sharding(settings),
        **_FIXED,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs are used by one process each, not by DataParallel
    return arguments


def check_sharding(settings: TrainSettings) -> None:
    """Checks configurations and packages before anything is read. Raises UsageError.

    DeepSpeed is also chosen by `accelerate launch`, which no option states.
    """
    _sharding(settings)
    launched = os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true"
    where = "--deepspeed" if settings.deepspeed else "accelerate launch"
    if launched and settings.validation:
        remedy = "use FSDP2, or train without it and run realqa score and realqa eval on the result"
        raise UsageError("is not supported with DeepSpeed", where="--validation", remedy=remedy)
    if (settings.deepspeed or launched) and find_spec("deepspeed") is None:
        raise UsageError("needs the package deepspeed", where=where, remedy="pip install deepspeed")


def _sharding(settings: TrainSettings) -> dict[str, Any]:
    """The arguments for `--fsdp` or `--deepspeed`. Raises UsageError for a file that is not such a configuration."""
    if settings.fsdp:
        config = read_accelerate_config(Path(settings.fsdp), "--fsdp")
        return {"fsdp": True, "fsdp_config": dict(config.get("fsdp_config", config))}
    if settings.deepspeed:
        config = read_accelerate_config(Path(settings.deepspeed), "--deepspeed")
        zero = config.get("zero_optimization")
        if not isinstance(zero, dict) or zero.get("stage") not in (1, 2, 3):
            what = f"{settings.deepspeed} has no zero_optimization of stage 1, 2 or 3"
            raise UsageError(what, where="--deepspeed", remedy="see examples/paper/accelerate/zero3.json")
        return {"deepspeed": config}
    return {}


def read_accelerate_config(file: Path, option: str) -> dict[str, Any]:
    """A configuration in JSON, or in YAML as written by `accelerate config`. Raises UsageError."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".yaml", ".yml"):
            import yaml

            config = yaml.safe_load(text)
        else:
            config = json.loads(text)
    except Exception as error:  # also those of yaml, which have no common class with those of json
        raise UsageError(f"cannot read {file}: {one_line(error)}", where=option, remedy="check the file") from error
    if not isinstance(config, dict):
        raise UsageError(f"{file} is not a configuration", where=option, remedy="see examples/paper/accelerate")
    return config


def _require_reporter(settings: TrainSettings) -> None:

    name = settings.report_to
    if name != "none" and find_spec(name) is None:
        remedy = f"pip install 'realqa[{name}]'"
        raise UsageError(f"needs the package {name}", where="--report-to", remedy=remedy)


def loader_processes(settings: TrainSettings) -> int:
    """Processes that open photos ahead; none on a CPU, where they would slow down training."""
    return 0 if settings.on_cpu else min(_MAX_LOADER_PROCESSES, max(1, (os.cpu_count() or 1) - 1))
