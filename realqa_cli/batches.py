"""Items on their way through a model: opened, gathered into batches, each one's failure kept its own.

What one photo does wrong never stops the others: it leaves as an `ItemError` beside its photo, and a
batch on which the model fails is halved until the culprit is alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from realqa_cli import media
from realqa_cli.errors import ItemError, MediaError
from realqa_cli.sources import Item
from realqa_cli.video import Clip, Fit, Sampling, Sight, read_video

Answer = TypeVar("Answer")
Done = Callable[[str, str], bool]
"""`done(name, content)`: whether an item is finished already, by its name and its bytes."""
Watch = Callable[[Path, str], Clip]
"""`watch(path, name)`: the frames of a video that are looked at. Raises `MediaError`."""


@dataclass(frozen=True)
class Photo:
    """An item, opened: `image` is upright and RGB, or a clip of such frames, or None with the `error`.

    content: id of the file's bytes ("sha256:..."), None where they could not be read.
    """

    item: Item
    content: str | None = None
    image: Sight | None = None
    error: ItemError | None = None


def open_item(item: Item, *, watch: Watch | None = None) -> Photo:
    """The item's photo, decoded, or its video. Never raises for the item: what fails becomes its error."""
    found, look = _identify(item, watch)
    return _open(found, look)


def open_items(
    items: Iterable[Item], done: Done | None = None, *, watch: Watch | None = None
) -> Iterator[Photo]:
    """The opened items, in order, without those that are done already, which are not decoded."""
    for item in items:
        found, look = _identify(item, watch)
        if done is None or found.content is None or not done(item.name, found.content):
            yield _open(found, look)


_Look = Callable[[], Sight]


def _identify(item: Item, watch: Watch | None) -> tuple[Photo, _Look | None]:
    """The item with the id of its bytes, and what decodes it; None where it failed."""
    if item.error is not None or item.path is None:
        return Photo(item, error=item.error or ItemError("names no file", where=item.name)), None
    try:
        if item.kind == "video":
            look: _Look = partial(watch or _refuse, item.path, item.name)
            return Photo(item, media.content_id_of(item.path)), look
        data = media.read_bytes(item.path)
        return Photo(item, media.content_id(data)), partial(media.open_photo, data, name=item.name)
    except MediaError as error:
        return Photo(item, error=error), None


def _open(photo: Photo, look: _Look | None) -> Photo:
    try:
        return photo if look is None else replace(photo, image=look())
    except MediaError as error:
        return replace(photo, error=error)


def _refuse(path: Path, name: str) -> Clip:
    raise MediaError("this step looks at photos only", type="video", where=name, remedy="leave videos out")


def watcher(sampling: Sampling, fit: Fit | None, *, remedy: str) -> Watch:
    """Reads videos for a model; without `fit`, a model of photos, it refuses each with the remedy."""

    def watch(path: Path, name: str) -> Clip:
        if fit is None:
            raise MediaError("the model takes no videos", type="video", where=name, remedy=remedy)
        return read_video(path, sampling, fit, name=name)

    return watch


def through(
    photos: Iterable[Photo], size: int, ask: Callable[[Sequence[Sight]], Sequence[Answer]]
) -> Iterator[tuple[Photo, Answer | ItemError]]:
    """Each photo with what `ask` says of it or with its error, in order, `size` photos a call."""
    stream = iter(photos)
    while batch := list(islice(stream, size)):
        answers = iter(_ask([photo for photo in batch if photo.error is None], ask))
        for photo in batch:
            yield photo, photo.error or next(answers)


def _ask(photos: list[Photo], ask: Callable[[Sequence[Sight]], Sequence[Answer]]) -> list[Answer | ItemError]:
    if not photos:
        return []
    try:
        return [*ask([photo.image for photo in photos if photo.image is not None])]
    except (RuntimeError, ValueError, MemoryError) as error:  # out of memory is a RuntimeError in torch
        if len(photos) == 1:
            reason = " ".join(str(error).split())[:300]
            return [ItemError(f"the model failed on it: {reason}", type="model", where=photos[0].item.name)]
        half = len(photos) // 2
        return _ask(photos[:half], ask) + _ask(photos[half:], ask)
