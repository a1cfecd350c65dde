"""Several requests at once, their results in order: for work that waits for a server, not a processor."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
_Jobs = SimpleQueue[tuple[Future[Out], In] | None]


def in_order(work: Callable[[In], Out], items: Iterable[In], at_once: int, *, ahead: int = 0) -> Iterator[Out]:
    """`work` of each item, in the order of the items, on `at_once` threads.

    At most `at_once + ahead` items are taken and not yet yielded, and an interrupt costs their results; with
    `ahead` a slow one keeps fewer others from being worked on. What `work` raises is raised in its place, and
    nothing more is begun. The threads are daemons: a request that nobody waits for any more does not keep the
    program from ending.
    """
    jobs: _Jobs[Out, In] = SimpleQueue()
    over = threading.Event()
    for _ in range(at_once):
        threading.Thread(target=_labour, args=(work, jobs, over), daemon=True).start()
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            future: Future[Out] = Future()
            waiting.append(future)
            jobs.put((future, item))
            if len(waiting) == at_once + ahead:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()
        for _ in range(at_once):
            jobs.put(None)


def _labour(work: Callable[[In], Out], jobs: _Jobs[Out, In], over: threading.Event) -> None:
    """A thread's work: jobs until there is None. After a failure, anybody's, jobs are not begun."""
    while (job := jobs.get()) is not None:
        future, item = job
        if over.is_set():  # what failed is earlier in the order, so that nobody awaits this one
            future.cancel()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work(item))
            except BaseException as error:  # noqa: BLE001  it is raised where the result is awaited
                over.set()
                future.set_exception(error)


def _result(future: Future[Out]) -> Out:
    """What the work gave. Looks up now and then: an interrupt just before a wait does not end the wait."""
    while not wait([future], timeout=0.5).done:
        pass
    return future.result()
