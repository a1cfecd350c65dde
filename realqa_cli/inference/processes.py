"""One process for each GPU of this machine: `score`, `self-label` and `ncm` use all of them without an option.

Each process loads its own model and opens the photos itself. The calling process reads the items, sends them out in
batches and yields the results in order, as with Ray.
"""

import logging
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.inputs import Finished
from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.inference.ray import Load, RecordSource, distribute
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item

Settings = TypeVar("Settings", bound=InferenceSettings)
AnySettings = TypeVar("AnySettings", bound=ModelSettings)

Result = TypeVar("Result")

CALLS_PER_PROCESS = 2
"""One that runs, and one that waits for it in the process."""

WORKERS_VARIABLE = "REALQA_WORKERS"
"""Environment variable with the number of processes; 1 turns the automatic choice off."""

_model: Any = None  # in a worker: what it loaded


def open_source(settings: Settings, load: Callable[[Settings], RecordSource]) -> RecordSource:
    """The record source in this process, or one for each GPU if there are several. Raises UsageError."""
    devices = worker_devices(settings)
    if len(devices) < 2:
        return load(settings)
    loads = [partial(load, each) for each in settings_by_device(settings, devices)]
    return ProcessEngine(loads, batch_size=settings.batch_size)


def settings_by_device(settings: AnySettings, devices: Sequence[str]) -> list[AnySettings]:
    """The settings of each process; logs how many there are."""
    logging.getLogger("realqa").warning("using %d processes: %s", len(devices), ", ".join(devices))
    return [replace(settings, device=device) for device in devices]


def worker_devices(settings: ModelSettings) -> list[str]:
    """The device of each process; at most one device means that this process runs the model.

    All visible GPUs, unless the options name a device or a server, or the model runs on the CPU by `onnx`.
    """
    text = os.environ.get(WORKERS_VARIABLE, "")
    if text and (not text.isdecimal() or int(text) < 1):
        raise UsageError(
            f"is {text!r}, not a number of processes", where=WORKERS_VARIABLE, remedy="set it to 1 or more"
        )
    gpus = _visible_gpus()
    served = isinstance(settings, InferenceSettings) and settings.server is not None
    if served or settings.device not in ("auto", "cpu", "cuda"):
        return []
    if text and (settings.device == "cpu" or not gpus):
        return ["cpu"] * int(text)
    if settings.device == "cpu" or len(gpus) < 2 or _runs_on_cpu(settings):
        return []
    return [f"cuda:{index}" for index in range(len(gpus))][: int(text) if text else None]


def _visible_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, found without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = sorted(file.name for file in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", file.name))
    if chosen is None or not present:
        return present
    return [each for each in chosen.split(",") if each.strip() and each.strip() != "-1"]


def _runs_on_cpu(settings: ModelSettings) -> bool:
    """Whether the backend is one that runs small models on the CPU."""
    if settings.backend != "auto":
        return settings.backend != "hf"
    from realqa_cli.backends.base import UnsupportedModel
    from realqa_cli.backends.onnx.graphs import folder_of
    from realqa_cli.models import config_of

    source = settings.find()
    if source.adapter is not None or settings.quantize or settings.dtype not in ("auto", "float32"):
        return False
    try:
        folder_of(source.base, config_of(str(source.base)))
    except UnsupportedModel:
        return False
    return True


class ModelProcesses:
    """Processes with a loaded model each, that share the calls. Threads may call at the same time."""

    def __init__(self, loads: Sequence[Callable[[], Any]]) -> None:
        """Loads the models at the same time. Raises the error of a process that cannot load its model."""
        spawn = get_context("spawn")  # CUDA does not survive a fork
        self._workers = [
            ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(index == 0,)) for index in range(len(loads))
        ]
        try:
            loading = [worker.submit(_load, load) for worker, load in zip(self._workers, loads, strict=True)]
            for future in loading:
                _result(future)
        except BaseException:
            self.close()
            raise
        self._free: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for worker in self._workers * CALLS_PER_PROCESS:
            self._free.put(worker)

    @property
    def at_once(self) -> int:
        """The number of calls that are worth making at the same time."""
        return CALLS_PER_PROCESS * len(self._workers)

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """`function(model, *arguments)` in the next free process. Raises ModelError if the process dies."""
        worker = self._free.get()
        try:
            result: Result = _result(worker.submit(_call, function, *arguments))
            return result
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """Ends the processes after their current call."""
        for worker in self._workers:
            worker.shutdown(wait=False, cancel_futures=True)


class ProcessEngine:
    """Implements `RecordSource` with one process for each element of `loads`."""

    def __init__(self, loads: Sequence[Load], *, batch_size: int) -> None:
        """Loads the models. Raises the error of a process that cannot load its model."""
        self.batch_size = batch_size
        self._processes = ModelProcesses(loads)
        self.manifest: Manifest = self._processes.call(_manifest)

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        """See `RecordSource.records`. Raises ModelError if a process dies."""
        work = partial(self._processes.call, _records)
        try:
            yield from distribute(items, done, work, batch_size=self.batch_size, at_once=self._processes.at_once)
        finally:
            self.close()

    def close(self) -> None:
        """Ends the processes after their current batch."""
        self._processes.close()


def _start(first: bool) -> None:
    """Prepares a process: the caller handles interrupts, and only the first process logs warnings."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format="realqa: %(message)s", level=logging.WARNING if first else logging.ERROR)


def _load(load: Callable[[], Any]) -> None:
    global _model
    _model = load()


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(_model, *arguments)


def _manifest(source: RecordSource) -> Manifest:
    return source.manifest


def _records(source: RecordSource, items: Sequence[Item]) -> list[dict[str, Any]]:
    return list(source.records(items))


def _result(future: Any) -> Any:
    """The result of a call in a process. Raises its error, or ModelError if the process died."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        what = "a process with the model died, perhaps for lack of memory"
        remedy = f"run again, finished work is kept; {WORKERS_VARIABLE}=1 uses one process"
        raise ModelError(what, remedy=remedy) from error
