"""The engine `ray`: scoring on a Ray cluster, by as many models as it has GPUs for.

Each worker is a `Scorer` of its own and gives the records that it would give anywhere. This process draws the
items, hands them out in batches, puts the records in order and leaves them to the caller, so that files,
resuming and exit codes are those of a run without Ray. Workers open photos by themselves: all machines must
see them, and the model's folder, under the same paths.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from itertools import islice
from queue import SimpleQueue
from typing import Any

from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.batches import IsDone, identify_items
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item
from realqa_cli.steps.score.score import Scorer, ScoreSettings

CPUS = 4
"""Processors of a worker on a cluster without GPUs."""


class Worker:
    """A scorer in another process, perhaps on another machine."""

    def __init__(self, settings: ScoreSettings, folder: str) -> None:
        """Loads nothing yet. `folder` is where the command was given: relative paths are seen from there."""
        self._settings, self._folder = settings, folder

    def load(self) -> Manifest:
        """What the records' `run` stands for, when the model is loaded. Raises UsageError."""
        with suppress(OSError):  # it is not on this machine: then paths have to be absolute
            os.chdir(self._folder)
        self._scorer = Scorer.from_settings(self._settings)
        return self._scorer.manifest

    def records(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The records of a batch."""
        return list(self._scorer.records(items))


class RayEngine:
    """Workers on a cluster that turn items into the records of a `Scorer`.

    The cluster is the one that `RAY_ADDRESS` names, or else this machine.
    """

    def __init__(self, settings: ScoreSettings) -> None:
        """Loads the models. Raises UsageError, also where Ray is not installed."""
        if settings.server is not None:
            raise UsageError("spreads models, not requests", where="--engine ray", remedy="leave it out")
        self.settings, self._ray = replace(settings, engine="local"), _ray()
        self.settings.find()  # what is wrong with the model is said before a cluster is started
        if not self._ray.is_initialized():
            self._ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
        has = self._ray.available_resources()  # others may use the rest of the cluster
        gpus, cpus = int(has.get("GPU", 0)), int(has.get("CPU", 1))
        needs = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": min(CPUS, cpus)}
        self.count = gpus or max(1, cpus // CPUS)
        kind = self._ray.remote(**needs)(Worker)
        self._workers = [kind.remote(self.settings, os.getcwd()) for _ in range(self.count)]
        loading = [worker.load.remote() for worker in self._workers]
        manifests: list[Manifest] = [self._result(promise) for promise in loading]
        self.manifest = manifests[0]

    def records(self, items: Iterable[Item], *, done: IsDone | None = None) -> Iterator[dict[str, Any]]:
        """See `Scorer.records`. Raises UsageError where a worker is lost."""
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
        batches = iter(lambda: tuple(islice(wanted, self.settings.batch_size)), ())
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
