"""`transformers.Trainer` with our loss, our log and atomic checkpoints; the loop itself is the library's.

The metric is read from the logits of the training pass, outside the model's code. Runs under
`accelerate launch` as it is: the figures of a log line are those of all processes.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from realqa_cli.errors import UsageError
from realqa_cli.training.answer_logits import IGNORED, AnswerLogits, answer_logits
from realqa_cli.training.number_loss import number_loss
from realqa_cli.training.run_folder import RunFolder

Save = Callable[[Any, Path, dict[str, Any] | None], None]
"""`save(model, folder, state)`: writes model, `realqa.json` and what else makes a model folder."""
Watch = Callable[[Mapping[str, Any], int], None]
"""`watch(record, steps)`: a log line as it is written, and how many steps the run has."""

_NCM = ("ncm", "ncm_star", "ncm_star_release")


class ScoreTrainer(Trainer):
    """Trains on the batches of `collate.Collator`."""

    def __init__(
        self, *, folder: RunFolder, save: Save, watch: Watch | None, point: float | None, **given: Any
    ) -> None:
        """point: where the number-aware loss is wanted, a point of a 1-5 scale on the model's scale."""
        super().__init__(**given)
        for noisy in (PrinterCallback, ProgressCallback):
            self.remove_callback(noisy)
        # The loss below is divided by the tokens of the whole accumulated batch.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True
        self._folder, self._save_parts, self._watch, self._point = folder, save, watch, point
        self._since, self._samples, self._saving = time.monotonic(), 0.0, False
        self._clear_sums()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The cross-entropy of the answers; that of numerals gives way to the number-aware loss."""
        labels_B_T, spots = inputs["labels"], inputs["spots"]
        found = answer_logits(model, inputs)
        losses_B_W = found.token_losses(labels_B_T)
        trained = (labels_B_T[:, found.first + 1 :] != IGNORED).sum()
        share = losses_B_W.sum()
        if self._point is not None:
            for spot in spots:
                share = (
                    share - losses_B_W[spot.row, slice(*(c - found.first - 1 for c in spot.columns))].sum()
                )
        items = trained if num_items_in_batch is None else num_items_in_batch
        # DDP averages gradients over processes, while `items` are those of all of them.
        loss = share / items * self.accelerator.num_processes
        if self._point is not None and spots:
            numbers = number_loss(found.edge_log_probs(spots), [s.target for s in spots], self._point)
            loss = loss + numbers / self.current_gradient_accumulation_steps
        if not torch.isfinite(loss):
            step = self.state.global_step + 1
            raise UsageError(
                f"the loss became {loss.item()} at step {step}; the last checkpoint is kept",
                where=str(self._folder.path),
                remedy="lower --learning-rate",
            )
        self._count(found, losses_B_W, trained, inputs)
        return (loss, {"logits": found.logits_B_W_V}) if return_outputs else loss

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

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Batches come here first, and with them what went wrong in the process that made them."""
        for batch in batch_samples:
            if "error" in batch:
                raise batch["error"]
        return super()._get_num_items_in_batch(batch_samples, device)

    def _count(
        self, found: AnswerLogits, losses_B_W: Tensor, trained: Tensor, inputs: Mapping[str, Any]
    ) -> None:
        metrics = found.metrics(inputs["spots"])
        sums = [[m.ncm, m.star, m.star_release, 1.0] for m in metrics]
        sums_4 = (
            torch.tensor(sums, dtype=torch.float64).sum(dim=0)
            if sums
            else torch.zeros(4, dtype=torch.float64)
        )
        more = [float(losses_B_W.detach().sum()), float(trained), float(len(inputs["labels"]))]
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
        """As `from_pretrained` does it: saved weights have the hub's names, and the library's own way of
        resuming, which looks for the module's names, passes over those that differ without a word."""
        if self.is_fsdp_enabled or hasattr(self.model, "peft_config"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        own: Any = self.model
        own.load_state_dict(type(own).from_pretrained(resume_from_checkpoint, dtype=own.dtype).state_dict())

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Called by `save_model` with the gathered weights where the model is sharded."""
        if self.args.should_save and output_dir is not None:
            self._save_parts(self.accelerator.unwrap_model(self.model), Path(output_dir), state_dict)
