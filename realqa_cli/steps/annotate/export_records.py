"""From the tasks of an export to one record per photo: which annotation counts, and what it changed.

Tasks of the same photo (imported again, or into two projects) are merged. Of several annotations the latest by a
person counts, and the others are kept in the record.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.errors import RecordError
from realqa_cli.steps.annotate.controls import IMAGE
from realqa_cli.steps.annotate.refinements import Fields, Refinement, changes, read_annotations

PhotoKey = Sequence[Fields]
"""The label records of one photo: by several models, or under several names."""


def collect_annotations(tasks: Sequence[Fields], name: str, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The records of `label_studio.read_export`. `name` is that of the file, for messages."""
    photos: dict[str, list[Fields]] = {}
    for number, task in enumerate(tasks, 1):
        ident = task["data"].get("realqa_id")
        known = isinstance(ident, str) and bool(ident)
        photos.setdefault(str(ident) if known else f"task {task.get('id', number)}", []).append(task)
    repeated = len(tasks) - len(photos)
    if repeated:
        say(f"{name}: tasks of photos that have several: {repeated}; the latest annotation of a photo counts")
    counts = {"refined": 0, "more": 0, "skipped": 0, "untouched": 0}
    for ident, same in photos.items():
        yield from _records(ident, same, name, counts)
    for key, words in (
        ("more", "photos that several people refined; the latest counts, `refinements` has all"),
        ("skipped", "photos that were skipped or left empty, with the label that they had"),
        ("untouched", "photos without an annotation, with the label that they had"),
    ):
        if counts[key]:
            say(f"{name}: {words}: {counts[key]}")


def _records(ident: str, tasks: list[Fields], name: str, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    """One record, or an error record, for each name of a photo."""
    labels = _labels(tasks)
    names = list(dict.fromkeys(str(label[IMAGE]) for label in labels))
    try:
        if not isinstance(tasks[0]["data"].get("realqa_id"), str):
            raise RecordError(
                "the task has no realqa_id, so it was not made by realqa",
                type="record",
                where=f"{name}: {ident}",
            )
        refinements, skipped = read_annotations(tasks, f"{name}: {ident}")
    except RecordError as error:
        yield from ({IMAGE: image, "error": error.as_field()} for image in names)
        return
    key = "refined" if refinements else "skipped" if skipped else "untouched"
    counts[key] += 1
    counts["more"] += len(refinements) > 1
    for image in names:
        named = [label for label in labels if label[IMAGE] == image]
        record = _refined(named, refinements) if refinements else _untouched(named[-1])
        yield record | {"content": ident} | ({"skipped": skipped} if skipped else {})


def _labels(tasks: list[Fields]) -> list[Fields]:
    """The label records in the tasks' data; for a task without them, a record with the photo alone."""
    found: dict[tuple[str, str], Fields] = {}
    for task in tasks:
        carried = task["data"].get("realqa")
        labels = [
            label
            for label in (carried if isinstance(carried, list) else [])
            if isinstance(label, Mapping) and isinstance(label.get(IMAGE), str)
        ]
        for label in labels or [{IMAGE: _image_of(task)}]:
            if isinstance(label.get("attributes", {}), Mapping):
                found[label[IMAGE], str(_annotator(label).get("model", ""))] = label
    return list(found.values())


def _image_of(task: Fields) -> str:
    """The photo's path below the served folder, or its address."""
    address = str(task["data"].get(IMAGE, f"task {task.get('id', '?')}"))
    path = parse_qs(urlsplit(address).query).get("d") if "/local-files/" in address else None
    return path[0] if path else address


def _annotator(label: Fields) -> Fields:
    annotator = label.get("annotator")
    return annotator if isinstance(annotator, Mapping) else {}


def _untouched(label: Fields) -> dict[str, Any]:
    return {IMAGE: label[IMAGE], "attributes": {}, "annotator": {}, "refined": False} | dict(label)


def _refined(labels: list[Fields], refinements: list[Refinement]) -> dict[str, Any]:
    """The record of a refined photo, based on the label that the person started from."""
    last = refinements[-1]
    base = next((a for a in labels if _annotator(a).get("model") == last.model), labels[-1])
    others = [replace(one, before=_before(one, labels)) for one in refinements]
    before = others[-1].before or {}
    changed = changes(before, last.attributes)
    original = base.get("attributes", {})
    kept = {key: value for key, value in original.items() if key not in ATTRIBUTES}
    record: dict[str, Any] = dict(base) | {
        "attributes": kept | _verbatim(last.attributes, original),
        "annotator": {"model": last.model, **_annotator(base)} | last.fields(),
        "refined": True,
        "changed": changed,
        "original": _verbatim(before, original),
    }
    if isinstance(base.get("confidence"), Mapping):  # it does not apply to what a person corrected
        record["confidence"] = {k: v for k, v in base["confidence"].items() if k not in changed}
    if last.other:
        record["other"] = dict(last.other)
    if len(refinements) > 1:
        record["refinements"] = [_as_line(one) for one in others]
    return record


def _verbatim(attributes: Fields, original: Fields) -> dict[str, Any]:
    """The attributes, with the texts of the original label where they are equal: its line breaks are kept."""
    differ = changes(original, attributes)
    return {key: value if key in differ else original[key] for key, value in attributes.items()}


def _before(one: Refinement, labels: list[Fields]) -> Fields:
    """The attributes that the person started from: the prediction's, or else those of the label."""
    if one.before is not None:
        return one.before
    matching = [a for a in labels if one.model in (None, _annotator(a).get("model"))]
    return dict((matching or labels)[-1].get("attributes", {}))


def _as_line(one: Refinement) -> dict[str, Any]:
    before = one.before or {}
    changed = changes(before, one.attributes)
    line = {"attributes": dict(one.attributes), "original": dict(before), "changed": changed}
    return one.fields() | line
