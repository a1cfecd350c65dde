"""Labels to Label Studio's tasks, and its export back to labels: people refine what a model said (Sec. 3.1).

A task is one photo, known by its bytes (`realqa_id`); labels of several models are several predictions, and
the label records travel with the task, so that nothing of them is lost on the way. Of an export, every photo
gives one record again. The JSON of both is Label Studio's (1.23); its program is not needed here.
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
from realqa_cli.steps.annotate.gathering import PhotoKey, collect_annotations

Say = Callable[[str], None]
_AGAIN = "export the project again, as JSON"


def config_path(file: Path) -> Path:
    """Where `write_tasks` puts the labeling configuration: tasks.json -> tasks.xml."""
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
    """Writes label records as tasks with predictions, and the configuration beside them; how many tasks.

    image_root: the folder that Label Studio serves (its LOCAL_FILES_DOCUMENT_ROOT); by default the one above
    the photos' common folder.  image_url: instead, the address under which a web server has `image_root`.
    say: takes lines for the person: what to set in Label Studio, what was passed by.
    Records of the same photo become one task; of two by one model the later counts. Records of failed items
    and of videos are passed by. Raises UsageError for a photo outside `image_root`, a record without photo or
    attributes, and (OutputError) a file that holds something, without `overwrite`.
    """
    say = say or _silent
    config = config_path(file)
    _check_free(file, config, overwrite)
    photos = _photos(records, say)
    if not photos:
        raise UsageError("there is no label to make a task of", where=str(file))
    place = _Place(photos.values(), image_root, image_url)
    tasks, lost = [], 0
    for ident, labels in photos.items():
        task, blank = _task(ident, labels, place)
        tasks.append(dump_line(task))
        lost += blank
    write_atomic(config, configuration())
    write_atomic(file, "[\n" + ",\n".join(tasks) + "\n]\n")
    if lost:
        say(f"values outside the vocabulary, left blank for the person: {lost}")
    for line in place.notes():
        say(line)
    return len(tasks)


def read_export(file: Path, *, say: Say | None = None) -> Iterator[dict[str, Any]]:
    """One label record for each photo of an export, in its order; an error record where a label is unusable.

    A photo that people went over has `refined` true, `changed` (the attributes whose value is another one),
    `original` (the attributes before), and in `annotator` beside the model's fields person, created_at,
    updated_at and lead_time (seconds). Of several annotations, in one task or in tasks of the same photo, the
    latest by a person counts, and `refinements` has the latest of every person. Skipped (cancelled) and empty
    annotations refine nothing; `skipped` names who skipped. `other` has the values of foreign controls.
    Raises UsageError at once for a file that is no such export. `say` takes lines for the person.
    """
    return collect_annotations(_read_tasks(file), str(file), say or _silent)


def _silent(line: str) -> None:
    """Nobody listens."""


def _check_free(file: Path, config: Path, overwrite: bool) -> None:
    if config == file:
        raise UsageError("is where the labeling configuration goes", where=str(file), remedy="use .json")
    for path in (file, config):
        if path.exists() and not overwrite and path.stat().st_size:
            remedy = "add --overwrite to replace it, or choose another"
            raise OutputError("the file is not empty", where=str(path), remedy=remedy)


def _photos(records: Iterable[Mapping[str, Any]], say: Say) -> dict[str, PhotoKey]:
    """The labels of each photo by its id, in order; a later label of the same name and model replaces one."""
    photos: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}
    passed = {"failed items": 0, "videos": 0, "photos whose name is no UTF-8": 0}
    for record in records:
        reason = _not_for_people(record)
        if reason:
            passed[reason] += 1
            continue
        name = record.get(IMAGE)
        if not isinstance(name, str) or not isinstance(record.get("attributes"), Mapping):
            what = "a label record needs image and attributes"
            raise UsageError(what, where=str(name), remedy="give records of annotate or self-label")
        labels = photos.setdefault(_ident(record, name), {})
        labels.pop((name, _model(record)), None)
        labels[name, _model(record)] = record
    for reason, count in passed.items():
        if count:
            say(f"{reason}, without a task: {count}")
    return {ident: list(labels.values()) for ident, labels in photos.items()}


def _not_for_people(record: Mapping[str, Any]) -> str:
    """Why a record gives no task, "" where it does."""
    if record.get("error") is not None:
        return "failed items"
    if record.get("video") is not None:
        return "videos"
    try:
        str(record.get(IMAGE)).encode()
    except UnicodeEncodeError:
        return "photos whose name is no UTF-8"
    return ""


def _model(record: Mapping[str, Any]) -> str:
    annotator = record.get("annotator")
    return str(annotator.get("model", "")) if isinstance(annotator, Mapping) else ""


def _ident(record: Mapping[str, Any], name: str) -> str:
    """The record's `content`; of a record without one, what the photo's bytes give."""
    if isinstance(record.get("content"), str):
        return str(record["content"])
    try:
        return content_id_of(Path(name))
    except ItemError as error:
        raise UsageError(f"the label has no content id, and {error.what}", where=name) from error


class _Place:
    """Where Label Studio finds the photos: below the folder that it serves, or on a web server."""

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
        """Of one photo. Raises UsageError for one outside the root."""
        if "://" in name:
            return name
        path = os.path.relpath(os.path.abspath(name), self.root)
        if path.split(os.sep)[0] == os.pardir:
            remedy = "name a folder above all photos by --image-root"
            raise UsageError(f"is not below the served folder {self.root}", where=name, remedy=remedy)
        path = quote(path.replace(os.sep, "/"))
        return f"{self.url.rstrip('/')}/{path}" if self.url else f"/data/local-files/?d={path}"

    def notes(self) -> list[str]:
        """What Label Studio must be told, so that it shows the photos."""
        if self.folder is None or self.url:
            return []
        storage = self.folder if self.folder != self.root else "each folder of photos in it"
        return [
            "start Label Studio with LOCAL_FILES_SERVING_ENABLED=true and "
            f"LOCAL_FILES_DOCUMENT_ROOT={self.root}, and add a local storage for {storage}"
        ]


def _task(ident: str, labels: PhotoKey, place: _Place) -> tuple[dict[str, Any], int]:
    """The task of one photo, and how many values of its labels no control can show."""
    by_model = {_model(record): record for record in labels}
    predictions, lost = [], 0
    for model, record in by_model.items():
        result, blank = results(record["attributes"], f"{ident} {model}")
        lost += blank
        sure = record.get("confidence")
        score = sum(sure.values()) / len(sure) if isinstance(sure, Mapping) and sure else None
        predictions.append({"model_version": model or "unknown", "score": score, "result": result})
    data = {IMAGE: place.address(str(labels[0][IMAGE])), "realqa_id": ident, "realqa": list(labels)}
    return {"data": data, "predictions": predictions}, lost


def _read_tasks(file: Path) -> Sequence[Any]:
    """The tasks of an export. Raises UsageError for whatever else the file is."""
    where = str(file)
    try:
        tasks = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror or error})", where=where) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is no JSON ({error})", where=where, remedy=_AGAIN) from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UsageError("is no list of tasks", where=where, remedy=_AGAIN)
    if not tasks:
        raise UsageError("holds no task", where=where, remedy="export the project when labels are in it")
    for number, task in enumerate(tasks, 1):
        called = f"{where}: task {task.get('id', number)}"
        if "annotation_id" in task and "data" not in task:
            raise UsageError("this is JSON-MIN, which lacks the original labels", where=where, remedy=_AGAIN)
        if not isinstance(task.get("data"), dict):
            raise UsageError("has no data", where=called, remedy=_AGAIN)
        if not isinstance(task.get("annotations"), list):
            what = "has no annotations: these are tasks for import, or a damaged export"
            raise UsageError(what, where=called, remedy=_AGAIN)
    return tasks
