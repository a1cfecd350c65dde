"""Items on their way through a model: opened, gathered into batches, each one's failure kept its own.

What one photo does wrong never stops the others: it leaves as an `ItemError` beside its photo, and a
batch on which the model fails is halved until the culprit is alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from realqa_cli import media
from realqa_cli.errors import ItemError, MediaError
from realqa_cli.sources import Item

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = TypeVar("Answer")
Done = Callable[[str, str], bool]
"""`done(name, content)`: whether an item is finished already, by its name and its bytes."""


@dataclass(frozen=True)
class Photo:
    """An item, opened: `image` upright and RGB, or None with the `error` that says why.

    content: id of the file's bytes ("sha256:..."), None where they could not be read.
    """

    item: Item
    content: str | None = None
    image: "Image | None" = None
    error: ItemError | None = None


def open_item(item: Item) -> Photo:
    """The item's photo, decoded. Never raises for the item: what fails becomes its error."""
    if item.error is not None:
        return Photo(item, error=item.error)
    if item.kind == "video" or item.path is None:
        what = "videos cannot be read by this version"
        return Photo(item, error=MediaError(what, type="video", where=item.name, remedy="give photos"))
    content = None
    try:
        data = media.read_bytes(item.path)
        content = media.content_id(data)
        return Photo(item, content, media.open_photo(data, name=item.name))
    except MediaError as error:
        return Photo(item, content, error=error)


def open_items(items: Iterable[Item], done: Done | None = None) -> Iterator[Photo]:
    """The opened items, in order, without those that are done already."""
    for item in items:
        photo = open_item(item)
        if done is None or photo.content is None or not done(item.name, photo.content):
            yield photo


def through(
    photos: Iterable[Photo], size: int, ask: Callable[[Sequence["Image"]], Sequence[Answer]]
) -> Iterator[tuple[Photo, Answer | ItemError]]:
    """Each photo with what `ask` says of it or with its error, in order, `size` photos a call."""
    stream = iter(photos)
    while batch := list(islice(stream, size)):
        answers = iter(_ask([photo for photo in batch if photo.error is None], ask))
        for photo in batch:
            yield photo, photo.error or next(answers)


def _ask(
    photos: list[Photo], ask: Callable[[Sequence["Image"]], Sequence[Answer]]
) -> list[Answer | ItemError]:
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
