"""XMP sidecars: stars and the label of kept photos, as darktable, digiKam and Lightroom read them.

`photo.jpg.xmp` belongs to a photo (darktable, digiKam), `photo.xmp` to a RAW file (Lightroom); a RAW file's
`photo.cr2.xmp` is updated too where it exists. Only `xmp:Rating` and `xmp:Label` are written; everything else in an
existing sidecar stays as it is. What a person chose stays: a rating or label that this program did not write is
kept unless overwriting is requested. The program recognises its own values by a copy of them in its namespace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from realqa_cli.errors import MediaError, OutputError
from realqa_cli.io.jsonl import write_atomic
from realqa_cli.media.files import read_bytes
from realqa_cli.media.formats import is_raw_name

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
META = "adobe:ns:meta/"
OWN = "urn:realqa:xmp:1/"
"""Namespace of the copies of our own values."""

KEEP_LABEL = "Green"
"""The label of photos to keep; Lightroom, darktable and digiKam show it as a color."""

_MOST_BYTES = 2**24
_UNRATED = ("", "0")  # programs write 0 stars for photos that nobody has rated
_EMPTY = (
    f'<x:xmpmeta xmlns:x="{META}"><rdf:RDF xmlns:rdf="{RDF}">\n'
    f' <rdf:Description rdf:about="" xmlns:xmp="{XMP}" xmlns:realqa="{OWN}"/>\n'
    "</rdf:RDF></x:xmpmeta>\n"
)

Outcome = Literal["written", "unchanged", "kept"]
"""kept: the sidecar has a rating or label of a person, which differs."""


class SidecarError(OutputError):
    """An existing sidecar cannot be read or written; it stays as it is."""


@dataclass(frozen=True)
class Marks:
    """What a sidecar says: stars from 1 to 5, and whether the photo is kept."""

    stars: int
    keep: bool

    def fields(self) -> dict[str, str]:
        """The values of `xmp:Rating` and `xmp:Label`, empty for none."""
        return {"Rating": str(self.stars), "Label": KEEP_LABEL if self.keep else ""}


def sidecars_of(photo: Path, companions: Sequence[Path]) -> list[Path]:
    """The sidecars of a photograph."""
    found: list[Path] = []
    for file in (photo, *(path for path in companions if is_raw_name(path.name))):
        long_name = file.with_name(f"{file.name}.xmp")
        if not is_raw_name(file.name):
            found.append(long_name)
            continue
        found.append(file.with_suffix(".xmp"))
        if long_name.exists():
            found.append(long_name)
    return found


def write_sidecar(sidecar: Path, marks: Marks, *, overwrite: bool = False, dry_run: bool = False) -> Outcome:
    """Create or update a sidecar. Raises `SidecarError` for one that is damaged, or `OutputError`.

    overwrite: also replace a person's rating and label.  dry_run: only report what would be done.
    """
    from lxml import etree

    tree = _parse(sidecar)
    before = etree.tostring(tree)
    outcomes = [
        _set(tree, name, value, overwrite=overwrite, where=str(sidecar)) for name, value in marks.fields().items()
    ]
    kept: Outcome = "kept" if "kept" in outcomes else "unchanged"
    if sidecar.exists() and etree.tostring(tree) == before:
        return kept
    if not dry_run:
        declared = _starts_with_declaration(sidecar)
        text = etree.tostring(tree, encoding="UTF-8", xml_declaration=declared).decode("utf-8")
        write_atomic(sidecar, text if text.endswith("\n") else f"{text}\n")
    return kept if kept == "kept" else "written"


def _starts_with_declaration(sidecar: Path) -> bool:
    return not sidecar.exists() or sidecar.read_bytes()[:64].lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml ")


def _parse(sidecar: Path) -> Any:
    """The tree of a sidecar, of an empty one if there is no file. Raises `SidecarError`."""
    from lxml import etree

    where, remedy = str(sidecar), "it was left as it is; repair or remove it"
    try:
        data = read_bytes(sidecar) if sidecar.exists() else _EMPTY.encode()
    except MediaError as error:
        raise SidecarError(error.what, where=where, remedy=remedy) from error
    if len(data) > _MOST_BYTES:
        raise SidecarError(f"this sidecar has over {_MOST_BYTES:,} bytes", where=where, remedy=remedy)
    # No entity is resolved and nothing is fetched. Blank text, comments and processing instructions stay.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        tree = etree.fromstring(data, parser).getroottree()
    except (etree.XMLSyntaxError, ValueError) as error:
        what = f"this sidecar is not valid XML ({' '.join(str(error).split())})"
        raise SidecarError(what, where=where, remedy=remedy) from error
    if tree.docinfo.doctype:
        raise SidecarError("this sidecar has a document type, which XMP does not allow", where=where, remedy=remedy)
    if tree.find(f".//{{{RDF}}}Description") is None and tree.getroot().tag != f"{{{RDF}}}Description":
        raise SidecarError("this sidecar has no XMP description", where=where, remedy=remedy)
    return tree


def _set(tree: Any, name: str, value: str, *, overwrite: bool, where: str) -> str:
    """Set one property and our copy of it. Returns "kept" where a person's value stays, else "set"."""
    descriptions = _descriptions(tree)
    current, own = _get(descriptions, XMP, name), _get(descriptions, OWN, name)
    if isinstance(current, list) or isinstance(own, list):
        remedy = "it was left as it is; repair or remove it"
        raise SidecarError(f"xmp:{name} is not a plain value", where=where, remedy=remedy)
    theirs = current is not None and current.strip() not in _UNRATED and current != own
    if theirs and not (overwrite and value):
        return "kept" if value not in (current, "") else "set"
    for namespace in (XMP, OWN):
        _put(descriptions, namespace, name, value)
    return "set"


def _descriptions(tree: Any) -> list[Any]:
    """The top descriptions, not those that structure a value."""
    root = tree.getroot()
    holder = root if root.tag == f"{{{RDF}}}RDF" else root.find(f".//{{{RDF}}}RDF")
    return [*holder.findall(f"{{{RDF}}}Description")] if holder is not None else [*root.iter(f"{{{RDF}}}Description")]


def _get(descriptions: Sequence[Any], namespace: str, name: str) -> str | list[Any] | None:
    """The text of a property, which is an attribute or an element; the element's children if it has some."""
    for description in descriptions:
        attribute = description.get(f"{{{namespace}}}{name}")
        if attribute is not None:
            return str(attribute)
        element = description.find(f"{{{namespace}}}{name}")
        if element is not None:
            return [*element] if len(element) else str(element.text or "")
    return None


def _put(descriptions: Sequence[Any], namespace: str, name: str, value: str) -> None:
    """Set the property where it is, else as an attribute of the first description; without a value remove it."""
    tag = f"{{{namespace}}}{name}"
    for description in descriptions:
        element = description.find(tag)
        if tag in description.attrib:
            if value:
                description.set(tag, value)
            else:
                del description.attrib[tag]
            return
        if element is not None:
            if value:
                element.text = value
            else:
                description.remove(element)
            return
    if value:
        descriptions[0].set(tag, value)
