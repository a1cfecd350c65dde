"""Trains a scorer on conversations and writes a model folder for `realqa score --model DIR`.

Training uses `transformers.Trainer` with accelerate and PEFT. The loss is that of an objective (objectives/), by
default next-token prediction on the answers (paper Sec. 3.3). A run resumes from its last complete checkpoint and
ends with the same weights as an uninterrupted run. This module settles all settings before the first step and
connects the parts.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from realqa_cli import __version__, models
from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.processor import Processor
from realqa_cli.backends.hf.qwen import QwenProcessor
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.teacher_forcing.conversations import Conversation, read_conversations
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec, infer_data_spec
from realqa_cli.inference.teacher_forcing.rows import processor_on_cpu, visual_tokens
from realqa_cli.io.manifest import Manifest, file_digest, folder_digest, versions
from realqa_cli.models import ModelSource, realqa_json
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.arguments import training_arguments
from realqa_cli.steps.train.objectives.objective import ObjectiveSetup, conversations_for, make_objective
from realqa_cli.steps.train.run_folder import RunFolder
from realqa_cli.steps.train.settings import TrainSettings
from realqa_cli.steps.train.trainer import SaveModel, ScoreTrainer, StepCallback
from realqa_cli.steps.train.tuning import Tuning

log = logging.getLogger("realqa")

MIN_PIXELS, MAX_PIXELS = 200_704, 401_408
"""The release's bounds of a photo's area, for models with pixel bounds but without `realqa.json`."""

_NOT_COMPARED = {"device", "save_steps", "logging_steps"}
"""Settings that do not affect the weights: a run may be resumed with others."""


def train(
    files: Sequence[Path],
    output: Path,
    settings: TrainSettings,
    *,
    resume: bool = True,
    overwrite: bool = False,
    on_step: StepCallback | None = None,
) -> dict[str, Any]:
    """Train, and return a summary: `output`, `steps`, `conversations`, `scale`, `digits`, `formats`.

    resume: whether a run in the folder is continued.  overwrite: whether it is replaced.
    on_step: called with every line of the log as it is written.

    Raises UsageError.
    """
    settings.check()
    conversations = _read(files, settings)
    source = _find_source(settings)
    spec = infer_data_spec(conversations, source.config, settings.scale, settings.digits)
    settings = settings.settle(spec)
    arguments = training_arguments(settings, output)
    folder = RunFolder(output, writes=arguments.process_index == 0)
    with arguments.main_process_first(local=False):
        manifest = _manifest(files, settings, source, arguments.world_size)
        checkpoint = folder.begin(manifest, resume=resume, overwrite=overwrite)
    summary = {"output": str(output), "conversations": len(conversations), "steps": 0} | asdict(spec)
    if folder.complete:
        return summary
    config = _config_fields(files, conversations, settings, spec, source)
    trainer = _make_trainer(conversations, folder, settings, spec, source, config, arguments, on_step)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    with folder.result() as result:
        trainer.accelerator.wait_for_everyone()
        trainer.save_model(str(result))
        trainer.accelerator.wait_for_everyone()
    return summary | {"steps": trainer.state.global_step}


def _read(files: Sequence[Path], settings: TrainSettings) -> list[Conversation]:
    """The conversations that the objective trains on. Raises UsageError for none."""
    all_conversations = read_conversations(files)
    conversations = conversations_for(settings.objective, all_conversations)
    if not conversations:
        raise UsageError(
            f"no conversation has a direct answer, which --objective {settings.objective} needs",
            where=str(files[0]),
            remedy="build them with realqa build-cot --formats direct",
        )
    if omitted := len(all_conversations) - len(conversations):
        log.warning(
            "%d of %d conversations are left out: they have no direct answer, which --objective %s needs",
            omitted,
            len(all_conversations),
            settings.objective,
        )
    return conversations


def _find_source(settings: TrainSettings) -> ModelSource:
    source = models.find(settings.model, adapter=settings.adapter, revision=settings.revision)
    if source.config is not None and source.config.objective not in ("ntp", settings.objective):
        raise ModelError(
            f"the model was trained with the objective {source.config.objective!r}",
            where=settings.model,
            remedy=f"use a model of the objective {settings.objective}, or its base model",
        )
    return source


def _manifest(files: Sequence[Path], settings: TrainSettings, source: ModelSource, processes: int) -> Manifest:
    compared = {name: value for name, value in asdict(settings).items() if name not in _NOT_COMPARED}
    compared |= {
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
    return Manifest("train", compared, environment)


def _config_fields(
    files: Sequence[Path],
    conversations: Sequence[Conversation],
    settings: TrainSettings,
    spec: DataSpec,
    source: ModelSource,
) -> dict[str, Any]:
    """The fields of `realqa.json`, except for the pixel bounds and those of the objective."""
    formats = ", ".join(f"{count:,} {name}" for name, count in spec.formats.items())
    return {
        "format": 1,
        "objective": settings.objective,
        "scale": list(spec.scale),
        "digits": spec.digits,
        "base_model": tuning.base_name(source) if settings.tuning == "lora" else None,
        "started_from": None if settings.tuning == "scratch" else source.name,
        "trained_on": f"{', '.join(file.name for file in files)}: {len(conversations):,} conversations ({formats})",
        "form": list(spec.form) if spec.form else None,
        "formats": sorted(spec.formats),
    }


def _make_trainer(
    conversations: Sequence[Conversation],
    folder: RunFolder,
    settings: TrainSettings,
    spec: DataSpec,
    source: ModelSource,
    config_fields: Mapping[str, Any],
    arguments: Any,
    on_step: StepCallback | None,
) -> ScoreTrainer:
    from transformers import set_seed

    set_seed(settings.seed)  # before the adapter, or the model from scratch, is initialised
    tuned = Tuning(settings.tuning, settings.lora_rank, settings.lora_dropout or 0.0, settings.freeze_vision)
    model, backend = tuning.prepare_model(source, tuned, settings.dtype)
    if settings.number_loss and not backend.takes_mask():
        what = "needs a custom attention mask, which this model does not take"
        raise UsageError(what, where="--number-loss", remedy="leave it out")
    processor = _processor(source, settings, model, backend.processor)
    number_loss = settings.number_weight if settings.number_loss else 0.0
    setup = ObjectiveSetup(processor, spec, settings.max_length, backend.takes_mask(), number_loss)
    objective = make_objective(settings.objective, setup)
    lengths = objective.check(conversations)
    if settings.group_by_length:
        lengths = [n + visual_tokens(processor, c.images) for n, c in zip(lengths, conversations, strict=True)]
    # The Qwen families use every trained weight in each pass; others, such as LLaVA, skip layers of the vision tower.
    arguments.ddp_find_unused_parameters = not isinstance(processor, QwenProcessor)
    bounds = {"min_pixels": None, "max_pixels": None, **processor.settings()}
    config = ScorerConfig.model_validate({**config_fields, **objective.config_fields, **bounds})
    return ScoreTrainer(
        objective=objective,
        lengths=lengths if settings.group_by_length else None,
        folder=folder,
        save=_saver(source, config),
        on_step=on_step,
        model=objective.fit(model, source, new_weights=settings.tuning == "scratch"),
        args=arguments,
        train_dataset=list(conversations),
    )


def _saver(source: ModelSource, config: ScorerConfig) -> SaveModel:
    """The function that writes the model, for checkpoints and for the result."""

    def save(model: Any, folder: Path, state: dict[str, Any] | None) -> None:
        tuning.save(model, source, folder, state)
        text = json.dumps(config.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
        (folder / realqa_json.CONFIG_FILE).write_text(text, encoding="utf-8")

    return save


def _processor(source: ModelSource, settings: TrainSettings, model: Any, loaded: Processor) -> Processor:
    """The processor with the pixel bounds of the options, of the base's `realqa.json`, or of the release."""
    config = source.config or ScorerConfig()
    low, high = settings.min_pixels or config.min_pixels, settings.max_pixels or config.max_pixels
    if isinstance(loaded, QwenProcessor) and not (low or high):
        low, high = MIN_PIXELS, MAX_PIXELS
    return processor_on_cpu(source, LoadOptions(min_pixels=low, max_pixels=high), model)
