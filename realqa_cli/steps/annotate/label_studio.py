"""Label records to Label Studio tasks, and its export back to records: people refine labels (paper, Sec. 3.1).

A task is one photo, identified by its bytes (`realqa_id`). Labels of several models become several predictions,
and the label records are part of the task's data, so that none of their fields is lost. Every photo of an
export gives one record again. The JSON of both is that of Label Studio 1.23, which need not be installed.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from realqa_cli.errors import ItemError, OutputError, UsageError
from realqa_cli.io.jsonl import dump_line, write_atomic
from realqa_cli.media.files import content_id_of
from realqa_cli.steps.annotate.controls import IMAGE, configuration, results
from realqa_cli.steps.annotate.export_records import PhotoKey, collect_annotations

Say = Callable[[str], None]
_EXPORT_AGAIN = "export the project again, as JSON"


def config_path(file: Path) -> Path:
    """The file of the labeling configuration that `write_tasks` writes: tasks.json -> tasks.xml."""
    return file.with_suffix(".xml")


def write_tasks(
    records: Iterable[Mapping[str, Any]],
    file: Path,
    *,
    image_root: Path | None = None,
    image_url: str | None = None,
    overwrite: bool = False,
    say: Say | None = None,
) -> int:
    """Write label records as tasks with predictions, and the configuration next to them. Returns the tasks' number.

    image_root: the folder that Label Studio serves (its LOCAL_FILES_DOCUMENT_ROOT); by default the parent of
    the photos' common folder.  image_url: instead, the address under which a web server has `image_root`.
    say: receives messages for the user, such as what to set in Label Studio.
    Records of the same photo become one task; of two records by one model the later counts. Records of failed
    items and of videos are skipped and counted. Raises `UsageError` for a photo outside `image_root` and for a
    record without photo or attributes, and `OutputError` for a file that is not empty, without `overwrite`.
    """
    say = say or _silent
    config = config_path(file)
    _check_free(file, config, overwrite)
    photos = _photos(records, say)
    if not photos:
        raise UsageError("there are no labels to make tasks of", where=str(file))
    locations = _Locations(photos.values(), image_root, image_url)
    tasks, unshown = [], 0
    for ident, labels in photos.items():
        task, blank = _task(ident, labels, locations)
        tasks.append(dump_line(task))
        unshown += blank
    write_atomic(config, configuration())
    write_atomic(file, "[\n" + ",\n".join(tasks) + "\n]\n")
    if unshown:
        say(f"values outside the vocabulary, left blank in the tasks: {unshown}")
    for line in locations.notes():
        say(line)
    return len(tasks)


def read_export(file: Path, *, say: Say | None = None) -> Iterator[dict[str, Any]]:
    """One label record for each photo of an export, in its order; an error record for an unusable annotation.

    A refined photo has `refined` true, `changed` (the attributes whose value changed), `original` (the
    attributes before), and in `annotator`, in addition to the model's fields, person, created_at, updated_at and
    lead_time (seconds). Of several annotations of a photo the latest by a person counts, and `refinements` has
    the latest of every person. Skipped (cancelled) and empty annotations do not refine; `skipped` names who
    skipped. `other` has the values of other controls. `say` receives messages for the user.
    Raises `UsageError` at once for a file that is not such an export.
    """
    records = collect_annotations(_read_tasks(file), str(file), say or _silent)
    return ({**record, "error": record.get("error")} for record in records)


def _silent(line: str) -> None:
    """Drop the message."""


def _check_free(file: Path, config: Path, overwrite: bool) -> None:
    if config == file:
        raise UsageError("the labeling configuration gets this name", where=str(file), remedy="end it in .json")
    for path in (file, config):
        if path.exists() and not overwrite and path.stat().st_size:
            remedy = "add --overwrite to replace it, or choose another file"
            raise OutputError("the file is not empty", where=str(path), remedy=remedy)


def _photos(records: Iterable[Mapping[str, Any]], say: Say) -> dict[str, PhotoKey]:
    """The labels of each photo by its id, in order; a later label of the same name and model replaces one."""
    photos: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    skipped = {"failed items": 0, "videos": 0, "photos whose name is not UTF-8": 0}
    for record in records:
        reason = _skip_reason(record)
        if reason:
            skipped[reason] += 1
            continue
        name = record.get(IMAGE)
        if not isinstance(name, str) or not isinstance(record.get("attributes"), Mapping):
            what = "a label record needs image and attributes"
            raise UsageError(what, where=str(name), remedy="give records of annotate or self-label")
        labels = photos.setdefault(_ident(record, name), {})
        labels.pop((name, _model(record)), None)
        labels[name, _model(record)] = record
    for reason, count in skipped.items():
        if count:
            say(f"{reason}, without a task: {count}")
    return {ident: list(labels.values()) for ident, labels in photos.items()}


def _skip_reason(record: Mapping[str, Any]) -> str:
    """Why a record gives no task; "" where it does."""
    if record.get("error") is not None:
        return "failed items"
    if record.get("video") is not None:
        return "videos"
    try:
        str(record.get(IMAGE)).encode()
    except UnicodeEncodeError:
        return "photos whose name is not UTF-8"
    return ""


def _model(record: Mapping[str, Any]) -> str:
    annotator = record.get("annotator")
    return str(annotator.get("model", "")) if isinstance(annotator, Mapping) else ""


def _ident(record: Mapping[str, Any], name: str) -> str:
    """The id of the photo's bytes: the record's `content`, or computed from the file."""
    if isinstance(record.get("content"), str):
        return str(record["content"])
    try:
        return content_id_of(Path(name))
    except ItemError as error:
        raise UsageError(f"the label has no content id, and {error.what}", where=name) from error


class _Locations:
    """The addresses of photos in Label Studio: below the folder that it serves, or on a web server."""

    def __init__(self, photos: Iterable[PhotoKey], root: Path | None, url: str | None) -> None:
        names = [str(record[IMAGE]) for labels in photos for record in labels]
        folders = {os.path.dirname(os.path.abspath(name)) for name in names if "://" not in name}
        try:
            self.folder = os.path.commonpath(folders) if folders else None
        except ValueError as error:  # on Windows: several drives
            raise UsageError("the photos have no folder in common", where="photos") from error
        self.root = os.path.abspath(root) if root else os.path.dirname(self.folder or "")
        self.url = url

    def address(self, name: str) -> str:
        """The address of one photo. Raises `UsageError` for one outside the root."""
        if "://" in name:
            return name
        path = os.path.relpath(os.path.abspath(name), self.root)
        if path.split(os.sep)[0] == os.pardir:
            remedy = "name a folder above all photos by --image-root"
            raise UsageError(f"the photo is not below the served folder {self.root}", where=name, remedy=remedy)
        path = quote(path.replace(os.sep, "/"))
        return f"{self.url.rstrip('/')}/{path}" if self.url else f"/data/local-files/?d={path}"

    def notes(self) -> list[str]:
        """How Label Studio must be started to show the photos."""
        if self.folder is None or self.url:
            return []
        storage = self.folder if self.folder != self.root else "each folder of photos in it"
        return [
            "start Label Studio with LOCAL_FILES_SERVING_ENABLED=true and "
            f"LOCAL_FILES_DOCUMENT_ROOT={self.root}, and add a local storage for {storage}"
        ]


def _task(ident: str, labels: PhotoKey, locations: _Locations) -> tuple[dict[str, Any], int]:
    """The task of one photo, and the number of values in its labels that no control can show."""
    by_model = {_model(record): record for record in labels}
    predictions, unshown = [], 0
    for model, record in by_model.items():
        result, blank = results(record["attributes"], f"{ident} {model}")
        unshown += blank
        confidence = record.get("confidence")
        values = list(confidence.values()) if isinstance(confidence, Mapping) else []
        score = sum(values) / len(values) if values else None
        predictions.append({"model_version": model or "unknown", "score": score, "result": result})
    data = {IMAGE: locations.address(str(labels[0][IMAGE])), "realqa_id": ident, "realqa": list(labels)}
    return {"data": data, "predictions": predictions}, unshown


def _read_tasks(file: Path) -> Sequence[Any]:
    """The tasks of an export. Raises `UsageError` for any other file."""
    where = str(file)
    try:
        tasks = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror or error})", where=where) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON ({error})", where=where, remedy=_EXPORT_AGAIN) from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UsageError("not a list of tasks", where=where, remedy=_EXPORT_AGAIN)
    if not tasks:
        raise UsageError("there are no tasks in it", where=where, remedy="export the project when labels are in it")
    for number, task in enumerate(tasks, 1):
        name = f"{where}: task {task.get('id', number)}"
        if "annotation_id" in task and "data" not in task:
            raise UsageError("this is JSON-MIN, which lacks the original labels", where=where, remedy=_EXPORT_AGAIN)
        if not isinstance(task.get("data"), dict):
            raise UsageError("the task has no data", where=name, remedy=_EXPORT_AGAIN)
        if not isinstance(task.get("annotations"), list):
            what = "no annotations: these are tasks for import, or a damaged export"
            raise UsageError(what, where=name, remedy=_EXPORT_AGAIN)
    return tasks
