"""Assembles a training run: model, processor, objective and validation become a `ScoreTrainer`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.hf.processor import Processor, load_processor
from realqa_cli.backends.hf.qwen import QwenProcessor
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.inference.teacher_forcing.rows import processor_on_cpu, visual_tokens
from realqa_cli.io.manifest import Manifest
from realqa_cli.models import ModelSource, realqa_json
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.objectives.objective import Objective, ObjectiveSetup, make_objective
from realqa_cli.steps.train.preparation import row_lengths
from realqa_cli.steps.train.progress import TrainProgress
from realqa_cli.steps.train.run_folder import RunFolder
from realqa_cli.steps.train.sampling import ConversationDataset
from realqa_cli.steps.train.settings import TrainSettings
from realqa_cli.steps.train.trainer import SaveModel, ScoreTrainer, StepProgress
from realqa_cli.steps.train.tuning import Tuning
from realqa_cli.steps.train.validation import Validator


@dataclass(frozen=True)
class TrainingRun:
    """One training run, with everything that is settled before the model is loaded."""

    conversations: Sequence[Conversation]
    folder: RunFolder
    settings: TrainSettings
    spec: DataSpec
    source: ModelSource
    manifest: Manifest
    arguments: Any
    progress: TrainProgress
    validation: Sequence[Conversation]


def _config_fields(files: Sequence[Path], run: TrainingRun) -> dict[str, Any]:
    """The fields of `realqa.json`, except for the pixel bounds and those of the objective."""
    spec, settings = run.spec, run.settings
    formats = ", ".join(f"{count:,} {name}" for name, count in spec.formats.items())
    count = plural(len(run.conversations), "conversation")
    trained_on = f"{', '.join(file.name for file in files)}: {count} ({formats})"
    return {
        "format": 1,
        "objective": settings.objective,
        "scale": list(spec.scale),
        "digits": spec.digits,
        "base_model": tuning.base_name(run.source) if settings.tuning == "lora" else None,
        "started_from": None if settings.tuning == "scratch" else run.source.name,
        "trained_on": trained_on,
        "form": list(spec.form) if spec.form else None,
        "formats": sorted(spec.formats),
        "questions": spec.questions or None,
        "color_management": settings.color_management,
    }


def make_trainer(files: Sequence[Path], run: TrainingRun) -> ScoreTrainer:
    """Load the model, check all texts, and connect the parts. Raises UsageError."""
    from transformers import set_seed

    settings, source, arguments = run.settings, run.source, run.arguments
    run.progress.stage("preparing the model", None)
    set_seed(settings.seed)  # before the adapter, or the model from scratch, is initialised
    tuned = Tuning(settings.tuning, settings.lora_rank, settings.lora_dropout or 0.0, settings.freeze_vision)
    model, backend = tuning.prepare_model(source, tuned, settings.dtype, settings.attention)
    if settings.number_loss and not backend.takes_mask():
        what = "needs a custom attention mask, which this model does not take"
        raise UsageError(what, where="--number-loss", remedy="leave it out")
    processor = _processor(source, settings, model)
    backend.processor = _processor(source, settings, model, on_cpu=False)
    number_loss = settings.number_weight if settings.number_loss else 0.0
    setup = ObjectiveSetup(processor, run.spec, settings.max_length, backend.takes_mask(), number_loss)
    objective = make_objective(settings.objective, setup)
    lengths = _lengths(objective, processor, run)
    # The Qwen families use every trained weight in each pass; others, such as LLaVA, skip layers of the vision tower.
    arguments.ddp_find_unused_parameters = not isinstance(processor, QwenProcessor)
    bounds = {"min_pixels": None, "max_pixels": None, **processor.settings()}
    config = ScorerConfig.model_validate({**_config_fields(files, run), **objective.config_fields, **bounds})
    trained = objective.fit(model, source, new_weights=settings.tuning == "scratch")
    run.folder.write_manifest(run.manifest, _effective(run, config, lengths))
    trainer = ScoreTrainer(
        objective=objective,
        conversations=ConversationDataset(run.conversations),
        lengths=lengths if settings.group_by_length else None,
        folder=run.folder,
        save=_saver(source, config),
        on_step=run.progress.on_step,
        validator=_validator(run, objective, setup, backend, trained),
        eval_steps=settings.eval_steps,
        keep_best=settings.keep == "best",
        model=trained,
        args=arguments,
    )
    if run.folder.writes:
        trainer.add_callback(StepProgress(run.progress))
    return trainer


def _lengths(objective: Objective, processor: Processor, run: TrainingRun) -> list[int]:
    """Tokens of each conversation, from the main process, which also checks all texts for the others."""
    lengths: list[list[int]] = [[]]
    if run.folder.writes:
        lengths = [row_lengths(objective, run.conversations, run.progress)]
        if run.settings.group_by_length:
            pairs = zip(lengths[0], run.conversations, strict=True)
            lengths = [[length + visual_tokens(processor, one.images) for length, one in pairs]]
    if run.arguments.world_size > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(lengths)
    return lengths[0]


def _validator(
    run: TrainingRun, objective: Objective, setup: ObjectiveSetup, backend: HFBackend, trained: Any
) -> Validator | None:
    if not run.validation:
        return None
    name = run.settings.objective
    collator = None
    if name == "ntp":
        collator = Collator(
            setup.processor,
            digits=run.spec.digits,
            max_length=run.settings.max_length,
            takes_mask=setup.takes_mask,
        )
    return Validator(run.validation, backend, trained, name, objective, run.spec, collator)


def _effective(run: TrainingRun, config: ScorerConfig, lengths: Sequence[int]) -> dict[str, Any]:
    """The settings as used, for the manifest."""
    settings = run.settings
    return {
        "scale": list(config.scale),
        "digits": config.digits,
        "min_pixels": config.min_pixels,
        "max_pixels": config.max_pixels,
        "epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "dtype": settings.dtype,
        "batch_size": settings.batch_size,
        "accumulate": settings.accumulate,
        "effective_batch_size": settings.effective_batch_size,
        "processes": run.arguments.world_size,
        "conversations": len(run.conversations),
        "longest_text": max(lengths, default=0),
    }


def _saver(source: ModelSource, config: ScorerConfig) -> SaveModel:
    """The function that writes the model, for checkpoints and for the result."""
    bounds = (config.min_pixels, config.max_pixels) if config.min_pixels and config.max_pixels else None

    def save(model: Any, folder: Path, state: dict[str, Any] | None) -> None:
        tuning.save(model, source, folder, state, bounds=bounds)
        text = json.dumps(config.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
        (folder / realqa_json.CONFIG_FILE).write_text(text, encoding="utf-8")

    return save


def _processor(source: ModelSource, settings: TrainSettings, model: Any, *, on_cpu: bool = True) -> Processor:
    """The processor with the pixel bounds of the options, else of the base's `realqa.json`, else its own.

    on_cpu: whether its tensors stay on the CPU, for the data loader.
    """
    config = source.config or ScorerConfig()
    low, high = settings.min_pixels or config.min_pixels, settings.max_pixels or config.max_pixels
    options = LoadOptions(min_pixels=low, max_pixels=high)
    if on_cpu:
        return processor_on_cpu(source, options, model)
    return load_processor(source, options, model.get_base_model() if hasattr(model, "get_base_model") else model)
