"""Labels from a file or a data set, for joins by image."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from realqa_cli.datasets import DatasetSelection
from realqa_cli.datasets.contents import DatasetEntry
from realqa_cli.io.labels import LabelIndex, LabelRow, read_label_rows


def dataset_rows(entries: Iterable[DatasetEntry]) -> Iterator[LabelRow]:
    """The entries of a data set as rows of a file of labels, whether or not the photos exist."""
    for entry in entries:
        record: dict[str, Any] = {entry.kind: entry.name, **entry.fields}
        if entry.attributes:
            record["attributes"] = entry.attributes
        yield LabelRow(entry.where, entry.name, entry.kind, record, also=entry.also)


def read_labels(
    source: str, selection: DatasetSelection | None = None, say: Callable[[str], None] | None = None
) -> LabelIndex:
    """The rows of a file, or of the folder of a data set, by photo. Raises `UsageError`.

    `say` gets the notes of the data set.
    """
    if selection is None:
        return LabelIndex(read_label_rows(source), name=source)
    dataset = selection.open([source])
    if say is not None:
        for note in dataset.notes:
            say(note)
    return LabelIndex(dataset_rows(dataset.entries), name=source, elsewhere=dataset_rows(dataset.others))
