"""Items as inputs of a model: identified by their content, then opened as a photo or as frames of a video.

What is wrong with one item becomes its `error` and is never raised, so that it cannot stop the other items.
Knows nothing of models, batches or threads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL.Image import Image

from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.errors import ItemError, MediaError
from realqa_cli.io.sources import Item
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions
from realqa_cli.media.files import content_id, content_id_of, read_bytes
from realqa_cli.media.flags import Flag, content_flags, is_blank
from realqa_cli.media.kinds import HEAD, kind_of_content
from realqa_cli.media.measurements import measure_photo
from realqa_cli.media.photo import open_photo, stated_area
from realqa_cli.media.video import Clip, FrameTransform, Sampling, VisualInput, read_video

Result = TypeVar("Result")

FETCHES = 32
"""Files elsewhere that are fetched at the same time."""
VideoReader = Callable[[Path, str], Clip]
"""`read(path, name)`: the sampled frames of a video. Raises `MediaError`."""
FlaggedInput = tuple[VisualInput, Sequence[Flag], Mapping[str, Any] | None]
"""What a model looks at, its content flags, and its measurements, None where they are not requested."""


class Finished(Protocol):
    """Which items are finished, such as `io.finished_items.FinishedItems`. `is_unchanged` is called for each first."""

    def is_unchanged(self, item: Item) -> bool:
        """Whether the item is finished, as far as that can be known without opening its file."""
        ...

    def may_have(self, name: str) -> bool:
        """False where no item of this name is finished."""
        ...

    def has(self, name: str, content: str) -> bool:
        """Whether the item of this name is finished, by the id of its bytes."""
        ...


@dataclass(frozen=True)
class FinishedByContent:
    """Implements `Finished` by a function of name and id alone, for which every file is opened."""

    is_finished: Callable[[str, str], bool]

    def is_unchanged(self, item: Item) -> bool:
        """Never."""
        return False

    def may_have(self, name: str) -> bool:
        """Always."""
        return True

    def has(self, name: str, content: str) -> bool:
        """See `Finished`."""
        return self.is_finished(name, content)


@dataclass(frozen=True)
class OpenOptions:
    """How items are opened.

    read_video: reads videos; without it they are refused.
    transform: applied to a photo as soon as it is decoded, so that no more of it is kept in memory.
    decode: how photos are decoded.
    measured: whether photos are measured at their full size (`media.measurements`).
    """

    read_video: VideoReader | None = None
    transform: Callable[[Image], Image] | None = None
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    measured: bool = False

    def photo(self, data: bytes, name: str) -> FlaggedInput:
        """Decodes and transforms the photo. Raises `MediaError`."""
        return self.flagged(open_photo(data, name=name, options=self.decode), data, name)

    def flagged(self, image: Image, data: bytes | None = None, name: str | None = None) -> FlaggedInput:
        """Measures a decoded photo and applies the transform; `data` is its file. Raises `MediaError`."""
        flags = content_flags(image)
        measured = measure_photo(image, data, name) if self.measured else None
        return (image if self.transform is None else self.transform(image)), flags, measured

    def clip(self, path: Path, name: str) -> FlaggedInput:
        """Reads a video. Raises `MediaError`."""
        if self.read_video is None:
            raise MediaError("this command takes photos only", type="video", where=name, remedy="leave videos out")
        clip = self.read_video(path, name)
        return clip, ["blank"] if all(map(is_blank, clip.frames)) else [], None


@dataclass(frozen=True)
class OpenedItem:
    """An item with its visual input: an upright RGB photo, a clip of such frames, or None and the `error`.

    content: id of the file's bytes ("sha256:..."), None if they could not be read.
    flags: of a photo with next to no content, or of a video of such frames.
    measured: the measurements of a photo, where they are requested.
    load: opens the item; None once it is opened.
    area: pixels of a photo at its full size, where its header states them.
    """

    item: Item
    content: str | None = None
    image: VisualInput | None = None
    error: ItemError | None = None
    flags: Sequence[Flag] = ()
    measured: Mapping[str, Any] | None = None
    load: Callable[[], FlaggedInput] | None = None
    area: int = 0

    def opened(self) -> "OpenedItem":
        """The item with its visual input or its error; the bytes that were read are released."""
        try:
            if self.load is None:
                return self
            image, flags, measured = self.load()
            return replace(self, image=image, flags=flags, measured=measured, load=None)
        except MediaError as error:
            return replace(self, error=error, load=None)

    @property
    def pixels(self) -> int | None:
        """Pixels of the photo, or of all frames of the video; None if there is nothing for a model."""
        if self.error is not None or self.image is None:
            return None
        frames = self.image.frames if isinstance(self.image, Clip) else (self.image,)
        return sum(frame.width * frame.height for frame in frames)


def open_item(item: Item, options: OpenOptions = OpenOptions()) -> OpenedItem:
    """The item with its photo or video decoded. Never raises for the item."""
    return identify_item(item, options).opened()


def open_items(
    items: Iterable[Item], done: Finished | None = None, options: OpenOptions = OpenOptions()
) -> Iterator[OpenedItem]:
    """The items that are not done, in order, decoded."""
    return (opened.opened() for opened in identify_items(items, done, options))


def identify_items(
    items: Iterable[Item], done: Finished | None = None, options: OpenOptions = OpenOptions()
) -> Iterator[OpenedItem]:
    """The items that are not done, in order, read but not decoded: `run_batches` decodes them ahead of time."""
    left = items if done is None else (item for item in prepared_items(items) if not done.is_unchanged(item))
    for identified in _in_order(partial(identify_item, options=options), left):
        if done is None or identified.content is None or not done.has(identified.item.name, identified.content):
            yield identified


def unfinished_items(items: Iterable[Item], done: Finished | None) -> Iterator[Item]:
    """The items that are not done, in order. Only those are opened that a finished one of the same name may equal."""
    if done is None:
        yield from items
        return
    for item in prepared_items(items):
        if not done.is_unchanged(item):
            content = identify_item(item, OpenOptions()).content if done.may_have(item.name) else None
            if content is None or not done.has(item.name, content):
                yield item


def prepared_items(items: Iterable[Item]) -> Iterator[Item]:
    """The items, in order; files elsewhere were asked for their versions, many at the same time."""
    return _in_order(_prepared, items)


def _prepared(item: Item) -> Item:
    if item.stored is not None:
        with suppress(MediaError):  # reading the file will report it
            item.stored.prepare()
    return item


def _in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The work on each item, in order; that on files elsewhere is done in threads, some items ahead."""
    return in_order(work, items, FETCHES, here=lambda item: item.stored is None, urgent=lambda item: item.live)


def identify_item(item: Item, options: OpenOptions) -> OpenedItem:
    """The item with the id of its bytes, not decoded yet. Never raises for the item."""
    if item.error is None and item.data is not None:
        return _identified_photo(item, item.data, options)
    try:
        if item.error is None and item.stored is not None:
            data = item.stored.read()
            if kind_of_content(data[:HEAD]) == "video":
                what, remedy = "videos are read from files of this machine only", "download or unpack it first"
                raise MediaError(what, type="unsupported", where=item.name, remedy=remedy)
            return _identified_photo(item, data, options)
        if item.error is not None or item.path is None:
            return OpenedItem(item, error=item.error or ItemError("names no file", where=item.name))
        if item.kind == "video":
            return OpenedItem(item, content_id_of(item.path), load=partial(options.clip, item.path, item.name))
        return _identified_photo(item, read_bytes(item.path), options)
    except MediaError as error:
        error.where = item.name
        return OpenedItem(item, error=error)


def _identified_photo(item: Item, data: bytes, options: OpenOptions) -> OpenedItem:
    return OpenedItem(item, content_id(data), load=partial(options.photo, data, item.name), area=stated_area(data))


def video_reader(
    sampling: Sampling,
    transform: FrameTransform | None,
    *,
    remedy: str,
    options: DecodeOptions = DEFAULT_DECODING,
) -> VideoReader:
    """A reader of videos for a model. Without `transform`, for a model of photos, it refuses each video."""

    def read(path: Path, name: str) -> Clip:
        if transform is None:
            raise MediaError("the model takes no videos", type="video", where=name, remedy=remedy)
        return read_video(path, sampling, transform, name=name, options=options)

    return read
