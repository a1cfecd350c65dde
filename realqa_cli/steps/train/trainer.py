"""`transformers.Trainer` with our losses, our log and atomic checkpoints; the loop itself is the library's.

What is lost on a batch is the objective's to say (objectives/). Runs under `accelerate launch` as it is: the
figures of a log line are those of all processes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.steps.train import tuning
from realqa_cli.steps.train.objectives.objective import LossOutput, Objective
from realqa_cli.steps.train.run_folder import RunFolder
from realqa_cli.steps.train.sampling import LengthGroupedSampler

Save = Callable[[Any, Path, dict[str, Any] | None], None]
"""`save(model, folder, state)`: writes model, `realqa.json` and what else makes a model folder."""
StepCallback = Callable[[Mapping[str, Any], int], None]
"""`watch(record, steps)`: a log line as it is written, and how many steps the run has."""

_NCM = ("ncm", "ncm_star", "ncm_star_release")


class ScoreTrainer(Trainer):
    """Trains on conversations, as an objective has it."""

    def __init__(
        self,
        *,
        objective: Objective,
        folder: RunFolder,
        save: Save,
        watch: StepCallback | None,
        lengths: Sequence[int] | None = None,
        **given: Any,
    ) -> None:
        """lengths: of the rows, in tokens, where those of like length are to share a batch."""
        super().__init__(data_collator=_Safely(objective), **given)
        for noisy in (PrinterCallback, ProgressCallback):
            self.remove_callback(noisy)
        # The loss below is divided by what the labels of the whole accumulated batch count.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True
        self._objective, self._folder, self._save_parts, self._watch = objective, folder, save, watch
        self._lengths = lengths
        self._since, self._samples, self._saving = time.monotonic(), 0.0, False
        self._clear_sums()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """What the objective says is lost, as a mean over the step."""
        lost = self._objective.loss(model, inputs)
        items = lost.count if num_items_in_batch is None else num_items_in_batch
        # DDP averages gradients over processes, while `items` are those of all of them.
        loss = lost.total / items * self.accelerator.num_processes
        if lost.more is not None:
            loss = loss + lost.more / self.current_gradient_accumulation_steps
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            raise UsageError(
                f"the loss became {loss.item()} at step {step}; the last checkpoint is kept",
                where=str(self._folder.path),
                remedy="lower --learning-rate",
            )
        self._count(lost, len(inputs["labels"]))
        return (loss, {}) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Writes a line of log.jsonl from the library's figures and ours since the last one."""
        if "loss" in logs:
            record = {"step": self.state.global_step, "loss": logs["loss"]} | self._figures()
            record |= {"learning_rate": logs["learning_rate"], "epoch": self.state.epoch}
            record |= {"samples_per_second": self._speed()}
            self._clear_sums()
            if self.is_world_process_zero():
                self._folder.append(record)
                if self._watch is not None:
                    self._watch(record, self.state.max_steps)
        self.state.log_history.clear()  # the log is in its file, and need not be in every checkpoint

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self._lengths is None:
            return super()._get_train_sampler(train_dataset)
        return LengthGroupedSampler(self._lengths, self.args.per_device_train_batch_size, self.args.seed)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Batches come here first, and with them what went wrong in the process that made them."""
        for batch in batch_samples:
            if "error" in batch:
                raise batch["error"]
        return super()._get_num_items_in_batch(batch_samples, device)

    def _count(self, lost: LossOutput, conversations: int) -> None:
        sums = [[m.ncm, m.star, m.star_release, 1.0] for m in lost.metrics()]
        sums_4 = torch.tensor(sums, dtype=torch.float64).sum(dim=0) if sums else torch.zeros(4, dtype=torch.float64)
        more = [lost.cross_entropy, lost.tokens, float(conversations)]
        self._sums_7 += torch.cat([sums_4, torch.tensor(more, dtype=torch.float64)])

    def _figures(self) -> dict[str, float | None]:
        """Means over all processes since the last line."""
        sums_7 = self._sums_7
        if self.accelerator.num_processes > 1:
            sums_7 = self.accelerator.reduce(sums_7.float().to(self.args.device)).cpu().double()
        *ncm_3, answers, losses, tokens, self._samples = sums_7.tolist()
        found = {name: value / answers if answers else None for name, value in zip(_NCM, ncm_3, strict=True)}
        return {"cross_entropy": losses / tokens if tokens else None} | found

    def _speed(self) -> float:
        now = time.monotonic()
        passed, self._since = max(now - self._since, 1e-9), now
        return self._samples / passed

    def _clear_sums(self) -> None:
        """NCM, NCM*, its released form, answers; losses, tokens; conversations."""
        self._sums_7 = torch.zeros(7, dtype=torch.float64)

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._folder.saving if self._saving else self._folder.path)

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        """The library's checkpoint, made aside and renamed when it is whole."""
        with self._folder.checkpoint(self.state.global_step):
            self._saving = True
            super()._save_checkpoint(model, trial)
            self._saving = False
            self.accelerator.wait_for_everyone()
        self.accelerator.wait_for_everyone()
        self._since = time.monotonic()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The library's own way for adapters and sharded models, ours for whole weights and for heads."""
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            tuning.restore(self.model, Path(resume_from_checkpoint), super()._load_from_checkpoint)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Called by `save_model` with the gathered weights where the model is sharded."""
        if self.args.should_save and output_dir is not None:
            self._save_parts(self.accelerator.unwrap_model(self.model), Path(output_dir), state_dict)


class _Safely:
    """Collates, or gives {"error": ...}: an error that crosses processes by itself arrives as a traceback."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        try:
            return self.objective.collate(conversations)
        except UsageError as error:
            return {"error": error}
