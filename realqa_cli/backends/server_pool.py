"""Several requests at once, their results in order: for work that waits for a server, not a processor."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def in_order(work: Callable[[In], Out], items: Iterable[In], at_once: int) -> Iterator[Out]:
    """`work` of each item, in the order of the items, at most `at_once` of them begun and not yet yielded.

    So an interrupt costs at most `at_once` results. What `work` raises is raised in its place. The threads
    are daemons: a request that nobody waits for any more does not keep the program from ending.
    """
    jobs: SimpleQueue[tuple[Future[Out], In] | None] = SimpleQueue()

    def labour() -> None:
        while (job := jobs.get()) is not None:
            future, item = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(item))
                except BaseException as error:  # noqa: BLE001  it is raised where the result is awaited
                    future.set_exception(error)

    for _ in range(at_once):
        threading.Thread(target=labour, daemon=True).start()
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            future: Future[Out] = Future()
            waiting.append(future)
            jobs.put((future, item))
            if len(waiting) == at_once:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()
        for _ in range(at_once):
            jobs.put(None)


def _result(future: Future[Out]) -> Out:
    """What the work gave. Looks up now and then: an interrupt just before a wait does not end the wait."""
    while not wait([future], timeout=0.5).done:
        pass
    return future.result()
