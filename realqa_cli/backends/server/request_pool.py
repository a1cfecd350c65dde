"""Concurrent requests with results in order, for work that waits for a server and not for a processor."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
_Jobs = SimpleQueue[tuple[Future[Out], In] | None]


def in_order(
    work: Callable[[In], Out],
    items: Iterable[In],
    at_once: int,
    *,
    ahead: int = 0,
    here: Callable[[In], bool] = lambda item: False,
    urgent: Callable[[In], bool] = lambda item: False,
) -> Iterator[Out]:
    """Yields `work(item)` for each item, in the order of the items, from `at_once` threads.

    At most `at_once + ahead` items are in progress or waiting to be yielded; an interrupt loses their results.
    With `ahead`, a slow item blocks fewer others. The work on an item that `here` accepts is done by the caller's
    thread while no other item is in progress. An `urgent` item is yielded before another is read. An exception of
    `work` is raised in the place of its item, and no further item is started. The threads are daemons, so an abandoned
    request does not delay the exit.
    """
    jobs: _Jobs[Out, In] = SimpleQueue()
    over = threading.Event()
    threads = 0
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            if not waiting and here(item):
                yield work(item)
                continue
            future: Future[Out] = Future()
            waiting.append(future)
            jobs.put((future, item))
            if threads < at_once:
                threading.Thread(target=_run_jobs, args=(work, jobs, over), daemon=True).start()
                threads += 1
            while len(waiting) == at_once + ahead or (waiting and urgent(item)):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()
        for _ in range(threads):
            jobs.put(None)


def _run_jobs(work: Callable[[In], Out], jobs: _Jobs[Out, In], over: threading.Event) -> None:
    """The loop of a thread: runs jobs until it gets None. After a failure in any thread, jobs are cancelled."""
    while (job := jobs.get()) is not None:
        future, item = job
        if over.is_set():  # the failed job is earlier in the order, so this result is not needed
            future.cancel()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work(item))
            except BaseException as error:  # noqa: BLE001  raised again by `_result`
                over.set()
                future.set_exception(error)


def _result(future: Future[Out]) -> Out:
    """The result of the work. Polls, because an interrupt just before a wait does not end the wait."""
    while not wait([future], timeout=0.5).done:
        pass
    return future.result()
