"""What takes the records that a command prints: JSON Lines, or nothing; tables are in `views`."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from realqa_cli.io.jsonl import dump_line

Record = Mapping[str, Any]
Clear = Callable[[], None]
"""Removes the progress bar from the terminal; called before the first line is printed."""


class Sink(Protocol):
    """Takes records one by one; `close` prints what was held back."""

    def write(self, record: Record) -> None:
        """Take the next record."""
        ...

    def close(self) -> None:
        """Print what was held back; there are no more records."""
        ...


class JsonLines:
    """One line per record on stdout, flushed, so that the next program in the pipe sees it at once."""

    def __init__(self, clear: Clear = lambda: None) -> None:
        self._clear = clear if sys.stdout.isatty() else None

    def write(self, record: Record) -> None:
        """Print the record."""
        if self._clear:
            self._clear()
        sys.stdout.buffer.write(dump_line(record).encode() + b"\n")
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Nothing was held back."""


class Discard:
    """For records that go to a file and are not printed."""

    def write(self, record: Record) -> None:
        """Drop the record."""

    def close(self) -> None:
        """Nothing was held back."""
