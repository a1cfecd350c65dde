"""What Python code passes as photos, as items: paths, folders, Pillow images, arrays, tensors, bytes, open files.

Paths are read as on the command line. A value of another type is a `UsageError`; a photo that cannot be opened
keeps its place with its error.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from io import TextIOBase
from itertools import count, groupby
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL.Image import Image

from realqa_cli.errors import MediaError, UsageError
from realqa_cli.inference.inputs import OpenedItem, OpenOptions, identify_items
from realqa_cli.io.archives import is_archive
from realqa_cli.io.lists import is_list
from realqa_cli.io.remote import is_remote
from realqa_cli.io.sources import STDIN, Item, Sources
from realqa_cli.media.arrays import is_array, photo_of_array, photo_of_image
from realqa_cli.media.files import content_id
from realqa_cli.media.kinds import SURE_SUFFIXES, suffix_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

PhotoSource: TypeAlias = "str | os.PathLike[str] | Image | bytes | bytearray | memoryview | IO[bytes] | NDArray[Any]"
"""One photo or video, or a folder or list of them; a torch tensor is accepted like an array."""

ACCEPTED = "a path, a Pillow image, a NumPy array, a torch tensor, bytes or a file opened in binary mode"
_STACK = 4  # dimensions of an array of several photos


def is_single(source: object) -> bool:
    """Whether the argument stands for one photo or video, so that its result is one record and not a list."""
    if isinstance(source, str | os.PathLike):
        name = os.fsdecode(source)
        if is_remote(name):  # a folder of object storage otherwise
            return not is_archive(name) and (name.startswith("http") or suffix_of(name) in SURE_SUFFIXES)
        return not os.path.isdir(source) and not is_list(name) and not is_archive(name)
    return _is_photo(source)


def python_items(sources: object, options: OpenOptions) -> Iterator[OpenedItem]:
    """The items of one source or of several, in order. All members of a list are checked before the first is read.

    Raises `UsageError` for a value that cannot be a photo, and for a folder without photos.
    """
    several = _as_several(sources)
    if isinstance(several, Sequence):
        for place, source in enumerate(several):
            _check(source, place)
    return _items(several, options)


def length_of(sources: object) -> int | None:
    """The number of items; None for an iterator, whose length is unknown."""
    several = _as_several(sources)
    if not isinstance(several, Sequence):
        return None
    return sum(Sources([_name(source)]).count() or 0 if _is_path(source) else _depth(source) for source in several)


def _items(several: Iterable[object], options: OpenOptions) -> Iterator[OpenedItem]:
    numbers = count()
    for are_paths, group in groupby(enumerate(several), key=lambda pair: _is_path(pair[1])):
        if are_paths:  # together, because files elsewhere are fetched ahead
            found = (item for _, source in group for item in Sources([_name(source)]).items())
            yield from identify_items((replace(item, index=next(numbers)) for item in found), None, options)
            continue
        for place, source in group:
            _check(source, place)
            for photo in source if _is_stack(source) else [source]:  # type: ignore[attr-defined]
                yield _in_memory(photo, next(numbers), options)


def _as_several(sources: object) -> Iterable[object]:
    if _is_path(sources) or _is_photo(sources) or _is_stack(sources):
        return [sources]
    if isinstance(sources, Iterable) and not isinstance(sources, Mapping | Set) and not hasattr(sources, "read"):
        return sources
    _check(sources, None)
    raise AssertionError("the check has raised")


def _check(source: object, place: int | None) -> None:
    """Raises `UsageError` for a value that cannot be a photo. place: its index in a list."""
    if _is_path(source) or _is_photo(source) or _is_stack(source):
        return
    where = "score" if place is None else f"photo {place}"
    if callable(getattr(source, "read", None)):
        raise UsageError("the file is opened in text mode", where=where, remedy='open it in mode "rb"')
    what = f"cannot score a value of type {type(source).__name__}"
    raise UsageError(what, where=where, remedy=f"give {ACCEPTED}, or a list of these")


def _is_path(source: object) -> bool:
    return isinstance(source, str | os.PathLike)


def _name(source: object) -> str:
    """The path as a source of the command line; `-` is a file here, not standard input."""
    name = os.fsdecode(source)  # type: ignore[arg-type]
    return os.path.join(os.curdir, name) if name == STDIN else name


def _is_photo(source: object) -> bool:
    if isinstance(source, Image | bytes | bytearray | memoryview):
        return True
    if callable(getattr(source, "read", None)):
        return not isinstance(source, TextIOBase)
    return is_array(source) and _dimensions(source) != _STACK


def _is_stack(source: object) -> bool:
    """Whether the value is an array or a tensor of several photos."""
    return is_array(source) and _dimensions(source) == _STACK


def _dimensions(array: Any) -> int:
    return int(array.ndim) if hasattr(array, "ndim") else int(np.asarray(array).ndim)


def _depth(source: object) -> int:
    return len(source) if _is_stack(source) else 1  # type: ignore[arg-type]


def _in_memory(photo: Any, index: int, options: OpenOptions) -> OpenedItem:
    """A photo in memory, decoded unless it is the bytes of a file."""
    name = f"image-{index}"
    try:
        if isinstance(photo, Image) or is_array(photo):
            color = options.decode.color_management
            rgb = photo_of_image(photo, name, color_management=color) if isinstance(photo, Image) else None
            rgb = photo_of_array(photo, name) if rgb is None else rgb
            content = content_id(f"{rgb.size}".encode() + rgb.tobytes())
            return OpenedItem(Item(index, name, None), content, load=partial(options.flagged, rgb))
        if callable(getattr(photo, "read", None)):
            own = getattr(photo, "name", None)
            name = own if isinstance(own, str) and own else name
            photo = _read(photo, name)
        data = bytes(photo)
        return OpenedItem(Item(index, name, None), content_id(data), load=partial(options.photo, data, name))
    except MediaError as error:
        return OpenedItem(Item(index, name, None), error=error)


def _read(file: Any, name: str) -> bytes:
    """The rest of an open file. Raises `MediaError`, and `UsageError` for a file that gives text."""
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise MediaError(f"cannot be read ({error})", type="unreadable", where=name) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UsageError("the file gives no bytes", where=name, remedy='open it in mode "rb"')
    if not data:
        raise MediaError("there is nothing to read (0 bytes)", type="empty", where=name, remedy="seek to its start")
    return bytes(data)
