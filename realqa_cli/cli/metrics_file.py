"""The counts of a run as a text file for Prometheus, as its node exporter collects them from a folder."""

import time
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile


class Counts(Protocol):
    """See `progress.RunCounts`."""

    total: int | None
    done: int
    failed: int
    done_before: int

    def rate(self) -> float:
        """Items per second."""
        ...

    def seconds_left(self) -> float | None:
        """Estimated; None where it is unknown."""
        ...


def write_metrics(file: Path, counts: Counts, *, finished: bool) -> None:
    """Replace the file atomically. Raises OSError."""
    registry = CollectorRegistry()

    def gauge(name: str, help: str, value: float) -> None:
        Gauge(name, help, registry=registry).set(value)

    items = Gauge("realqa_items", "Items of the run by result.", ["result"], registry=registry)
    items.labels("succeeded").set(counts.done - counts.failed)
    items.labels("failed").set(counts.failed)
    items.labels("done_before").set(counts.done_before)
    if counts.total is not None:
        gauge("realqa_items_expected", "Items of the run, finished or not.", counts.total)
    gauge("realqa_items_per_second", "Items per second over the last minutes.", counts.rate())
    if (left := counts.seconds_left()) is not None:
        gauge("realqa_seconds_left", "Estimated seconds until the run ends.", left)
    gauge("realqa_updated_timestamp_seconds", "When this file was written, in Unix time.", time.time())
    gauge("realqa_finished", "1 if the run has ended by itself, else 0.", finished)
    write_to_textfile(str(file), registry)
