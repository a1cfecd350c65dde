"""The entries of a data set as the items of a run."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.errors import MediaError
from realqa_cli.io.sources import Item

TRUTH_FIELD = "labels"
"""The field of a record that holds the true attributes; `attributes` holds those of the model."""


def dataset_items(dataset: Dataset, *, limit: int | None = None) -> Iterator[Item]:
    """The entries in order, at most `limit`; a missing file is an item with an error.

    Raises `UsageError` at once where none of the photos exists.
    """
    dataset.require_files()
    return islice((_item(index, entry) for index, entry in enumerate(dataset.entries)), limit)


def _item(index: int, entry: DatasetEntry) -> Item:
    fields = dict(entry.fields)
    if entry.attributes:
        fields[TRUTH_FIELD] = dict(entry.attributes)
    if entry.present:
        return Item(index, entry.name, Path(entry.name), fields, entry.kind)
    remedy = f"{entry.where} names it"
    error = MediaError("no such file", type="missing", where=entry.name, remedy=remedy)
    return Item(index, entry.name, None, fields, entry.kind, error)
