"""Data sets as steps get them, and the line with which a folder is refused."""

from pathlib import Path
from typing import Any

import pytest

from realqa_cli.datasets import DatasetSelection
from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.items import dataset_items
from realqa_cli.errors import UsageError

Line = dict[str, Any]


def read(name: str, folder: Path, part: str | None = None, **columns: str) -> Dataset:
    """The data set, or the split `part` of it."""
    return DatasetSelection(name, part, columns).open([str(folder)])


def lines(dataset: Dataset) -> list[Line]:
    """The entries as a step gets them, with their names seen from the folder."""
    found = []
    for item in dataset_items(dataset):
        name = str(Path(item.name).relative_to(dataset.place))
        found.append({item.kind: name, **item.fields} | ({"error": item.error.type} if item.error else {}))
    return found


def refusal(name: str, folder: Path, part: str | None = None, **columns: str) -> str:
    """What the user reads, on one line."""
    with pytest.raises(UsageError) as caught:
        dataset_items(read(name, folder, part, **columns))
    message = str(caught.value)
    assert "\n" not in message
    return message
