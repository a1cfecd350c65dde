"""Talk on stderr: progress with the time left, warnings, one line at the end. stdout is none of its business.

Bars appear only where stderr is a terminal; in a log file there is nothing but plain lines.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@dataclass
class ProgressBar:
    """A progress bar, or nothing where nobody would see it."""

    progress: "Progress | None" = None
    task: "TaskID | None" = None

    def advance(self, *, failed: int = 0) -> None:
        """One item is through."""
        if self.progress is not None and self.task is not None:
            note = f"[red]{failed} failed[/red]" if failed else ""
            self.progress.update(self.task, advance=1, note=note)

    def working(self, what: str) -> None:
        """Loading is over: the rest is `what`, and only now does the clock of the time left start."""
        if self.progress is not None and self.task is not None:
            self.progress.reset(self.task, description=what)

    def stop(self) -> None:
        """Leaves the terminal to the data."""
        if self.progress is not None:
            self.progress.stop()


@dataclass
class Reporter:
    """What a command says to the person at the terminal; `quiet` leaves only errors."""

    quiet: bool = False
    terminal: bool = field(default_factory=lambda: sys.stderr.isatty())
    summary: list[str] = field(default_factory=list)  # lines to print before the count of items

    def __post_init__(self) -> None:
        log = logging.getLogger("realqa")
        log.handlers = [_Lines()]
        log.setLevel(logging.ERROR if self.quiet else logging.WARNING)
        log.propagate = False

    def say(self, line: str) -> None:
        """One line, unless quiet."""
        if not self.quiet:
            sys.stderr.write(f"realqa: {line}\n")
            sys.stderr.flush()

    def manifest(self, manifest: Mapping[str, Any]) -> None:
        """What the run was made with: a short line for a person, the whole as one line of JSON for a log."""
        if self.terminal:
            self.say(f"run {manifest['run']} by {manifest['environment'].get('model', 'the model')}")
        elif not self.quiet:
            sys.stderr.write(json.dumps(manifest, ensure_ascii=False) + "\n")
            sys.stderr.flush()

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[ProgressBar]:
        """A bar for the time of the block, gone when it ends."""
        if self.quiet or not self.terminal:
            yield ProgressBar()
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeLeft(),
            TextColumn("{task.fields[note]}"),
        )
        progress = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
        with progress:
            yield ProgressBar(progress, progress.add_task(what, total=total, note=""))


class _Lines(logging.Handler):
    """Warnings of the library as plain lines; stderr is looked up late, because a bar stands in for it."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"realqa: {record.getMessage()}\n")
