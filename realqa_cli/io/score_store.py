"""The scores behind a ranking or comparisons: kept in memory, and durably next to the output, `FILE.scores.jsonl`.

The results need several scores each; the scores are written as they come, and a later run continues after them.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from realqa_cli.errors import ItemError
from realqa_cli.io.appender import Appender
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.run_files import read_runs, write_runs

Scored = TypeVar("Scored")


def scores_file(output: Path) -> Path:
    """The file of scores next to an output."""
    return output.with_name(f"{output.name}.scores.jsonl")


def score_key(record: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What makes two score records the same work; None for failed items, which are tried again."""
    if record.get("error") is not None:
        return None
    name = str(record.get("image") or record.get("video"))
    return name, str(record.get("content")), str(record.get("run"))


class ScoreStore(Generic[Scored]):
    """Takes score records, and says which items have one from an earlier run with the same settings.

    scored: what `read` makes of the records of this run's items.
    failed: the records and errors of the others, in order.
    """

    def __init__(self, file: Appender | None, manifest: Manifest, read: Callable[[Mapping[str, Any]], Scored]) -> None:
        """`file` is the open file of scores, if there is one. Raises OutputError."""
        self.scored: list[Scored] = []
        self.failed: list[tuple[Mapping[str, Any], ItemError]] = []
        self.reused = 0
        self._file, self._of = file, read
        self._earlier: dict[tuple[str, str], Scored] = {}
        if file is not None:
            self._read(file.path, manifest, keep=file.resume)

    def done(self, name: str, content: str) -> bool:
        """Whether there is a score from an earlier run; if so, it is taken."""
        earlier = self._earlier.get((name, content))
        if earlier is None:
            return False
        self.scored.append(earlier)
        self.reused += 1
        return True

    def take(self, record: Mapping[str, Any]) -> bool:
        """Keep a record. False for that of a failed item."""
        if self._file is not None:
            self._file.append(record)
        error = record.get("error")
        if error is not None:
            failure = ItemError(str(error["message"]), type=str(error["type"]))
            self.failed.append((record, failure))
            return False
        self.scored.append(self._of(record))
        return True

    def _read(self, path: Path, manifest: Manifest, *, keep: bool) -> None:
        ours = json.loads(json.dumps(manifest.as_json()))  # as read from a file
        runs = read_runs(path) if keep else {}
        same = {run for run, other in runs.items() if other.get("settings") == ours["settings"]} | {manifest.run}
        write_runs(path, runs | {manifest.run: ours})
        for _, record in read_lines(path):
            key = score_key(record) if isinstance(record, dict) else None
            if key is not None and key[2] in same and isinstance(record, dict):
                self._earlier[key[:2]] = self._of(record)
