"""The engine `ray`: one loaded model per GPU of a Ray cluster.

Each worker loads a record source of its own and returns the records that it would return anywhere. This process
reads the items, sends them out in batches, puts the records in order and passes them to the caller, so that
files, resume and exit codes are those of a run without Ray. Workers open the photos themselves: all machines
need the photos and the model folder under the same paths.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol

from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.batches import IsDone, identify_items
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item

CPUS = 4
"""Processors of a worker on a cluster without GPUs."""


class RecordSource(Protocol):
    """A loaded model that turns items into records, such as a `Scorer`."""

    manifest: Manifest

    def records(self, items: Iterable[Item], *, done: IsDone | None = None) -> Iterator[dict[str, Any]]:
        """One record for each item that is not done, in order."""
        ...


Load = Callable[[], RecordSource]
"""Loads the model. It is called in each worker, so it must be picklable."""


class Worker:
    """A record source in another process, perhaps on another machine."""

    def __init__(self, load: Load, folder: str) -> None:
        """Loads nothing yet. Relative paths are resolved against `folder`, the current folder of the command."""
        self._load, self._folder = load, folder

    def load(self) -> Manifest:
        """What the records' `run` stands for, when the model is loaded. Raises UsageError."""
        with suppress(OSError):  # it is not on this machine: then paths have to be absolute
            os.chdir(self._folder)
        self._source = self._load()
        return self._source.manifest

    def records(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The records of a batch."""
        return list(self._source.records(items))


class RayEngine:
    """Workers on a cluster that turn items into records.

    The cluster is the one that the environment variable `RAY_ADDRESS` names, or else this machine.
    """

    def __init__(self, load: Load, *, batch_size: int) -> None:
        """Loads the models; `batch_size` items go to a worker at once. Raises UsageError if Ray is missing."""
        self.batch_size, self._ray = batch_size, _ray()
        if not self._ray.is_initialized():
            self._ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
        has = self._ray.available_resources()  # others may use the rest of the cluster
        gpus, cpus = int(has.get("GPU", 0)), int(has.get("CPU", 1))
        needs = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": min(CPUS, cpus)}
        self.count = gpus or max(1, cpus // CPUS)
        kind = self._ray.remote(**needs)(Worker)
        self._workers = [kind.remote(load, os.getcwd()) for _ in range(self.count)]
        loading = [worker.load.remote() for worker in self._workers]
        manifests: list[Manifest] = [self._result(promise) for promise in loading]
        self.manifest = manifests[0]

    def records(self, items: Iterable[Item], *, done: IsDone | None = None) -> Iterator[dict[str, Any]]:
        """See `RecordSource.records`. Raises UsageError where a worker is lost."""
        free: SimpleQueue[Any] = SimpleQueue()
        for worker in self._workers:
            free.put(worker)

        def work(batch: Sequence[Item]) -> list[dict[str, Any]]:
            worker = free.get()
            try:
                found: list[dict[str, Any]] = self._result(worker.records.remote(batch))
                return found
            finally:
                free.put(worker)

        wanted = (photo.item for photo in identify_items(items, done))
        batches = iter(lambda: tuple(islice(wanted, self.batch_size)), ())
        for records in in_order(work, batches, self.count, ahead=self.count):
            yield from records

    def _result(self, promise: Any) -> Any:
        """What a worker gives, or the error that it raised. Raises ModelError where it is gone."""
        errors = import_module("ray.exceptions")
        try:
            return self._ray.get(promise)
        except errors.RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from None
            raise
        except errors.RayActorError as error:
            what = f"a worker is lost ({' '.join(str(error).split())[:200]})"
            raise ModelError(what, where="--engine ray", remedy="run again; finished work is kept") from error


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        what, remedy = "Ray is not installed", "pip install 'realqa[ray]'"
        raise UsageError(what, where="--engine ray", remedy=remedy) from error
