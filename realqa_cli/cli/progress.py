"""How far a run is: counts, rate and time left, as lines on stderr, as JSON, and as a file for Prometheus.

A terminal shows a progress bar instead (`reporter`). This module does not know what the items are.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Literal

ProgressMode = Literal["auto", "json", "off"]
"""auto: a bar on a terminal, lines elsewhere; json: a line of JSON in place of either."""
MODES: tuple[ProgressMode, ...] = ("auto", "json", "off")
SECONDS = 30.0
"""Between two reports. Prometheus collects text files at about this interval."""
_WINDOW = 10  # reports over which the rate is measured


@dataclass
class RunCounts:
    """The counts of a run: items done by this run, failed ones among them, and those done by earlier runs.

    total: of all items, None where it is unknown.
    """

    phase: str
    total: int | None = None
    done: int = 0
    failed: int = 0
    done_before: int = 0
    clock: Callable[[], float] = time.monotonic
    _ticks: "deque[tuple[float, int]]" = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def __post_init__(self) -> None:
        self.start(self.phase)

    def start(self, phase: str) -> None:
        """Begin a phase: the rate is measured from here."""
        self.phase = phase
        self._ticks.clear()
        self._ticks.append((self.clock(), self.finished))

    @property
    def finished(self) -> int:
        """Items that need no more work."""
        return self.done + self.done_before

    def rate(self) -> float:
        """Items per second over the last reports, those done by earlier runs included."""
        since, before = self._ticks[0]
        seconds = self.clock() - since
        return (self.finished - before) / seconds if seconds > 0 else 0.0

    def seconds_left(self) -> float | None:
        """Estimated from the rate; None where it or the total is unknown."""
        rate = self.rate()
        return None if self.total is None or not rate else max(self.total - self.finished, 0) / rate

    def tick(self) -> None:
        """Mark a report: the oldest ones leave the window of the rate."""
        self._ticks.append((self.clock(), self.finished))

    def line(self) -> str:
        """Such as `12,400/10,000,000  41/s  3 failed  ETA 2 d 19 h`."""
        rate, left = self.rate(), self.seconds_left()
        parts = [f"{self.finished:,}" + ("" if self.total is None else f"/{self.total:,}")]
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"ETA {duration(left)}"] if left is not None else []
        return "  ".join(parts)

    def as_json(self) -> dict[str, object]:
        """The counts with `items_per_second` and `seconds_left`."""
        return {
            "phase": self.phase,
            "total": self.total,
            "finished": self.finished,
            "failed": self.failed,
            "done_before": self.done_before,
            "items_per_second": round(self.rate(), 3),
            "seconds_left": None if (left := self.seconds_left()) is None else round(left, 1),
        }


def duration(seconds: float) -> str:
    """The two largest units, such as `2 d 19 h` or `45 s`."""
    left = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts = []
    for name, size in units:
        count, left = divmod(left, size)
        parts.append((count, name))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {name}" for count, name in parts[first : first + 2] if count or name == "s")


class ProgressReports(AbstractContextManager["ProgressReports"]):
    """Reports the counts every `seconds` from a thread, and once more at the end of the `with` block.

    write: takes a line for stderr, or None for no lines.  metrics: file for Prometheus, replaced atomically.
    """

    def __init__(
        self,
        counts: RunCounts,
        mode: ProgressMode,
        write: Callable[[str], None] | None,
        metrics: Path | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._counts, self._mode, self._write, self._metrics = counts, mode, write, metrics
        self._seconds = seconds
        self._ended = Event()
        self._thread = Thread(target=self._run, name="progress", daemon=True)
        self._failed_to_write = False

    def __enter__(self) -> "ProgressReports":
        self._export(finished=False)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._mode == "json":
            self._say()
        self._export(finished=kind is None)

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._say()
            self._export(finished=False)
            self._counts.tick()

    def _say(self) -> None:
        if self._write is not None:
            json_line = json.dumps({"progress": self._counts.as_json()})
            self._write(json_line if self._mode == "json" else self._counts.line())

    def _export(self, *, finished: bool) -> None:
        if self._metrics is None:
            return
        from realqa_cli.cli.metrics_file import write_metrics

        try:
            write_metrics(self._metrics, self._counts, finished=finished)
        except OSError as error:
            if not self._failed_to_write and self._write is not None:
                self._write(f"warning: {self._metrics}: cannot be written ({error.strerror}); the run goes on")
            self._failed_to_write = True
