"""Processes of one thread each that train one model together.

Two processes of one thread are faster than one process of two threads on a machine that other work shares,
because a thread that waits for its core does not hold up each operation of the others.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn
from train import cosine


class Workers:
    """What a process knows of the others. rank: its number."""

    def __init__(self, rank: int, processes: int, meeting: Path) -> None:
        """meeting: a file by which the processes find each other; it must not exist before the first starts."""
        self.rank, self.size = rank, processes
        if processes > 1:
            where = meeting.absolute().as_uri()
            distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=processes)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """The gradients of all processes become their mean; parameters without a gradient count as zero."""
        if self.size == 1:
            return
        chosen = list(parameters)
        flat = torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in chosen])
        distributed.all_reduce(flat)
        for p, part in zip(chosen, flat.split([p.numel() for p in chosen]), strict=True):
            p.grad = part.view_as(p) / self.size

    def first(self, value: float) -> float:
        """The value of the first process."""
        shared = torch.tensor([value], dtype=torch.float64)
        if self.size > 1:
            distributed.broadcast(shared, 0)
        return float(shared)


class Schedule(Protocol):
    """What `Training` asks of settings. mean: of the running mean of the weights, a step."""

    @property
    def minutes(self) -> float: ...
    @property
    def vision_rate(self) -> float: ...
    @property
    def language_rate(self) -> float: ...
    @property
    def warm_up(self) -> int: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def mean(self) -> float: ...


class Training:
    """AdamW on the clock, a running mean of the weights, and checkpoints.

    It continues from the checkpoint if there is one. progress: from 0 to 1.
    """

    def __init__(
        self, model: nn.Module, head: nn.Module | None, schedule: Schedule, checkpoint: Path, workers: Workers
    ) -> None:
        self._model, self._head = model, head or nn.Identity()
        self._schedule, self._checkpoint, self._workers = schedule, checkpoint, workers
        groups = _groups(model, self._head, schedule)
        self._parameters = [p for group in groups for p in group["params"]]
        self._optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.step, self._before = 0, 0.0
        self._mean = {name: value.clone() for name, value in model.state_dict().items()}
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            model.load_state_dict(state["model"])
            self._head.load_state_dict(state["head"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._mean, self.step, self._before = state["mean"], state["step"], state["seconds"]
        self._begun = self._saved = self._logged = time.time()
        self._history: dict[str, list[float]] = defaultdict(list)
        self.progress = workers.first(self._before / (60 * schedule.minutes))

    def update(self, loss: torch.Tensor | None, figures: dict[str, float]) -> None:
        """One step. loss: None if the gradients are there already.  figures: for the log."""
        if loss is not None:
            loss.backward()
        for name, figure in figures.items():
            self._history[name].append(figure)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * cosine(self.progress, self.step, self._schedule.warm_up)
        self._workers.average_gradients(self._parameters)
        torch.nn.utils.clip_grad_norm_(self._parameters, self._schedule.clip)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.step += 1
        share = min(self._schedule.mean, self.step / (self.step + 20))
        for name, value in self._model.state_dict().items():
            self._mean[name].lerp_(value, 1 - share)
        seconds = self._before + time.time() - self._begun
        self.progress = self._workers.first(seconds / (60 * self._schedule.minutes))
        if self._workers.rank == 0 and time.time() - self._logged > 30:
            self._log(seconds)
        if self._workers.rank == 0 and (time.time() - self._saved > 120 or self.progress >= 1):
            self._save(seconds)

    def _log(self, seconds: float) -> None:
        known = {name: [value for value in values if value == value] for name, values in self._history.items()}
        means = [f"{name} {np.mean(values):.3f} ({len(values)})" for name, values in sorted(known.items()) if values]
        print(f"{seconds:6.0f} s  step {self.step:5d}  {'  '.join(means)}", flush=True)
        self._logged = time.time()
        self._history.clear()

    def _save(self, seconds: float) -> None:
        """A checkpoint that is complete or not there."""
        state: dict[str, Any] = {"model": self._model.state_dict(), "head": self._head.state_dict(), "mean": self._mean}
        state |= {"optimiser": self._optimiser.state_dict(), "step": self.step, "seconds": seconds}
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)
        self._saved = time.time()


def _groups(model: nn.Module, head: nn.Module, schedule: Schedule) -> list[dict[str, Any]]:
    """Vision and language, matrices and others: each with its peak rate and its weight decay."""
    named = [*model.named_parameters(), *((f".visual.{name}", p) for name, p in head.named_parameters())]
    named = [(name, p) for name, p in named if p.requires_grad]
    return [
        {
            "params": [p for name, p in named if (".visual." in name) == vision and (p.ndim > 1) == matrices],
            "lr": 0.0,
            "peak": schedule.vision_rate if vision else schedule.language_rate,
            "weight_decay": schedule.weight_decay * matrices,
        }
        for vision in (True, False)
        for matrices in (True, False)
    ]


def run_workers(work: Callable[..., None], arguments: tuple[Any, ...], processes: int, checkpoint: Path) -> None:
    """Calls work(workers, *arguments) in each process, and waits for all of them."""
    meeting = checkpoint.with_suffix(".meeting")
    meeting.unlink(missing_ok=True)
    if processes == 1:
        _run(0, work, arguments, 1, meeting)
    else:
        spawn(_run, (work, arguments, processes, meeting), processes)


def _run(rank: int, work: Callable[..., None], arguments: tuple[Any, ...], processes: int, meeting: Path) -> None:
    torch.set_num_threads(1)
    work(Workers(rank, processes, meeting), *arguments)
