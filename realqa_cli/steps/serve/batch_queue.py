"""Dynamic batching: requests wait in a queue, from which a loaded model takes them as it has room.

A thread runs the waiting items through `RecordSource.records`, which is the pipeline of the commands: items are opened
ahead of time, and those of similar size share a batch. Items that arrive during a run join it, so batches grow with
the load, and a single request never waits for others.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from realqa_cli.errors import one_line
from realqa_cli.inference.ray import RecordSource
from realqa_cli.io.sources import Item

log = logging.getLogger("realqa")

MOST_IN_RUN = 64
"""Items after which a run ends, so that an error of a run concerns few requests."""
_SMOOTHING = 0.2
"""Weight of the last item in the mean time of an item."""


@dataclass
class _Job:
    """An item and the future of its record."""

    item: Item
    record: "Future[dict[str, Any]]" = field(default_factory=Future)


class BatchQueue:
    """A loaded model that makes records of items from any thread.

    waiting: number of items that have no record yet.  seconds: mean time that an item takes; 0 before the first.
    """

    def __init__(self, source: RecordSource, on_run: Callable[[int], object] = lambda size: None) -> None:
        """on_run: gets the number of items of each run."""
        self.source, self.seconds = source, 0.0
        self._on_run = on_run
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self.waiting = 0
        self._thread = threading.Thread(target=self._serve, name="realqa-batches", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> "Future[dict[str, Any]]":
        """The record of the item, which may be an error record. The future raises what is wrong with the model."""
        job = _Job(item)
        with self._lock:
            self.waiting += 1
        job.record.add_done_callback(self._count_down)
        self._jobs.put(job)
        return job.record

    def seconds_left(self) -> float:
        """Estimated time until the items that wait now are finished."""
        return self.waiting * self.seconds

    def close(self) -> None:
        """Finish the items that wait, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _count_down(self, _: object) -> None:
        with self._lock:
            self.waiting -= 1

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(job)

    def _run(self, first: _Job) -> None:
        taken: list[_Job] = []
        finished = 0
        begin = time.monotonic()
        try:
            for record in self.source.records(self._items(first, taken)):
                taken[finished].record.set_result(record)
                finished += 1
                now = time.monotonic()
                self.seconds += (now - begin - self.seconds) * (_SMOOTHING if self.seconds else 1.0)
                begin = now
        except Exception as error:  # noqa: BLE001 - the requests of this run fail, the server goes on
            log.error("a run failed: %s: %s", type(error).__name__, one_line(error))
            for job in taken[finished:]:
                job.record.set_exception(error)
        self._on_run(len(taken))

    def _items(self, first: _Job, taken: list[_Job]) -> Iterator[Item]:
        """The first item, then those that wait, without waiting for more."""
        job: _Job | None = first
        while job is not None:
            if job.record.set_running_or_notify_cancel():
                taken.append(job)
                yield job.item
            job = self._next() if len(taken) < MOST_IN_RUN else None

    def _next(self) -> _Job | None:
        try:
            job = self._jobs.get_nowait()
        except Empty:
            return None
        if job is None:  # `close` was called: the loop must see it, too
            self._jobs.put(None)
        return job
