"""What `realqa score` says at its end: the best and the worst photos, the speed, the files, the next command."""

import heapq
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realqa_cli.domain.wording import plural
from realqa_cli.io.run_files import manifest_file

SHOWN = 3
"""Photos at each end."""

_Entry = tuple[float, int, str]


class ScoreSummary:
    """Takes the records of a run; `lines` are its last lines on stderr."""

    def __init__(self) -> None:
        self._best: list[_Entry] = []
        self._worst: list[_Entry] = []
        self._count = 0
        self._has_mos = False

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a record that may be among the best or the worst."""
        score = record.get("score")
        if score is None or record.get("error") is not None:
            return
        self._count += 1
        self._has_mos = self._has_mos or record.get("mos") is not None
        name = str(record.get("image") or record.get("video"))
        for heap, sign in ((self._best, 1), (self._worst, -1)):
            entry = (sign * score, -self._count, name)
            heapq.heappush(heap, entry) if len(heap) < 2 * SHOWN else heapq.heappushpop(heap, entry)

    def lines(self, output: Path | None, report: Path | None, done: int, seconds: float) -> list[str]:
        """The lines. `done` items were scored in this run, in so many seconds without loading the model."""
        lines = []
        if done and seconds > 0:
            rate = f"{done / seconds:.3g}"
            lines.append(f"speed: {rate} {'item' if rate == '1' else 'items'} a second, loading not counted")
        if self._count > 1:
            best = [(score, name) for score, _, name in sorted(self._best, reverse=True)][:SHOWN]
            room = min(SHOWN, self._count - len(best))
            worst = [(-score, name) for score, _, name in sorted(self._worst, reverse=True)][:room]
            lines.append(f"best: {_listed(best)}")
            lines += [f"worst: {_listed(worst)}"] if worst else []
        if output is not None and self._count:
            lines.append(f"files: {plural(self._count, 'score')} in {output}, settings in {manifest_file(output)}")
        if report is not None:
            lines.append(f"report: {report}")
        return [*lines, *self._next(output)]

    def _next(self, output: Path | None) -> list[str]:
        if output is None or self._count < 2:
            return []
        verb = "eval" if self._has_mos else "rank"
        return [f"next: realqa {verb} {shlex.quote(str(output))}"]


def _listed(entries: list[tuple[float, str]]) -> str:
    return ", ".join(f"{name} {score:.2f}" for score, name in entries)
