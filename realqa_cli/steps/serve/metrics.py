"""The counts of a server, for Prometheus."""

from collections.abc import Callable, Iterable

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE_LATEST
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class ServeMetrics:
    """The counters of one server; the label `endpoint` is a task."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        of = ["endpoint"]
        self.requests = Counter(
            "realqa_requests", "Requests by status of HTTP.", [*of, "status"], registry=self._registry
        )
        self.images = Counter("realqa_images", "Photos and videos by result.", [*of, "result"], registry=self._registry)
        self.seconds = Histogram(
            "realqa_request_seconds", "Time of answered requests.", of, buckets=_SECONDS, registry=self._registry
        )
        self.run_items = Histogram(
            "realqa_run_items",
            "Items that went through the model together.",
            of,
            buckets=_SIZES,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "realqa_images_waiting", "Photos and videos without a record yet.", of, registry=self._registry
        )
        self.in_progress = Gauge(
            "realqa_requests_in_progress", "Requests that are read, wait or are worked on.", registry=self._registry
        )

    def watch_waiting(self, endpoint: str, waiting: Callable[[], float]) -> None:
        """Report the number of items without a record, which is read when the metrics are."""
        self._waiting.labels(endpoint).set_function(waiting)

    def count_images(self, endpoint: str, failures: Iterable[bool]) -> None:
        """Count one photo or video for each element: whether it failed."""
        for failed in failures:
            self.images.labels(endpoint, "failed" if failed else "succeeded").inc()

    def text(self) -> bytes:
        """All metrics in the text format."""
        return generate_latest(self._registry)
