"""Standard streams that the caller closed, as `realqa ... >&-` does.

Python sets a closed stream to None, and the next file that opens takes its descriptor. `replace_closed_streams` opens
the null device on such descriptors, so that no library writes into another file, and puts streams in place whose use
is one clear error. Messages for a closed stderr are dropped by `reporter.write_stderr`.
"""

import io
import os
import sys
from typing import NoReturn

from realqa_cli.errors import UsageError


class ClosedStream(io.TextIOBase):
    """Replaces standard input or output that is closed: every attempt to read or write raises `UsageError`."""

    def __init__(self, what: str, remedy: str) -> None:
        self._error = what, remedy

    @property
    def buffer(self) -> "ClosedStream":
        """The binary stream, which is closed too."""
        return self

    def _refuse(self, *_: object) -> NoReturn:
        what, remedy = self._error
        raise UsageError(f"{what} is closed", remedy=remedy)

    write = read = readline = __iter__ = __next__ = _refuse


def replace_closed_streams() -> None:
    """Make the standard streams of this process usable. Does nothing for those that are open."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = ClosedStream("standard input", "pipe the records in, or name a file")
    if sys.stdout is None:
        sys.stdout = ClosedStream("standard output", "redirect it to a file or to a program")
