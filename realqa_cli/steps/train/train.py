"""Trains a scorer on conversations and writes a model folder for `realqa score --model DIR`.

Training uses `transformers.Trainer` with accelerate and PEFT. The loss is that of an objective (objectives/), by
default next-token prediction on the answers (paper Sec. 3.3). A run resumes from its last complete checkpoint and
ends with the same weights as an uninterrupted run. This module settles all settings before the first step and
connects the parts.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from realqa_cli import __version__, models
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.teacher_forcing.conversations import Conversation, read_conversations
from realqa_cli.inference.teacher_forcing.data_spec import count_formats, infer_data_spec
from realqa_cli.io.manifest import Manifest, file_digest, folder_digest, versions
from realqa_cli.models import ModelSource
from realqa_cli.steps.train.arguments import check_sharding, launched_processes, training_arguments
from realqa_cli.steps.train.checkpoints import check_checkpoint, write_errors
from realqa_cli.steps.train.objectives.objective import conversations_for
from realqa_cli.steps.train.preparation import check_photos
from realqa_cli.steps.train.progress import SILENT, TrainProgress
from realqa_cli.steps.train.run_folder import BEST, LEFT_OUT, RunFolder
from realqa_cli.steps.train.settings import TrainSettings
from realqa_cli.steps.train.trainer import ScoreTrainer
from realqa_cli.steps.train.training_run import TrainingRun, make_trainer
from realqa_cli.steps.train.validation import read_validation

log = logging.getLogger("realqa")

_NOT_COMPARED = {
    "device", "save_steps", "save_total_limit", "logging_steps", "report_to", "strict",
    "decode_timeout", "decode_memory",
}  # fmt: skip
"""Settings that do not affect the weights: a run may be resumed with others."""


def train(
    files: Sequence[Path],
    output: Path,
    settings: TrainSettings,
    *,
    resume: bool = True,
    overwrite: bool = False,
    progress: TrainProgress = SILENT,
) -> dict[str, Any]:
    """Train, and return a summary: `output`, `steps`, `conversations`, `left_out`, `scale`, `digits`, `formats`.

    resume: whether a run in the folder is continued.  overwrite: whether it is replaced.
    left_out: the photos that cannot be decoded, with the error of each.

    Raises UsageError.
    """
    settings.check()
    check_sharding(settings)
    conversations = _read(files, settings)
    source = _find_source(settings)
    spec = infer_data_spec(conversations, source.config, settings.scale, settings.digits)
    processes = launched_processes()
    settings = settings.settle(spec, processes)
    validation = read_validation(Path(settings.validation), spec) if settings.validation else []
    validation = [replace(conversation, decode=settings.decoding) for conversation in validation]
    arguments = training_arguments(settings, output)
    _require_processes(processes, arguments.world_size)
    writes = arguments.process_index == 0
    folder = RunFolder(output, writes=writes, keep_checkpoints=settings.save_total_limit)
    with arguments.main_process_first(local=False):
        manifest = _manifest(files, settings, source, arguments.world_size)
        checkpoint = folder.begin(manifest, resume=resume, overwrite=overwrite)
        summary = {"output": str(output), "conversations": len(conversations), "steps": 0, "left_out": {}}
        if folder.complete:
            return summary | asdict(spec)
        if writes and folder.left_out() is None:
            folder.leave_out(check_photos([*conversations, *validation], progress))
    left_out = folder.left_out() or {}
    conversations, validation = (_decodable(part, left_out) for part in (conversations, validation))
    if left_out and (settings.strict or not conversations):
        raise _undecodable(left_out, folder)
    spec = replace(spec, formats=count_formats(conversations))
    if checkpoint:
        check_checkpoint(checkpoint)
    run = TrainingRun(conversations, folder, settings, spec, source, manifest, arguments, progress, validation)
    trainer = make_trainer(files, run)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    _require_all_steps(trainer, folder)
    _write_result(trainer, folder, settings)
    summary |= {"conversations": len(conversations), "left_out": left_out}
    return summary | asdict(spec) | {"steps": trainer.state.global_step}


def _require_processes(announced: int, connected: int) -> None:
    """Raises UsageError unless all processes that the launcher announced are connected."""
    if connected != announced:
        what = f"{announced} processes were announced by WORLD_SIZE, but {connected} are connected"
        raise UsageError(what, where="realqa train", remedy="start it by accelerate launch or torchrun")


def _write_result(trainer: ScoreTrainer, folder: RunFolder, settings: TrainSettings) -> None:
    """The last weights, or the best ones, become the model of the folder."""
    best = folder.path / BEST if settings.keep == "best" else None
    with write_errors(folder.path, folder.saving), folder.result() as result:
        trainer.accelerator.wait_for_everyone()
        if best is None:
            trainer.save_model(str(result))
        elif folder.writes:
            shutil.copytree(best, result, dirs_exist_ok=True)
        trainer.accelerator.wait_for_everyone()


def _require_all_steps(trainer: ScoreTrainer, folder: RunFolder) -> None:
    """Raises UsageError if fewer steps were run than planned."""
    done, planned = trainer.state.global_step, trainer.state.max_steps
    if done < max(planned, 1):
        raise UsageError(
            f"training ended after {done} of {max(planned, 1)} steps",
            where=str(folder.path),
            remedy="check the conversations, and run the same command again",
        )


def _decodable(conversations: Sequence[Conversation], left_out: Mapping[str, str]) -> list[Conversation]:
    return [one for one in conversations if not any(str(path) in left_out for path in one.images)]


def _undecodable(left_out: Mapping[str, str], folder: RunFolder) -> UsageError:
    first = next(iter(left_out.values()))
    what = f"{plural(len(left_out), 'photo')} of the conversations cannot be decoded, the first of them {first}"
    return UsageError(what, where=str(folder.path / LEFT_OUT), remedy="remove their lines, or replace the photos")


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
    return [replace(conversation, decode=settings.decoding) for conversation in conversations]


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
    if settings.color_management:
        del compared["color_management"]  # the default, which older runs do not state
    compared |= {
        "processes": processes,
        "data": {file.name: file_digest(file) for file in files},
        "validation_data": file_digest(Path(settings.validation)) if settings.validation else None,
        "weights": folder_digest(source.base),
        "adapter_weights": folder_digest(source.adapter) if source.adapter else None,
    }
    environment = {
        "device": settings.device,
        "versions": versions("torch", "transformers", "accelerate", "peft", "tokenizers", "numpy", "pillow"),
        "realqa": __version__,
    }
    return Manifest("train", compared, environment)
