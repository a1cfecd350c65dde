"""Label Studio's controls for the ten attributes: the labeling configuration, and values as result items.

A choice is a Choices control, a rating a Rating with its reason in a TextArea, subject and background are a
TextArea each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any, Literal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS, RATING_MAX, Attribute

Part = Literal["", "score", "reason", "subject", "background"]

IMAGE = "image"
"""Name of the photo's tag in the configuration and of its field in a task's data."""

_PARTS: dict[str, tuple[Part, ...]] = {
    "choice": ("",),
    "rating": ("score", "reason"),
    "text": ("subject", "background"),
}


@dataclass(frozen=True)
class Control:
    """The control of an attribute, or of a part of it.  part: "" for the whole value."""

    attribute: Attribute
    part: Part

    @property
    def name(self) -> str:
        """Its name in the configuration and in results: the key, for texts with the part."""
        return f"{self.attribute.key}_{self.part}" if self.tag == "TextArea" else self.attribute.key

    @property
    def tag(self) -> Literal["Choices", "Rating", "TextArea"]:
        """Label Studio's tag; the type of its results is the tag in lower case."""
        return "Choices" if not self.part else "Rating" if self.part == "score" else "TextArea"


CONTROLS: dict[str, Control] = {
    control.name: control for control in (Control(a, part) for a in ATTRIBUTES.values() for part in _PARTS[a.kind])
}
"""All controls by name, in the order of the attributes."""


def configuration() -> str:
    """The labeling configuration, XML: the photo on the left, the controls by level on the right."""
    view = Element("View", style="display: flex; gap: 1.5em")
    left = SubElement(view, "View", style="flex: 3; position: sticky; top: 0; align-self: flex-start")
    SubElement(left, "Image", name=IMAGE, value=f"${IMAGE}", zoom="true", zoomControl="true")
    right = SubElement(view, "View", style="flex: 2")
    for level, attributes in LEVELS.items():
        SubElement(right, "Header", value=f"{level.capitalize()} level", size="4")
        for attribute in attributes:
            SubElement(right, "Header", value=attribute.title, size="5")
            for control in (c for c in CONTROLS.values() if c.attribute is attribute):
                _add(right, control)
    indent(view)
    return tostring(view, encoding="unicode") + "\n"


def _add(parent: Element, control: Control) -> None:
    """Add the tag of one control to `parent`."""
    names = {"name": control.name, "toName": IMAGE}
    if control.tag == "Rating":
        SubElement(parent, "Rating", names, maxRating=str(RATING_MAX))
    elif control.tag == "TextArea":
        names |= {"placeholder": control.part.capitalize(), "rows": "2"}
        SubElement(parent, "TextArea", names, editable="true", maxSubmissions="1")
    else:
        choices = SubElement(parent, "Choices", names, choice="single", showInline="true")
        attribute = control.attribute
        for i, option in enumerate(attribute.options):
            choice = SubElement(choices, "Choice", value=option)
            if attribute.glosses:
                choice.set("hint", attribute.glosses[i])


def results(attributes: Mapping[str, Any], seed: str) -> tuple[list[dict[str, Any]], int]:
    """The result items of a label, and the number of values that no control can show, which are left blank.

    seed: of the items' ids, so that the same label always gives the same task.
    """
    items, unshown = [], 0
    for control in CONTROLS.values():
        try:
            value = _shown(control, attributes.get(control.attribute.key))
        except ValueError:
            unshown += 1
            continue
        if value is not None:
            ident = blake2b(f"{seed} {control.name}".encode(), digest_size=6).hexdigest()
            where = {"id": ident, "from_name": control.name, "to_name": IMAGE}
            items.append({**where, "type": control.tag.lower(), "value": value})
    return items, unshown


def _shown(control: Control, value: Any) -> dict[str, Any] | None:
    """The item's `value`; None where the label has none. Raises `ValueError` for one outside the vocabulary."""
    if control.part and isinstance(value, Mapping):
        value = value.get(control.part)
    elif control.part in ("reason", "subject", "background"):
        value = None  # a rating that is a bare number has no reason
    if value is None or value == "":
        return None
    if control.tag == "Choices":
        return {"choices": [control.attribute.normalise(value)]}
    if control.tag == "Rating":
        return {"rating": control.attribute.code(value)}
    return {"text": [str(value)]}


def read_result(result: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(attributes as in labels, values of other controls by name) of result items.

    Items that are not the value of a control, such as relations between regions, are skipped. Raises
    `ValueError` for a value outside the vocabulary, or an item of ours without a value.
    """
    values: dict[str, list[Any]] = {}
    for item in result:
        name = item.get("from_name")
        if name is None or (name not in CONTROLS and not isinstance(item.get("value"), Mapping)):
            continue
        values.setdefault(str(name), []).extend(_given(item))
    attributes: dict[str, Any] = {}
    for name, control in CONTROLS.items():
        given = values.pop(name, [])
        key, value = control.attribute.key, _value(control, given)
        if value is not None and control.part:
            attributes.setdefault(key, {})[control.part] = value
        elif value is not None:
            attributes[key] = value
    return attributes, {name: given[0] if len(given) == 1 else given for name, given in values.items()}


def _given(item: Mapping[str, Any]) -> list[Any]:
    """The values of one item, under the key that its type names."""
    value, kind = item.get("value"), str(item.get("type"))
    if not isinstance(value, Mapping):
        raise ValueError(f"{item.get('from_name')}: the result has no value")
    values = value.get("text" if kind == "textarea" else kind)
    if values is None:  # a type of other controls: kept as it is
        return [dict(value)]
    return list(values) if isinstance(values, list) else [values]


def _value(control: Control, given: list[Any]) -> Any:
    if control.tag == "TextArea":
        return " ".join(chain.from_iterable(str(text).split() for text in given)) or None
    if not given:
        return None
    if len(given) > 1:
        raise ValueError(f"{control.name}: {len(given)} values where one is possible")
    attribute = control.attribute
    return attribute.code(given[0]) if control.tag == "Rating" else attribute.normalise(given[0])
