"""The grid of `realqa leaderboard`: models and data sets, where the records of each cell are, and what is complete."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from realqa_cli.cli.output import OutputOptions
from realqa_cli.datasets import DatasetSelection
from realqa_cli.datasets.items import dataset_items
from realqa_cli.errors import UsageError
from realqa_cli.io.jsonl import write_atomic
from realqa_cli.io.manifest import folder_digest
from realqa_cli.io.sources import Item
from realqa_cli.models import ModelSource
from realqa_cli.steps.score.score import ScoreSettings


@dataclass(frozen=True)
class GridDataset:
    """A column of the grid. label: its name in tables and files."""

    label: str
    selection: DatasetSelection
    path: str

    @classmethod
    def parse(cls, text: str, split: str | None) -> "GridDataset":
        """From NAME:PATH. Raises UsageError."""
        name, colon, path = text.partition(":")
        if not colon or not path:
            raise UsageError(
                f"{text!r} is not like koniq10k:FOLDER", where="--datasets", remedy="give NAME:PATH for each data set"
            )
        selection = DatasetSelection(name, split)
        selection.check()
        return cls(Path(path).stem if name == "csv" else name, selection, path)

    def items(self, limit: int | None) -> Iterator[Item]:
        """The photos, at most `limit`. Raises UsageError for a folder without the data set."""
        return dataset_items(self.selection.open([self.path]), limit=limit)


def read_datasets(texts: Sequence[str], split: str | None) -> list[GridDataset]:
    """The columns of the grid; of several with one name, each is named by its path, too. Raises UsageError."""
    found = [GridDataset.parse(text, split) for text in texts]
    names = [each.label for each in found]
    return [
        each if names.count(each.label) == 1 else replace(each, label=f"{each.label}-{Path(each.path).stem}")
        for each in found
    ]


@dataclass(frozen=True)
class GridCell:
    """One model on one data set. repeat: how many photos are scored twice."""

    folder: Path
    scoring: ScoreSettings
    dataset: GridDataset
    limit: int | None
    repeat: int

    @property
    def scores(self) -> Path:
        """The file of score records."""
        return self._place.with_name(f"{self._place.name}.jsonl")

    @property
    def again(self) -> Path:
        """The file of the records of photos that are scored for the second time."""
        return self._place.with_name(f"{self._place.name}.again.jsonl")

    @property
    def _place(self) -> Path:
        return self.folder / file_name_of(self.scoring.model) / file_name_of(self.dataset.label)

    def items(self, *, again: bool) -> list[Item]:
        """The photos, or those that are scored for the second time."""
        items = self.dataset.items(self.limit)
        return [*(islice(items, self.repeat) if again else items)]

    def output(self, *, again: bool, resume: bool, overwrite: bool) -> OutputOptions:
        """Where the records go."""
        file = self.again if again else self.scores
        file.parent.mkdir(parents=True, exist_ok=True)
        return OutputOptions(file, resume=resume, overwrite=overwrite, limit=self.limit)

    def is_complete(self, source: ModelSource) -> bool:
        """Whether an earlier run scored all photos of the cell with these settings and these weights."""
        try:
            content = json.loads(self._marker.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(content.get("cell") == self._settings(source))

    def mark_complete(self, source: ModelSource, runs: Sequence[str]) -> None:
        """Remember that all photos of the cell have scores, by the runs with these ids. Raises OutputError."""
        content = {"cell": self._settings(source), "runs": [*runs]}
        write_atomic(self._marker, json.dumps(content, indent=1) + "\n")

    def unmark(self) -> None:
        """Forget it, before records are replaced."""
        self._marker.unlink(missing_ok=True)

    @property
    def _marker(self) -> Path:
        return self._place.with_name(f"{self._place.name}.complete.json")

    def _settings(self, source: ModelSource) -> Any:
        """What makes two cells the same work, as JSON gives it back."""
        settings = {
            "scoring": {key: value for key, value in asdict(self.scoring).items() if key != "server"},
            "weights": folder_digest(source.base),
            "adapter": folder_digest(source.adapter) if source.adapter else None,
            "dataset": [self.dataset.label, os.path.abspath(self.dataset.path), asdict(self.dataset.selection)],
            "limit": self.limit,
            "repeat": self.repeat,
        }
        return json.loads(json.dumps(settings, default=str))


def file_name_of(name: str) -> str:
    """A model or data set as the name of a file: slashes become `--`, what no file name should have becomes `-`."""
    return re.sub(r"[^\w.-]", "-", name.strip("/\\").replace("\\", "/").replace("/", "--"))
