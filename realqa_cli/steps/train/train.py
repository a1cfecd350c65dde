"""The step `realqa train`: conversations in, a model folder out that `realqa score --model DIR` uses at once.

By `transformers.Trainer` with accelerate and PEFT underneath; what is learnt is one of training/objectives/,
by default next-token prediction on the answers (paper Sec. 3.3). A run is resumed from its last whole
checkpoint and ends with the weights of one that was not interrupted. This module settles everything before
the first step and puts the parts together.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from realqa_cli import __version__, models
from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.processor import Processor
from realqa_cli.backends.hf.qwen import QwenProcessor
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.teacher_forcing import conversations
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec, infer_data_spec
from realqa_cli.inference.teacher_forcing.rows import processor_on_cpu, visual_tokens
from realqa_cli.io.manifest import Manifest, file_digest, folder_digest, versions
from realqa_cli.models import ModelSource, realqa_json
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.objectives import objective as objectives
from realqa_cli.steps.train.objectives.objective import ObjectiveSetup
from realqa_cli.steps.train.run_folder import RunFolder
from realqa_cli.steps.train.settings import TrainSettings
from realqa_cli.steps.train.trainer import ScoreTrainer, StepCallback
from realqa_cli.steps.train.tuning import Tuning

log = logging.getLogger("realqa")

MIN_PIXELS, MAX_PIXELS = 200_704, 401_408
"""The release's bounds of a photo's area, for models that have bounds and no `realqa.json`."""

_NOT_COMPARED = {"device", "save_steps", "logging_steps"}
"""Settings that do not decide the weights: a run may be resumed with others."""


def train(
    files: Sequence[Path],
    output: Path,
    settings: TrainSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    watch: StepCallback | None = None,
) -> dict[str, Any]:
    """Trains and returns an account: `output`, `steps`, `conversations`, `scale`, `digits`, `formats`.

    `watch` is called with every line of the log as it is written. Raises UsageError.
    """
    settings.check()
    data = _data(files, settings)
    source = _find(settings)
    lessons = infer_data_spec(data, source.config, settings.scale, settings.digits)
    settings = settings.settle(lessons)
    arguments = settings.arguments(output)
    folder = RunFolder(output, writes=arguments.process_index == 0)
    with arguments.main_process_first(local=False):
        manifest = _manifest(files, settings, source, arguments.world_size)
        checkpoint = folder.begin(manifest, resume=resume, overwrite=overwrite)
    account = {"output": str(output), "conversations": len(data), "steps": 0} | asdict(lessons)
    if folder.complete:
        return account
    told = _told(files, data, settings, lessons, source)
    trainer = _trainer(data, folder, settings, lessons, source, told, arguments, watch)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    with folder.result() as made:
        trainer.accelerator.wait_for_everyone()
        trainer.save_model(str(made))
        trainer.accelerator.wait_for_everyone()
    return account | {"steps": trainer.state.global_step}


def _data(files: Sequence[Path], settings: TrainSettings) -> list[Conversation]:
    """The conversations that the objective learns from. Raises UsageError where there are none."""
    read = conversations.read_conversations(files)
    data = objectives.conversations_for(settings.objective, read)
    if not data:
        raise UsageError(
            f"no conversation has a direct answer, from which the objective {settings.objective} learns",
            where=str(files[0]),
            remedy="build them with --formats direct",
        )
    if len(data) < len(read):
        log.warning(
            "%d of %d conversations have no direct answer, from which the objective %s learns: left out",
            len(read) - len(data),
            len(read),
            settings.objective,
        )
    return data


def _find(settings: TrainSettings) -> ModelSource:
    source = models.find(settings.model, adapter=settings.adapter, revision=settings.revision)
    if source.config is not None and source.config.objective not in ("ntp", settings.objective):
        raise ModelError(
            f"the model was trained with the objective {source.config.objective!r}",
            where=settings.model,
            remedy=f"train on a model of the objective {settings.objective}, or on its base model",
        )
    return source


def _manifest(files: Sequence[Path], settings: TrainSettings, source: ModelSource, processes: int) -> Manifest:
    decides = {name: value for name, value in asdict(settings).items() if name not in _NOT_COMPARED}
    decides |= {
        "processes": processes,
        "data": {file.name: file_digest(file) for file in files},
        "weights": folder_digest(source.base),
        "adapter_weights": folder_digest(source.adapter) if source.adapter else None,
    }
    environment = {
        "device": settings.device,
        "versions": versions("torch", "transformers", "accelerate", "peft", "tokenizers", "numpy", "pillow"),
        "realqa": __version__,
    }
    return Manifest("train", decides, environment)


def _told(
    files: Sequence[Path],
    data: Sequence[Conversation],
    settings: TrainSettings,
    lessons: DataSpec,
    source: ModelSource,
) -> dict[str, Any]:
    """What `realqa.json` says, but for the pixel bounds."""
    parts = ", ".join(f"{count:,} {name}" for name, count in lessons.formats.items())
    return {
        "format": 1,
        "objective": settings.objective,
        "scale": list(lessons.scale),
        "digits": lessons.digits,
        "base_model": tuning.base_name(source) if settings.tuning == "lora" else None,
        "started_from": None if settings.tuning == "scratch" else source.name,
        "trained_on": f"{', '.join(file.name for file in files)}: {len(data):,} conversations ({parts})",
        "form": list(lessons.form) if lessons.form else None,
    }


def _trainer(
    data: Sequence[Conversation],
    folder: RunFolder,
    settings: TrainSettings,
    lessons: DataSpec,
    source: ModelSource,
    told: Mapping[str, Any],
    arguments: Any,
    watch: StepCallback | None,
) -> ScoreTrainer:
    from transformers import set_seed

    set_seed(settings.seed)  # before the adapter, or the model from scratch, gets its first weights
    how = Tuning(settings.tuning, settings.lora_rank, settings.lora_dropout or 0.0, settings.freeze_vision)
    model, backend = tuning.prepare_model(source, how, settings.dtype)
    if settings.number_loss and not backend.takes_mask():
        raise UsageError("this model's attention cannot serve it", where="--number-loss", remedy="leave it out")
    prepares = _prepares(source, settings, model, backend.processor)
    number_loss = settings.number_weight if settings.number_loss else 0.0
    setup = ObjectiveSetup(prepares, lessons, settings.max_length, backend.takes_mask(), number_loss)
    objective = objectives.make_objective(settings.objective, setup)
    lengths = objective.check(data)
    if settings.group_by_length:
        lengths = [n + visual_tokens(prepares, one.images) for n, one in zip(lengths, data, strict=True)]
    bounds = {"min_pixels": None, "max_pixels": None, **prepares.settings()}
    said = ScorerConfig.model_validate({**told, **objective.told, **bounds})
    return ScoreTrainer(
        objective=objective,
        lengths=lengths if settings.group_by_length else None,
        folder=folder,
        save=_saver(source, said),
        watch=watch,
        model=objective.fit(model, source, afresh=settings.tuning == "scratch"),
        args=arguments,
        train_dataset=list(data),
    )


def _saver(source: ModelSource, told: ScorerConfig) -> Callable[[Any, Path, dict[str, Any] | None], None]:
    """What writes the model, in a checkpoint as in the end."""

    def save(model: Any, folder: Path, state: dict[str, Any] | None) -> None:
        tuning.save(model, source, folder, state)
        text = json.dumps(told.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
        (folder / realqa_json.CONFIG_FILE).write_text(text, encoding="utf-8")

    return save


def _prepares(source: ModelSource, settings: TrainSettings, model: Any, loaded: Processor) -> Processor:
    """The preparer at the pixel bounds of the options, of the base's `realqa.json`, or of the release."""
    told = source.config or ScorerConfig()
    low, high = settings.min_pixels or told.min_pixels, settings.max_pixels or told.max_pixels
    if isinstance(loaded, QwenProcessor) and not (low or high):
        low, high = MIN_PIXELS, MAX_PIXELS
    return processor_on_cpu(source, LoadOptions(min_pixels=low, max_pixels=high), model)
