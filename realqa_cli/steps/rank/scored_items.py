"""Items that have a score already, as in the output of `realqa score`: their photos are measured, not scored."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.inference.inputs import OpenOptions, identify_item
from realqa_cli.io.sources import Item
from realqa_cli.media.decode import DecodeOptions

_MOST_THREADS = 8


def are_scored(items: Sequence[Item]) -> bool:
    """Whether the items have scores. Raises UsageError if only some of them do, or on different scales."""
    usable = [item for item in items if item.error is None]
    scored = [item for item in usable if _is_scored(item)]
    if scored and len(scored) < len(usable):
        missing = next(item for item in usable if not _is_scored(item))
        what = f"{len(scored)} of {len(usable)} items have a score and the others have none, such as {missing.name}"
        raise UsageError(what, remedy="rank photos or score records, not both")
    scales = {str(item.fields["scale"]): item.name for item in scored if item.fields.get("scale") is not None}
    if len(scales) > 1:
        (first, name), (other, other_name) = list(scales.items())[:2]
        what = f"the scores are on different scales: {first} ({name}) and {other} ({other_name})"
        raise UsageError(what, remedy="rank the scores of one model")
    return bool(scored)


def measured_records(items: Sequence[Item], decode: DecodeOptions) -> Iterator[tuple[Item, dict[str, Any] | ItemError]]:
    """Each item with its score record, which gets `measured` if it lacks it, or with its error, in order."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    yield from in_order(partial(_measured, options=OpenOptions(decode=decode, measured=True)), items, threads)


def _measured(item: Item, options: OpenOptions) -> tuple[Item, dict[str, Any] | ItemError]:
    if item.error is not None:
        return item, item.error
    record = {item.kind: item.name, **item.fields}
    if item.kind == "video" or isinstance(record.get("measured"), Mapping):
        return item, record
    opened = identify_item(item, options)
    if opened.content is not None and record.get("content") not in (None, opened.content):
        what, remedy = "the file has changed since it was scored", "score it again"
        return item, RecordError(what, type="record", where=item.name, remedy=remedy)
    opened = opened.opened()
    if opened.error is not None:
        return item, opened.error
    return item, record | {"measured": opened.measured}


def _is_scored(item: Item) -> bool:
    return item.fields.get("score") is not None
