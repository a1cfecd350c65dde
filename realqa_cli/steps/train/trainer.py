"""`transformers.Trainer` with the losses of an objective, our log, and atomic checkpoints.

The training loop is the library's. The figures of a log line are means over all processes of `accelerate launch`.

This is the only module that overrides private methods of `Trainer`; `PRIVATE_HOOKS` lists them, and
tests/steps/train/test_trainer.py fails if a new version of transformers no longer calls one of them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback, TrainerCallback

from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.checkpoints import write_errors
from realqa_cli.steps.train.objectives.objective import LossOutput, Objective
from realqa_cli.steps.train.progress import TrainProgress
from realqa_cli.steps.train.run_folder import RunFolder
from realqa_cli.steps.train.sampling import ConversationDataset, EpochSampler
from realqa_cli.steps.train.validation import Validator

PRIVATE_HOOKS = (
    "_get_train_sampler",
    "_get_num_items_in_batch",
    "_get_output_dir",
    "_save_checkpoint",
    "_load_from_checkpoint",
    "_save",
)
"""Private methods of `transformers.Trainer` that `ScoreTrainer` overrides."""

SaveModel = Callable[[Any, Path, dict[str, Any] | None], None]
"""`save(model, folder, state)`: writes weights, `realqa.json` and all other files of a model folder."""
StepCallback = Callable[[Mapping[str, Any], int], None]
"""`on_step(record, steps)`: see `TrainProgress`."""

_NCM = ("ncm", "ncm_star", "ncm_star_release")


class ScoreTrainer(Trainer):
    """Trains a model on conversations with an objective."""

    def __init__(
        self,
        *,
        objective: Objective,
        conversations: ConversationDataset,
        folder: RunFolder,
        save: SaveModel,
        on_step: StepCallback,
        lengths: Sequence[int] | None = None,
        validator: Validator | None = None,
        eval_steps: int | None = None,
        keep_best: bool = False,
        **arguments: Any,
    ) -> None:
        """lengths: tokens of each row, to group rows of similar length, else None.

        validator, eval_steps: what is measured every so many steps.  keep_best: whether the best weights are kept.
        """
        super().__init__(data_collator=_ErrorCarrier(objective), train_dataset=conversations, **arguments)
        self._conversations = conversations
        self._validator, self._eval_steps, self._keep_best = validator, eval_steps or 0, keep_best
        if validator is not None:
            self.add_callback(_LogAtValidation(self._eval_steps))
        if validator is not None and self.is_deepspeed_enabled:  # by accelerate launch, which no option states
            remedy = "use FSDP2, or train without it and run realqa score and realqa eval on the result"
            raise UsageError("is not supported with DeepSpeed", where="--validation", remedy=remedy)
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        # compute_loss divides by the number of labels in the whole accumulated batch.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True
        self._objective, self._folder, self._save_files, self._on_step = objective, folder, save, on_step
        self._lengths = lengths
        self._last_log, self._samples, self._saving = time.monotonic(), 0.0, False
        self._clear_sums()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective's loss, as a mean over the step. Raises UsageError if it is not finite."""
        output = self._objective.loss(model, inputs)
        items = output.count if num_items_in_batch is None else num_items_in_batch
        # DDP averages gradients over processes, but `items` is the number of labels in all processes.
        loss = output.total / items * self.accelerator.num_processes
        if output.batch_loss is not None:
            loss = loss + output.batch_loss / self.current_gradient_accumulation_steps
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            raise UsageError(
                f"the loss became {loss.item()} at step {step}; the last checkpoint is kept",
                where=str(self._folder.path),
                remedy="start over with a lower --learning-rate and --overwrite",
            )
        self._add_to_sums(output, len(inputs["labels"]))
        return (loss, {}) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write a line of log.jsonl from the library's figures and ours since the previous line."""
        if "loss" in logs:
            record = {"step": self.state.global_step, "loss": logs["loss"]} | self._means()
            record |= {"learning_rate": logs["learning_rate"], "epoch": self.state.epoch}
            record |= {"samples_per_second": self._speed()}
            self._clear_sums()
            record |= self._validate()
            if self.is_world_process_zero():
                self._folder.append(record)
                self._on_step(record, self.state.max_steps)
            figures = {name: value for name, value in record.items() if value is not None and name != "step"}
            self.control = self.callback_handler.on_log(self.args, self.state, self.control, figures)
        self.state.log_history.clear()  # the log is in its own file, not in every checkpoint

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return EpochSampler(
            len(self._conversations),
            self.args.per_device_train_batch_size,
            self.args.seed,
            processes=self.accelerator.num_processes,
            lengths=self._lengths,
        )

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Called with the batches of a step before they are used; re-raises errors of the collator."""
        for batch in batch_samples:
            if "error" in batch:
                raise batch["error"]
        return super()._get_num_items_in_batch(batch_samples, device)

    def _validate(self) -> dict[str, float | int | None]:
        """The figures of the validation data, if it is due; keeps the weights if they are the best so far."""
        if self._validator is None or not _due(self.state, self._eval_steps):
            return {}
        figures = self._validator.measure(
            self.accelerator.process_index, self.accelerator.num_processes, sharded=self.is_fsdp_enabled
        )
        if self._keep_best:
            best = self._folder.best_figures()
            self.accelerator.wait_for_everyone()  # all processes have read it before the main one replaces it
            if best is None or _rank_of(figures) > _rank_of(best):
                with self._folder.best(figures | {"step": self.state.global_step}) as folder:
                    self.save_model(str(folder))
                    self.accelerator.wait_for_everyone()
                self.accelerator.wait_for_everyone()
        self._last_log = time.monotonic()
        return {f"validation_{name}": value for name, value in figures.items()}

    def _add_to_sums(self, output: LossOutput, conversations: int) -> None:
        values = [[ncm.ncm, ncm.star, ncm.star_release, 1.0] for ncm in output.ncm_values()]
        ncm_4 = torch.tensor(values, dtype=torch.float64).sum(dim=0) if values else torch.zeros(4, dtype=torch.float64)
        others = [output.cross_entropy, output.tokens, float(conversations)]
        self._sums_7 += torch.cat([ncm_4, torch.tensor(others, dtype=torch.float64)])

    def _means(self) -> dict[str, float | None]:
        """Means over all processes since the previous log line."""
        sums_7 = self._sums_7
        if self.accelerator.num_processes > 1:
            sums_7 = self.accelerator.reduce(sums_7.float().to(self.args.device)).cpu().double()
        *ncm_3, answers, losses, tokens, self._samples = sums_7.tolist()
        means = {name: value / answers if answers else None for name, value in zip(_NCM, ncm_3, strict=True)}
        return {"cross_entropy": losses / tokens if tokens else None} | means

    def _speed(self) -> float:
        """Conversations per second since the previous log line."""
        now = time.monotonic()
        seconds, self._last_log = max(now - self._last_log, 1e-9), now
        return self._samples / seconds

    def _clear_sums(self) -> None:
        """Reset the sums: NCM, NCM*, released NCM*, direct answers; cross-entropy, tokens; conversations."""
        self._sums_7 = torch.zeros(7, dtype=torch.float64)

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._folder.saving if self._saving else self._folder.path)

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        """The library's checkpoint, written elsewhere and renamed when it is complete."""
        partial = self._folder.saving / f"checkpoint-{self.state.global_step}"
        with write_errors(self._folder.path, partial), self._folder.checkpoint(self.state.global_step):
            self._saving = True
            super()._save_checkpoint(model, trial)
            self._saving = False
            self.accelerator.wait_for_everyone()
        self.accelerator.wait_for_everyone()
        self._last_log = time.monotonic()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The library's method for adapters and sharded models, our own for full weights and heads."""
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            tuning.restore(self.model, Path(resume_from_checkpoint), super()._load_from_checkpoint)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Called by `save_model`, with the gathered weights if the model is sharded."""
        if self.args.should_save and output_dir is not None:
            self._save_files(self.accelerator.unwrap_model(self.model), Path(output_dir), state_dict)


def _due(state: Any, eval_steps: int) -> bool:
    """Whether the validation data is measured after this step."""
    return bool(state.global_step % eval_steps == 0 or state.global_step == state.max_steps)


def _rank_of(figures: Mapping[str, Any]) -> float:
    """By which the best weights are chosen: SRCC, worst if it has no value."""
    srcc = figures.get("srcc")
    return -2.0 if srcc is None else float(srcc)


class _LogAtValidation(TrainerCallback):
    """Writes a log line at each step after which the validation data is measured."""

    def __init__(self, eval_steps: int) -> None:
        self.eval_steps = eval_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
        """Called by the library."""
        if _due(state, self.eval_steps):
            control.should_log = True
        return control


class StepProgress(TrainerCallback):
    """Reports the stage "training" and each step, also those between two lines of the log."""

    def __init__(self, progress: TrainProgress) -> None:
        self.progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called by the library."""
        self.progress.stage("training", state.max_steps)
        for _ in range(state.global_step):  # of the checkpoint that the run continues
            self.progress.advance()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called by the library."""
        self.progress.advance()


class _ErrorCarrier:
    """Collates a batch, or returns {"error": ...}.

    An exception that leaves a process of the data loader arrives as the text of a traceback, and a `StopIteration`
    ends the epoch silently; an error that is returned arrives as it is.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        try:
            return self.objective.collate(conversations)
        except UsageError as error:
            return {"error": error}
        except StopIteration as error:
            lines = ", ".join(conversation.where for conversation in conversations)
            return {"error": RuntimeError(f"the collator ended early at {lines} ({error!r})")}
