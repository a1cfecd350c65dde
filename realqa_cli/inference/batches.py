"""Items on their way through a model: opened, gathered into batches, each one's failure kept its own.

What one photo does wrong never stops the others: it leaves as an `ItemError` beside its photo, and a
batch on which the model fails is halved until the culprit is alone. A batch for which the memory is too
small is halved too, and later ones are as small from the start.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from PIL.Image import Image

from realqa_cli.backends.base import SINGLE_THREAD, ThreadPlan
from realqa_cli.errors import ItemError, MediaError
from realqa_cli.inference.pipeline import Pipeline, Stages
from realqa_cli.io.sources import Item
from realqa_cli.media import photo as media
from realqa_cli.media.video import Clip, FrameTransform, Sampling, VisualInput, read_video

Output = TypeVar("Output")
IsDone = Callable[[str, str], bool]
"""`done(name, content)`: whether an item is finished already, by its name and its bytes."""
VideoReader = Callable[[Path, str], Clip]
"""`watch(path, name)`: the frames of a video that are looked at. Raises `MediaError`."""
_Look = Callable[[], VisualInput]

BATCHES_AHEAD = 8
"""How many batches are looked ahead, so that alike photos find each other."""
HELD_PIXELS = 48_000_000
"""Pixels of opened photos that wait at most, beyond a batch: 144 MB."""


@dataclass(frozen=True)
class OpenOptions:
    """How items are opened.

    watch: for videos, which are refused without.  fit: what a photo is made to as soon as it is decoded, so
    that no more of it is held.  enough: JPEGs may be decoded at a half, a quarter or an eighth of their
    size as long as so many pixels are left; None decodes them whole.
    """

    watch: VideoReader | None = None
    fit: Callable[[Image], Image] | None = None
    enough: int | None = None

    def photo(self, data: bytes, name: str) -> Image:
        """The photo of a file's bytes. Raises `MediaError`."""
        return self.made(media.open_photo(data, name=name, enough=self.enough))

    def made(self, image: Image) -> Image:
        """What becomes of a decoded photo. Raises `MediaError`."""
        return image if self.fit is None else self.fit(image)


@dataclass(frozen=True)
class OpenedItem:
    """An item, opened: `image` is upright and RGB, or a clip of such frames, or None with the `error`.

    content: id of the file's bytes ("sha256:..."), None where they could not be read.
    look: opens it, where that is still to be done.
    """

    item: Item
    content: str | None = None
    image: VisualInput | None = None
    error: ItemError | None = None
    look: _Look | None = None

    def opened(self) -> "OpenedItem":
        """With its image, or with the error that came of it; bytes that were read are let go."""
        try:
            return self if self.look is None else replace(self, image=self.look(), look=None)
        except MediaError as error:
            return replace(self, error=error, look=None)


def open_item(item: Item, opening: OpenOptions = OpenOptions()) -> OpenedItem:
    """The item's photo, decoded, or its video. Never raises for the item: what fails becomes its error."""
    return identify_item(item, opening).opened()


def identify_items(
    items: Iterable[Item],
    done: IsDone | None = None,
    opening: OpenOptions = OpenOptions(),
) -> Iterator[OpenedItem]:
    """The items that are not done already, in order, read but not decoded: `through` does that, ahead."""
    for item in items:
        found = identify_item(item, opening)
        if done is None or found.content is None or not done(item.name, found.content):
            yield found


def open_items(
    items: Iterable[Item],
    done: IsDone | None = None,
    opening: OpenOptions = OpenOptions(),
) -> Iterator[OpenedItem]:
    """The same, opened."""
    return (photo.opened() for photo in identify_items(items, done, opening))


def identify_item(item: Item, opening: OpenOptions) -> OpenedItem:
    """The item with the id of its bytes, and what opens it. Never raises for the item."""
    if item.error is not None or item.path is None:
        return OpenedItem(item, error=item.error or ItemError("names no file", where=item.name))
    try:
        if item.kind == "video":
            look: _Look = partial(opening.watch or _refuse, item.path, item.name)
            return OpenedItem(item, media.content_id_of(item.path), look=look)
        data = media.read_bytes(item.path)
        return OpenedItem(item, media.content_id(data), look=partial(opening.photo, data, item.name))
    except MediaError as error:
        return OpenedItem(item, error=error)


def _refuse(path: Path, name: str) -> Clip:
    raise MediaError("this step looks at photos only", type="video", where=name, remedy="leave videos out")


def video_reader(sampling: Sampling, fit: FrameTransform | None, *, remedy: str) -> VideoReader:
    """Reads videos for a model; without `fit`, a model of photos, it refuses each with the remedy."""

    def watch(path: Path, name: str) -> Clip:
        if fit is None:
            raise MediaError("the model takes no videos", type="video", where=name, remedy=remedy)
        return read_video(path, sampling, fit, name=name)

    return watch


def run_batches(
    photos: Iterable[OpenedItem],
    size: int,
    ask: Callable[[Sequence[VisualInput]], Sequence[Output]],
    crew: ThreadPlan = SINGLE_THREAD,
) -> Iterator[tuple[OpenedItem, Output | ItemError]]:
    """Each photo with what `ask` says of it or with its error, in order, at most `size` photos a call.

    Photos are opened ahead, and alike ones go together; what comes from standard input waits for a batch
    at most. `ask` is called in threads, by as many at once as the crew has.
    """
    asking = _Asking(ask, size)
    way = Stages(
        live=lambda photo: photo.item.live,
        open=OpenedItem.opened,
        weigh=_pixels,
        ask=asking.outcomes,
        batch=lambda: asking.size,
    )
    flow: Pipeline[OpenedItem, OpenedItem, Output | ItemError] = Pipeline(
        way, crew, ahead=BATCHES_AHEAD * size, held=HELD_PIXELS
    )
    for photo, outcome in flow.run(photos):
        found = photo.error if outcome is None else outcome
        assert found is not None, "what is not asked about has an error"
        yield photo, found


def _pixels(photo: OpenedItem) -> float | None:
    if photo.error is not None or photo.image is None:
        return None
    frames = photo.image.frames if isinstance(photo.image, Clip) else (photo.image,)
    return float(sum(frame.width * frame.height for frame in frames))


@dataclass
class _Asking(Generic[Output]):
    """Asks about photos; `size`, how many a call may take, falls where the memory was too small."""

    ask: Callable[[Sequence[VisualInput]], Sequence[Output]]
    size: int

    def outcomes(self, photos: list[OpenedItem]) -> list[Output | ItemError]:
        """An answer or an error for each."""
        try:
            return [*self.ask([photo.image for photo in photos if photo.image is not None])]
        except (RuntimeError, ValueError, MemoryError) as error:  # out of memory is a RuntimeError in torch
            if len(photos) == 1:
                reason = " ".join(str(error).split())[:300] or type(error).__name__
                what = f"the model failed on it: {reason}"
                return [ItemError(what, type="model", where=photos[0].item.name)]
            if _short_of_memory(error):
                self.size = min(self.size, len(photos) // 2)
        half = len(photos) // 2  # outside of the handler, which would hold what the failed call had made
        return self.outcomes(photos[:half]) + self.outcomes(photos[half:])


def _short_of_memory(error: Exception) -> bool:
    """Whether memory is what was lacking, by whatever library says so."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "allocate" in str(error) or "out of memory" in str(error)
