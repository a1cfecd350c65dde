"""The engine `ray`: one loaded model per GPU of a Ray cluster.

Each worker loads its own record source, which returns the same records as in a single process. This process
reads the items, sends them to the workers in batches and yields the records in order, so that files, resume
and exit codes are those of a run without Ray. Workers open the photos themselves: all machines
need the photos and the model folder under the same paths. A worker that dies is replaced, and its batch, of which
nothing was written yet, goes to another one.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol

from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.errors import ModelError, UsageError, one_line
from realqa_cli.inference.inputs import Finished, unfinished_items
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item

log = logging.getLogger("realqa")

CPUS = 4
"""CPU cores of a worker on a cluster without GPUs."""
LOSSES = 3
"""Workers that may die on the same batch: with more, the batch is to blame."""


class RecordSource(Protocol):
    """A loaded model that turns items into records, such as a `Scorer`."""

    manifest: Manifest

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        """One record for each item that is not done, in order."""
        ...


Load = Callable[[], RecordSource]
"""Loads the model. It is called in each worker, so it must be picklable."""


class Worker:
    """A record source in another process, perhaps on another machine."""

    def __init__(self, load: Load, folder: str) -> None:
        """Does not load the model yet. Relative paths are resolved against `folder`, that of the command."""
        self._load, self._folder = load, folder

    def load(self) -> Manifest:
        """Loads the model and returns the manifest of its records. Raises UsageError."""
        with suppress(OSError):  # the folder does not exist on this machine: then paths have to be absolute
            os.chdir(self._folder)
        self._source = self._load()
        return self._source.manifest

    def records(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The records of a batch."""
        return list(self._source.records(items))


def distribute(
    items: Iterable[Item],
    done: Finished | None,
    work: Callable[[Sequence[Item]], list[dict[str, Any]]],
    *,
    batch_size: int,
    at_once: int,
) -> Iterator[dict[str, Any]]:
    """The records of the items that are not done, in order, from `at_once` simultaneous calls of `work`."""
    left = unfinished_items(items, done)
    batches = iter(lambda: tuple(islice(left, batch_size)), ())
    for records in in_order(work, batches, at_once, ahead=at_once):
        yield from records


class WorkerLost(ModelError):
    """A worker died, or its machine."""


class RayEngine:
    """Workers on a cluster that turn items into records.

    The cluster is that of the environment variable `RAY_ADDRESS`, or else this machine.
    """

    def __init__(self, load: Load, *, batch_size: int) -> None:
        """Loads the models. A worker gets `batch_size` items at a time. Raises UsageError if Ray is missing."""
        self.batch_size, self._ray = batch_size, _ray()
        if not self._ray.is_initialized():
            self._ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
        available = self._ray.available_resources()  # others may use the rest of the cluster
        gpus, cpus = int(available.get("GPU", 0)), int(available.get("CPU", 1))
        resources = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": min(CPUS, cpus)}
        self.count = gpus or max(1, cpus // CPUS)
        remote_worker = self._ray.remote(**resources)(Worker)
        self._start: Callable[[], Any] = lambda: remote_worker.remote(load, os.getcwd())
        workers = [self._start() for _ in range(self.count)]
        loading = [worker.load.remote() for worker in workers]
        manifests: list[Manifest] = [self._result(reference) for reference in loading]
        self.manifest = manifests[0]
        self._free: SimpleQueue[Any] = SimpleQueue()  # workers, or why one could not be replaced
        for worker in workers:
            self._free.put(worker)

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        """See `RecordSource.records`. Raises ModelError if workers are lost again and again."""
        yield from distribute(items, done, self._records_of, batch_size=self.batch_size, at_once=self.count)

    def _records_of(self, batch: Sequence[Item]) -> list[dict[str, Any]]:
        """The records of a batch from the next free worker that survives it."""
        for left in range(LOSSES, -1, -1):
            worker = self._free.get()
            if isinstance(worker, Exception):
                self._free.put(worker)  # for the other threads
                raise worker
            try:
                records: list[dict[str, Any]] = self._result(worker.records.remote(batch))
            except WorkerLost as error:
                log.warning("%s; it is replaced", error.what)
                threading.Thread(target=self._replace, daemon=True).start()
                if not left:
                    raise
                continue
            except BaseException:
                self._free.put(worker)
                raise
            self._free.put(worker)
            return records
        raise AssertionError("the last attempt returns or raises")

    def _replace(self) -> None:
        """Start another worker, which may wait until the cluster has room for it."""
        worker = self._start()
        try:
            self._result(worker.load.remote())
        except Exception as error:  # noqa: BLE001  raised by the thread that needs a worker
            self._free.put(error)
        else:
            self._free.put(worker)

    def _result(self, reference: Any) -> Any:
        """The result of a remote call. Raises the worker's own error, or WorkerLost."""
        errors = import_module("ray.exceptions")
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from None
            raise
        except errors.RayActorError as error:
            what = f"a worker is lost ({one_line(error, 200)})"
            raise WorkerLost(what, where="--engine ray", remedy="run again; finished work is kept") from error


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        what, remedy = "Ray is not installed", "pip install 'realqa[ray]'"
        raise UsageError(what, where="--engine ray", remedy=remedy) from error
