"""What commands write to stderr: progress with the time left, warnings, and a summary at the end.

Progress bars appear only where stderr is a terminal; elsewhere there are plain lines (`progress`). This module
never writes to stdout.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from realqa_cli.cli.progress import MODES, ProgressMode, ProgressReports, RunCounts
from realqa_cli.errors import UsageError, escaped

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@dataclass
class ProgressBar:
    """A progress bar, or nothing where stderr is not a terminal; `counts` are for reports without a bar."""

    progress: "Progress | None" = None
    task: "TaskID | None" = None
    counts: RunCounts | None = None

    def advance(self, *, failed: int = 0, done_before: bool = False) -> None:
        """Count one finished item; `failed` is the number of failed items so far."""
        if self.counts is not None:
            self.counts.failed = failed
            if done_before:
                self.counts.done_before += 1
            else:
                self.counts.done += 1
        if self.progress is not None and self.task is not None:
            note = f"[red]{failed} failed[/red]" if failed else ""
            self.progress.update(self.task, advance=1, note=note)

    def working(self, what: str) -> None:
        """Restart the clock under a new name, because loading is not part of the estimated time."""
        if self.counts is not None:
            self.counts.start(what)
        if self.progress is not None and self.task is not None:
            self.progress.reset(self.task, description=what)

    def stop(self) -> None:
        """Remove the bar, so that records can be printed to the terminal."""
        if self.progress is not None:
            self.progress.stop()


@dataclass
class Reporter:
    """Messages for the user on stderr; `quiet` suppresses all but errors.

    progress: how a run reports its progress; None for commands without the option.  metrics: file for Prometheus.
    summary: lines to print before the count of items, or functions that give them at the end.
    """

    quiet: bool = False
    progress: ProgressMode | None = None
    metrics: Path | None = None
    terminal: bool = field(default_factory=lambda: sys.stderr is not None and sys.stderr.isatty())
    summary: list[str | Callable[[], str | None]] = field(default_factory=list)

    @classmethod
    def of(cls, context: typer.Context) -> Self:
        """For a command: `--quiet` may be given before or after its name. Raises `UsageError`."""
        params = context.params
        progress = (params.get("progress") or "auto") if "progress" in params else None
        if progress not in (None, *MODES):
            raise UsageError(
                f"unknown value {progress!r}", where="--progress", remedy=f"use one of: {', '.join(MODES)}"
            )
        return cls(bool(params.get("quiet") or context.obj), progress, params.get("metrics_file"))

    def __post_init__(self) -> None:
        log = logging.getLogger("realqa")
        log.handlers = [_StderrHandler()]
        log.setLevel(logging.ERROR if self.quiet else logging.WARNING)
        log.propagate = False

    def say(self, line: str) -> None:
        """Write one line, unless quiet."""
        if not self.quiet:
            write_stderr(f"realqa: {escaped(line)}\n")

    def summary_lines(self) -> list[str]:
        """The lines of `summary` that there are now."""
        lines = (line if isinstance(line, str) else line() for line in self.summary)
        return [line for line in lines if line is not None]

    def manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the run's manifest: a short line to a terminal, else all of it as a line of JSON."""
        if self.terminal:
            self.say(f"run {manifest['run']} by {manifest['environment'].get('model', 'the model')}")
        elif not self.quiet:
            write_stderr(json.dumps(manifest, ensure_ascii=False) + "\n")

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[ProgressBar]:
        """A progress bar for the duration of the block; it disappears at the end. Elsewhere a line now and then."""
        with ExitStack() as stack:
            bar = ProgressBar()
            if self.terminal and not self.quiet and self.progress in (None, "auto"):
                bar = stack.enter_context(_rich_bar(what, total))
            if self.progress is not None:
                bar.counts = RunCounts(what, total)
                stack.enter_context(ProgressReports(bar.counts, self.progress, self._progress_line(bar), self.metrics))
            yield bar

    def _progress_line(self, bar: ProgressBar) -> Callable[[str], None] | None:
        """Writes a line about the progress; None where a bar shows it, or nothing may."""
        if self.quiet or self.progress == "off" or bar.progress is not None:
            return None
        if self.progress == "json":
            return lambda line: write_stderr(f"{line}\n")
        return self.say


@contextmanager
def _rich_bar(what: str, total: int | None) -> Iterator[ProgressBar]:
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


def write_stderr(text: str) -> None:
    """Write to stderr whatever the text holds; a stderr that is closed or broken is ignored."""
    stream = sys.stderr
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):  # ValueError: a stream that was closed
        return


class _StderrHandler(logging.Handler):
    """Warnings of the library as plain lines; sys.stderr is looked up late, because a bar replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        write_stderr(f"realqa: {escaped(record.getMessage())}\n")
