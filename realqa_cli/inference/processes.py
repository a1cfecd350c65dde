"""One process for each GPU of this machine: `score` and `self-label` use all of them without an option.

Each process loads its own record source and opens the photos itself. The calling process reads the items, sends
them out in batches and yields the records in order, as with Ray.
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
from realqa_cli.inference.inputs import IsDone
from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.ray import Load, RecordSource, distribute
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item

Settings = TypeVar("Settings", bound=InferenceSettings)

WORKERS_VARIABLE = "REALQA_WORKERS"
"""Environment variable with the number of processes; 1 turns the automatic choice off."""

_source: RecordSource | None = None  # in a worker: its loaded model


def open_source(settings: Settings, load: Callable[[Settings], RecordSource]) -> RecordSource:
    """The record source in this process, or one for each GPU if there are several. Raises UsageError."""
    devices = worker_devices(settings)
    if len(devices) < 2:
        return load(settings)
    logging.getLogger("realqa").warning("using %d processes: %s", len(devices), ", ".join(devices))
    loads = [partial(load, replace(settings, device=device)) for device in devices]
    return ProcessEngine(loads, batch_size=settings.batch_size)


def worker_devices(settings: InferenceSettings) -> list[str]:
    """The device of each process; at most one device means that this process runs the model.

    All visible GPUs, unless the options name a device or a server, or the model runs on the CPU by `onnx`.
    """
    text = os.environ.get(WORKERS_VARIABLE, "")
    if text and (not text.isdecimal() or int(text) < 1):
        raise UsageError(
            f"is {text!r}, not a number of processes", where=WORKERS_VARIABLE, remedy="set it to 1 or more"
        )
    gpus = _visible_gpus()
    if settings.server is not None or settings.device not in ("auto", "cpu", "cuda"):
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


def _runs_on_cpu(settings: InferenceSettings) -> bool:
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


class ProcessEngine:
    """Implements `RecordSource` with one process for each element of `loads`."""

    def __init__(self, loads: Sequence[Load], *, batch_size: int) -> None:
        """Loads the models at the same time. Raises the error of a process that cannot load its model."""
        self.batch_size = batch_size
        spawn = get_context("spawn")  # CUDA does not survive a fork
        self._workers = [
            ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(index == 0,)) for index in range(len(loads))
        ]
        try:
            loading = [worker.submit(_load, load) for worker, load in zip(self._workers, loads, strict=True)]
            manifests = [_result(future) for future in loading]
        except BaseException:
            self.close()
            raise
        self.manifest: Manifest = manifests[0]

    def records(self, items: Iterable[Item], *, done: IsDone | None = None) -> Iterator[dict[str, Any]]:
        """See `RecordSource.records`. Raises ModelError if a process dies."""
        free: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for worker in self._workers * 2:  # the next batch waits in the process
            free.put(worker)

        def work(batch: Sequence[Item]) -> list[dict[str, Any]]:
            worker = free.get()
            try:
                records: list[dict[str, Any]] = _result(worker.submit(_records, batch))
                return records
            finally:
                free.put(worker)

        try:
            yield from distribute(items, done, work, batch_size=self.batch_size, at_once=2 * len(self._workers))
        finally:
            self.close()

    def close(self) -> None:
        """Ends the processes after their current batch."""
        for worker in self._workers:
            worker.shutdown(wait=False, cancel_futures=True)


def _start(first: bool) -> None:
    """Prepares a process: the caller handles interrupts, and only the first process logs warnings."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format="realqa: %(message)s", level=logging.WARNING if first else logging.ERROR)


def _load(load: Load) -> Manifest:
    global _source
    _source = load()
    return _source.manifest


def _records(items: Sequence[Item]) -> list[dict[str, Any]]:
    assert _source is not None, "loaded before"
    return list(_source.records(items))


def _result(future: Any) -> Any:
    """The result of a call in a process. Raises its error, or ModelError if the process died."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        what = "a process with the model died, perhaps for lack of memory"
        remedy = f"run again, finished work is kept; {WORKERS_VARIABLE}=1 uses one process"
        raise ModelError(what, remedy=remedy) from error
