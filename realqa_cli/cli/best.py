"""`--top N`: the best records of a run, with their percentiles among all of them."""

import heapq
from collections.abc import Mapping
from typing import Any, Protocol

from realqa_cli.cli.percentiles import with_percentile
from realqa_cli.domain.standing import ScoreRanks

Record = Mapping[str, Any]


class _Sink(Protocol):
    def write(self, record: Record) -> None: ...
    def close(self) -> None: ...


class Best:
    """Passes on the `count` best scores with their percentiles, the earlier of equal ones first. Drops failed items."""

    def __init__(self, count: int, sink: _Sink) -> None:
        self._count, self._sink = count, sink
        self._ranks = ScoreRanks()
        self._heap: list[tuple[float, int, Record]] = []
        self._index = 0

    def write(self, record: Record) -> None:
        """Keep the record while it is among the best."""
        if record.get("error") is not None:
            return
        self._ranks.add(record["score"])
        self._index += 1  # unique, so that records themselves are never compared
        entry = (record["score"], -self._index, record)
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def close(self) -> None:
        """Pass on what was kept."""
        for _, _, record in sorted(self._heap, key=lambda entry: entry[:2], reverse=True):
            self._sink.write(with_percentile(record, self._ranks.percentile(record["score"])))
        self._sink.close()
