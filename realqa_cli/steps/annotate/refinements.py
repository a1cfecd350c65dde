"""Annotations of Label Studio: who made them and when, the attributes before and after, what changed.

Which of several annotations of a photo counts is decided in `export_records`.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.errors import RecordError
from realqa_cli.steps.annotate.controls import CONTROLS, read_result

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Refinement:
    """One submitted annotation.

    person: Label Studio's id of the annotator, None where a program made it.  created, updated: ISO 8601, as
    exported.  before: the attributes that the person started from, None where the export lacks them.  model:
    that made them.  other: values of controls that are not ours.
    """

    ident: Any
    person: int | str | None
    created: str | None
    updated: str | None
    seconds: float | None
    attributes: Fields
    other: Fields
    before: Fields | None
    model: str | None

    @property
    def rank(self) -> tuple[bool, datetime, str]:
        """The order of annotations: those of people last, then by time."""
        return self.person is not None, moment(self.updated), str(self.ident).zfill(20)

    def fields(self) -> dict[str, Any]:
        """Person and times, as fields of `annotator`."""
        return {
            "person": self.person,
            "created_at": self.created,
            "updated_at": self.updated,
            "lead_time": self.seconds,
        }


def read_annotations(tasks: list[Fields], where: str) -> tuple[list[Refinement], list[Any]]:
    """(the latest of each person, the one that counts last; who skipped). Raises `RecordError`."""
    found: dict[Any, Refinement] = {}
    skipped: dict[Any, None] = {}
    for task in tasks:
        for annotation in task["annotations"]:
            if not isinstance(annotation, Mapping) or not isinstance(annotation.get("result"), list):
                raise RecordError("an annotation has no result", type="record", where=where)
            if annotation.get("was_cancelled") or not annotation["result"]:
                skipped[_person(annotation)] = None
                continue
            try:
                one = _refinement(annotation, task)
            except (ValueError, AttributeError) as error:
                raise RecordError(str(error), type="record", where=where) from error
            if one.person not in found or found[one.person].rank < one.rank:
                found[one.person] = one
    return sorted(found.values(), key=lambda one: one.rank), [who for who in skipped if who not in found]


def _refinement(annotation: Fields, task: Fields) -> Refinement:
    attributes, other = read_result(annotation["result"])
    prediction = _prediction(annotation, task)
    before = read_result(prediction["result"])[0] if prediction else None
    created, updated = (_text(annotation.get(key)) for key in ("created_at", "updated_at"))
    seconds = annotation.get("lead_time")
    return Refinement(
        annotation.get("id"),
        _person(annotation),
        created or updated,
        updated or created,
        seconds if isinstance(seconds, int | float) else None,
        attributes,
        other,
        before,
        _text(prediction.get("model_version")) if prediction else None,
    )


def _prediction(annotation: Fields, task: Fields) -> Fields | None:
    """The prediction that the person started from: the export's copy, or the one that it names."""
    kept = annotation.get("prediction")
    if isinstance(kept, Mapping) and isinstance(kept.get("result"), list) and kept["result"]:
        return kept
    named = annotation.get("parent_prediction") or kept
    for prediction in task.get("predictions") or ():
        if isinstance(prediction, Mapping) and named and prediction.get("id") == named:
            return prediction if isinstance(prediction.get("result"), list) else None
    return None


def _person(annotation: Fields) -> int | str | None:
    """The annotator's id; some exports have an object with it."""
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("id", who.get("email"))
    return who if isinstance(who, int | str) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def moment(time: str | None) -> datetime:
    """An ISO 8601 time, in UTC where it has no offset; the earliest possible for None."""
    try:
        read = datetime.fromisoformat(time or "")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


def changes(before: Fields, after: Fields) -> list[str]:
    """The attributes whose value changed, in their order; white space in texts does not matter."""
    first, second = (_plain(values) for values in (before, after))
    differ = {CONTROLS[n].attribute.key for n in CONTROLS if first.get(n) != second.get(n)}
    return [key for key in ATTRIBUTES if key in differ]


def _plain(attributes: Fields) -> dict[str, Any]:
    """The value of each control in a form that can be compared; None where there is none."""
    found = {}
    for name, control in CONTROLS.items():
        value = attributes.get(control.attribute.key)
        if control.part and isinstance(value, Mapping):
            value = value.get(control.part)
        elif control.tag == "TextArea":
            value = None
        if value in (None, ""):
            value = None
        elif control.tag == "TextArea":
            value = " ".join(str(value).split())
        else:
            with suppress(ValueError):  # outside the vocabulary it is compared unchanged
                value = control.attribute.code(value)
        found[name] = value
    return found
