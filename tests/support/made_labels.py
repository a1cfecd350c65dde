"""Label records for tests: what a model says of photos, and Label Studio's export of what people made of it."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

SAID: dict[str, Any] = {
    "composition": {"score": 7, "reason": "Lines lead to the bed."},
    "eye_catching": {"score": 6, "reason": "Warm light, \"cosy\" & <calm>."},
    "subject_background": {"subject": "bed", "background": "hotel room"},
    "subject_integrity": "fully complete",
    "subject_clutter": "uncluttered",
    "background_clutter": "moderately cluttered",
    "level_shot": "yes",
    "image_clarity": "very clear",
    "exposure": "properly exposed",
    "saturation": "medium",
}  # fmt: skip


def content(number: int) -> str:
    return f"sha256:{number:064x}"


def label(number: int, *, model: str = "gpt-4o", said: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "image": f"photos/{number}.jpg",
        "attributes": deepcopy(dict(SAID if said is None else said)),
        "annotator": {"model": model, "prompt": "ab12"},
        "refined": False,
        "cost_usd": 0.0031,
        "content": content(number),
    } | more


def export_of(tasks: Path) -> list[dict[str, Any]]:
    """What Label Studio 1.23 exports after an import of these tasks, when nobody has labelled."""
    fields = {
        "drafts": [],
        "meta": {},
        "allow_skip": True,
        "comment_count": 0,
        "project": 1,
        "updated_by": None,
    }
    return [
        {"id": number, "annotations": [], "data": task["data"], "predictions": [number], **fields}
        | {"_predictions": task["predictions"]}  # kept here for `annotate`; `write_export` takes it out
        for number, task in enumerate(json.loads(tasks.read_text(encoding="utf-8")), 1)
    ]


def annotate(
    task: dict[str, Any],
    *,
    person: Any = 1,
    time: str = "2026-11-20T10:00:00.000001Z",
    started_from: int | None = 0,
    cancelled: bool = False,
    empty: bool = False,
    **changed: Any,
) -> None:
    """Adds an annotation, as the export has it: the prediction's controls, some with another value.

    started_from: which prediction the person saw; None for none.  changed: by control, as
    image_clarity="very blurry", composition=4 or composition_reason="..."; None clears the control.
    """
    prediction = task["_predictions"][started_from or 0]
    result = [] if empty else deepcopy(prediction["result"])
    for item in result:
        if changed.get(item["from_name"]) is not None:
            (key,) = item["value"]
            value = changed[item["from_name"]]
            item["value"][key] = value if key == "rating" else [value]
    cleared = {name for name, value in changed.items() if value is None}
    number = 100 * task["id"] + len(task["annotations"])
    task["annotations"].append(
        {
            "id": number,
            "completed_by": person,
            "result": [item for item in result if item["from_name"] not in cleared],
            "was_cancelled": cancelled,
            "ground_truth": False,
            "created_at": time,
            "updated_at": time,
            "draft_created_at": None,
            "lead_time": None if cancelled else 12.5,
            "prediction": {} if started_from is None else {"id": task["id"], **deepcopy(prediction)},
            "result_count": len(result),
            "unique_id": f"80363d71-e60e-43b2-b653-{number:012d}",
            "parent_prediction": None if started_from is None else task["id"],
            "parent_annotation": None,
            "task": task["id"],
            "project": 1,
        }
    )


def write_export(tasks: list[dict[str, Any]], file: Path) -> Path:
    plain = [{key: value for key, value in task.items() if key != "_predictions"} for task in tasks]
    file.write_text(json.dumps(plain), encoding="utf-8")
    return file
