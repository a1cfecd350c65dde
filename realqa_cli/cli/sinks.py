"""Where records leave the program: JSON Lines on stdout, the terminal's table, or the best N of either."""

import heapq
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from realqa_cli.io.jsonl import dump_line

Record = Mapping[str, Any]
Clear = Callable[[], None]
"""Frees the terminal of the progress bar; to be called before the first print."""


class Sink(Protocol):
    """Takes records one by one; `close` prints what was held back."""

    def write(self, record: Record) -> None:
        """One record, in order."""
        ...

    def close(self) -> None:
        """There are no more."""
        ...


class JsonLines:
    """One line a record, flushed, so that the next program in the pipe sees it at once."""

    def __init__(self, clear: Clear) -> None:
        self._clear = clear if sys.stdout.isatty() else None

    def write(self, record: Record) -> None:
        """Prints the record."""
        if self._clear:
            self._clear()
        sys.stdout.buffer.write(dump_line(record).encode() + b"\n")
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Nothing was held back."""


class Best:
    """Passes on the `count` best scores, best first; of equal ones the earlier. Failures have no score."""

    def __init__(self, count: int, sink: Sink) -> None:
        self._count, self._sink = count, sink
        self._heap: list[tuple[float, int, Record]] = []
        self._seen = 0

    def write(self, record: Record) -> None:
        """Keeps the record while it is among the best."""
        if record.get("error") is not None:
            return
        self._seen += 1  # unique, so that records themselves are never compared
        entry = (record["score"], -self._seen, record)
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def close(self) -> None:
        """Passes on what was kept."""
        for _, _, record in sorted(self._heap, key=lambda entry: entry[:2], reverse=True):
            self._sink.write(record)
        self._sink.close()


class Nothing:
    """For records that go to a file and nowhere else."""

    def write(self, record: Record) -> None:
        """The file has it."""

    def close(self) -> None:
        """Nothing was held back."""
