"""A limit on the time of Python code that is not ours, such as the chat template of a model.

One watchdog thread serves all limits: entering and leaving costs less than a microsecond. It interrupts a thread
between two of its bytecode instructions, so a single long call into C code ends later.
"""

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_INTERVAL = 0.2
_AGAIN_AFTER = 5.0
"""Seconds after which a thread that has ignored an interruption gets another one: code can catch any exception."""


class _Watchdog:
    """Raises TimeoutError in threads whose deadline has passed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.deadlines: dict[int, float] = {}
        self.interrupted: set[int] = set()
        self.thread: threading.Thread | None = None

    def watch(self, seconds: float) -> None:
        """Set the deadline of the current thread."""
        with self.lock:
            self.deadlines[threading.get_ident()] = time.monotonic() + seconds
            if self.thread is None or not self.thread.is_alive():  # a forked process has none
                self.thread = threading.Thread(target=self._run, name="time-limit", daemon=True)
                self.thread.start()

    def leave(self) -> None:
        """Remove the deadline of the current thread, and an interruption that has not reached it yet."""
        with self.lock:
            thread = threading.get_ident()
            self.deadlines.pop(thread, None)
            if thread in self.interrupted:
                self.interrupted.remove(thread)
                _interrupt(thread, None)

    def _run(self) -> None:
        while True:
            time.sleep(_INTERVAL)
            with self.lock:
                now = time.monotonic()
                for thread in [thread for thread, deadline in self.deadlines.items() if deadline < now]:
                    self.deadlines[thread] = now + _AGAIN_AFTER
                    self.interrupted.add(thread)
                    _interrupt(thread, TimeoutError)


def _interrupt(thread: int, error: type[BaseException] | None) -> None:
    reason = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), reason)


_watchdog = _Watchdog()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block if it takes longer. Limits cannot be nested in one thread."""
    _watchdog.watch(seconds)
    try:
        yield
    finally:
        _watchdog.leave()
