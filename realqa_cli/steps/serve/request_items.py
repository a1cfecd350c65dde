"""From the body of a request to items: uploads, data URIs, and paths below the root folder.

What is wrong with one photo is the item's error, as in the commands; what is wrong with the request is a
`RequestError`.
"""

import base64
import binascii
import json
import re
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from realqa_cli.errors import ItemError, MediaError
from realqa_cli.io.locate import LONGEST, shortened
from realqa_cli.io.sources import Item
from realqa_cli.media.kinds import HEAD, Kind, kind_by_suffix, kind_of_content, kind_of_file

_DATA_URI = re.compile(r"data:[^,]*?(;base64)?,", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # of any kind, file:// included
_SUBJECTS = ("image", "video")


class RequestError(Exception):
    """A request that cannot be answered with records. status: of HTTP.  type: a short stable word."""

    def __init__(self, status: int, type: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.type, self.retry_after = status, type, retry_after


@dataclass(frozen=True)
class RequestItems:
    """The items of a request. single: whether the answer is one record and not a list."""

    items: Sequence[Item]
    single: bool


def items_of_json(body: bytes, root: Path | None, most: int) -> RequestItems:
    """The items of `{"image": ...}` or `{"images": [...]}`. Raises RequestError."""
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
        json.dumps(content, allow_nan=False)  # a number beyond all floats is read as infinite
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "request", "the body is not JSON") from error
    if not isinstance(content, dict):
        raise RequestError(400, "request", 'the body is not an object; send {"image": ...} or {"images": [...]}')
    if "images" not in content:
        return RequestItems([_json_item(0, content, root)], single=True)
    images = content["images"]
    if not isinstance(images, list) or not images or any(key in content for key in _SUBJECTS):
        raise RequestError(400, "request", "images must be a list of at least one image, without image or video")
    if len(images) > most:
        raise RequestError(413, "too-large", f"{len(images)} images in one request; send at most {most}")
    return RequestItems([_json_item(index, each, root) for index, each in enumerate(images)], single=False)


async def items_of_form(headers: Headers, stream: AsyncGenerator[bytes, None], most: int) -> RequestItems:
    """The items of an upload: the field `image` once, or `images` several times. Raises RequestError."""
    parser = _InMemoryParser(headers, stream, max_files=most, max_fields=1)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestError(400, "request", error.message) from error
    except KeyError as error:
        raise RequestError(400, "request", "the form has no boundary") from error
    files = [(key, each) for key, each in form.multi_items() if isinstance(each, UploadFile)]
    names = {key for key, _ in files}
    if names not in ({"image"}, {"images"}) or len(files) < len(form.multi_items()):
        raise RequestError(400, "request", "send one file as the field image, or several as images, and nothing else")
    if names == {"image"} and len(files) > 1:
        raise RequestError(400, "request", "several files are the field image; send them as images")
    items = [_uploaded(index, file.filename or "", await file.read()) for index, (_, file) in enumerate(files)]
    return RequestItems(items, single=names == {"image"})


class _InMemoryParser(MultiPartParser):
    """Keeps uploads in memory, whose size the server limits: photos are not written to the disk."""

    spool_max_size = sys.maxsize


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _uploaded(index: int, name: str, data: bytes) -> Item:
    """The item of an upload, under the name of its file, or of a data URI."""
    name = shortened(name) or f"image-{index}"
    error = None
    if not data:
        error = MediaError("there is nothing to read (0 bytes)", type="empty", where=name)
    elif kind_of_content(data[:HEAD]) == "video":
        error = MediaError("videos are not uploaded", type="video", where=name, remedy="name a file below --root")
    return Item(index, name, None, error=error, data=None if error else data)


def _json_item(index: int, entry: Any, root: Path | None) -> Item:
    record: Mapping[str, Any] = entry if isinstance(entry, dict) else {"image": entry}
    given = [(key, record[key]) for key in _SUBJECTS if record.get(key) is not None]
    if len(given) != 1 or not isinstance(given[0][1], str) or not given[0][1]:
        raise RequestError(400, "request", f"image {index}: give one text as image, or as video")
    key, text = given[0]
    fields = {name: value for name, value in record.items() if name not in (*_SUBJECTS, "error")}
    try:
        if text[:5].lower() == "data:":
            item = _uploaded(index, "", _data_of(text, f"image-{index}"))
            return Item(index, item.name, None, fields, error=item.error, data=item.data)
        path = path_below(root, text)
        kind: Kind = kind_of_file(str(path)) or ("video" if key == "video" else kind_by_suffix(text))
        return Item(index, shortened(text), path, fields, kind)
    except ItemError as error:
        return Item(index, error.where or shortened(text), None, fields, error=error)


def _data_of(uri: str, name: str) -> bytes:
    """The bytes of a data URI in base64. Raises MediaError."""
    match = _DATA_URI.match(uri[:LONGEST])
    if match is None or match[1] is None:
        raise MediaError("this data: URI is not in base64", type="record", where=name)
    try:
        return base64.b64decode("".join(uri[match.end() :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError("the base64 of this data: URI is invalid", type="record", where=name) from error


def path_below(root: Path | None, name: str) -> Path:
    """The file below the root folder, with symbolic links resolved; the file may be missing.

    Raises MediaError of type forbidden for everything else, whether it exists or not.
    """
    shown = shortened(name)
    if root is None:
        remedy = "upload the photo, or start realqa serve with --root FOLDER"
        raise MediaError("this server reads no files", type="forbidden", where=shown, remedy=remedy)
    if _URL.match(name):
        what, remedy = "realqa does not fetch from the network", "upload the photo"
        raise MediaError(what, type="unsupported", where=shown, remedy=remedy)
    try:
        top = root.resolve(strict=True)
        path = (top / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a loop of links, a name that is too long
        raise MediaError("this is not a usable path", type="missing", where=shown) from error
    if not path.is_relative_to(top):
        what, remedy = "the path leads out of the folder of this server", "name a file below --root"
        raise MediaError(what, type="forbidden", where=shown, remedy=remedy)
    return path
