"""What Label Studio 1.23 exports after people have worked on tasks: written here from a hand-made file.

`refinements.json` says in words which attributes who changed on which photo. Every other value of these
photos is as the model predicted it, and the other tasks have no annotation: nobody has opened them yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

Task = dict[str, Any]

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
PROJECT = 1


def write_export(tasks: Path, refinements: Path, export: Path) -> None:
    """tasks: of `realqa annotate --to label-studio`.  export: what `--from label-studio` reads."""
    exported = [_exported(number, task) for number, task in enumerate(json.loads(tasks.read_text("utf-8")), 1)]
    by_name = {Path(task["data"]["realqa"][0]["image"]).name: task for task in exported}
    for number, refinement in enumerate(json.loads(refinements.read_text("utf-8")), 1):
        task = by_name[refinement["image"]]
        task["annotations"].append(_annotation(number, task, refinement))
        task["total_annotations"] += 1
    for task in exported:  # the export has the predictions' ids only; an annotation holds the one it began with
        task["predictions"] = [prediction["id"] for prediction in task["predictions"]]
    export.write_text(json.dumps(exported, indent=1), encoding="utf-8")


def _exported(number: int, task: Task) -> Task:
    """A task after its import."""
    fields = {"task": number, "project": PROJECT, "created_at": _time(0), "updated_at": _time(0)}
    predictions = [
        {"id": 10 * number + place, **fields, **prediction} for place, prediction in enumerate(task["predictions"])
    ]
    return {
        "id": number,
        "inner_id": number,
        "project": PROJECT,
        "data": task["data"],
        "meta": {},
        "annotations": [],
        "drafts": [],
        "predictions": predictions,
        "created_at": _time(0),
        "updated_at": _time(0),
        "updated_by": None,
        "allow_skip": True,
        "total_annotations": 0,
        "cancelled_annotations": 0,
        "total_predictions": len(predictions),
        "comment_count": 0,
    }


def _annotation(number: int, task: Task, refinement: Mapping[str, Any]) -> Task:
    """A person's annotation: the prediction's result, with other values where the person changed them."""
    prediction = task["predictions"][0]
    changed = _by_control(refinement["changed"])
    result = deepcopy(prediction["result"])
    for item in result:
        if item["from_name"] in changed:
            (key,) = item["value"]
            value = changed.pop(item["from_name"])
            item["value"][key] = value if key == "rating" else [value]
    if changed:
        raise SystemExit(f"{refinement['image']}: no control in the task for {', '.join(changed)}")
    return {
        "id": number,
        "completed_by": refinement["person"],
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": _time(number),
        "updated_at": _time(number),
        "draft_created_at": None,
        "lead_time": refinement["seconds"],
        "prediction": deepcopy(prediction),
        "result_count": len(result),
        "unique_id": str(UUID(int=number)),
        "parent_prediction": prediction["id"],
        "parent_annotation": None,
        "task": task["id"],
        "project": PROJECT,
    }


def _by_control(changed: Mapping[str, Any]) -> dict[str, Any]:
    """The values by the name of their control: a score has the attribute's own, a text its part after it."""
    values: dict[str, Any] = {}
    for key, value in changed.items():
        for part, one in value.items() if isinstance(value, Mapping) else [("", value)]:
            values[key if part in ("", "score") else f"{key}_{part}"] = one
    return values


def _time(minutes: int) -> str:
    return (START + timedelta(minutes=minutes)).isoformat(timespec="microseconds").replace("+00:00", "Z")
