"""Items through a model: the order is kept, batches are bounded, and each failure stays with its item."""

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from realqa_cli.backends.base import ThreadPlan
from realqa_cli.errors import ItemError, RecordError
from realqa_cli.inference.inputs import (
    FinishedByContent,
    FlaggedInput,
    OpenedItem,
    OpenOptions,
    identify_items,
    open_item,
    open_items,
    video_reader,
)
from realqa_cli.inference.pipeline import BATCHES_AHEAD, HELD_PIXELS, OPENERS, OPENING_PIXELS, run_batches
from realqa_cli.io.sources import Item
from realqa_cli.media.video import Clip, Sampling, VisualInput


def items(folder: Path, count: int) -> list[Item]:
    made = []
    for n in range(count):
        file = folder / f"{n}.png"
        Image.new("L", (30 + n, 30), n).save(file)
        made.append(Item(n, file.name, file))
    return made


def widths(images: Sequence[VisualInput]) -> list[int]:
    return [image.width for image in images if isinstance(image, Image.Image)]


def test_outputs_keep_the_order_for_any_batch_size(tmp_path: Path) -> None:
    for size in (1, 3, 7, 50):
        outputs = [output for _, output in run_batches(open_items(items(tmp_path, 7)), size, widths)]
        assert outputs == [30, 31, 32, 33, 34, 35, 36]


def test_failed_items_keep_their_place_and_do_not_reach_the_model(tmp_path: Path) -> None:
    some = items(tmp_path, 4)
    (tmp_path / "1.png").write_bytes(b"")
    some[2] = Item(2, "list.jsonl:3", None, error=RecordError("is not JSON", type="record"))
    (tmp_path / "clip.mp4").write_bytes(b"not decoded by this step")
    some.append(Item(4, "clip.mp4", tmp_path / "clip.mp4", expected="video"))
    outputs = [output for _, output in run_batches(open_items(some), 3, widths)]
    assert [a.type if isinstance(a, ItemError) else a for a in outputs] == [30, "empty", "record", 33, "video"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("bad photo"), MemoryError()])
def test_a_photo_on_which_the_model_fails_does_not_fail_its_batch(tmp_path: Path, error: Exception) -> None:
    def fails_on_33(images: Sequence[VisualInput]) -> list[int]:
        if 33 in widths(images):
            raise error
        return widths(images)

    outputs = [output for _, output in run_batches(open_items(items(tmp_path, 6)), 6, fails_on_33)]
    assert [a.type if isinstance(a, ItemError) else a for a in outputs] == [30, 31, 32, "model", 34, 35]


def test_items_that_are_done_are_left_out(tmp_path: Path) -> None:
    opened = open_items(
        items(tmp_path, 3),
        FinishedByContent(lambda name, content: name == "1.png" and content.startswith("sha256:")),
    )
    assert [photo.item.name for photo, _ in run_batches(opened, 2, widths)] == ["0.png", "2.png"]


def test_items_that_are_done_are_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"not a photo")
    (tmp_path / "1.mp4").write_bytes(b"not a video")
    some = [
        Item(0, "0.png", tmp_path / "0.png"),
        Item(1, "1.mp4", tmp_path / "1.mp4", expected="video"),
        Item(2, "gone.mp4", tmp_path / "gone.mp4", expected="video"),
    ]

    def read(path: Path, name: str) -> Clip:
        raise AssertionError("decoded")

    (left,) = open_items(some, FinishedByContent(lambda name, content: True), OpenOptions(read))
    assert left.error is not None
    assert left.error.type == "missing"


def test_without_a_frame_transform_videos_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    item = Item(0, "a.mp4", tmp_path / "a.mp4", expected="video")
    opened = open_item(item, OpenOptions(video_reader(Sampling(), None, remedy="use another model")))
    assert opened.error is not None
    assert opened.content is not None
    assert str(opened.error) == "a.mp4: the model takes no videos; use another model"


def counted(photos: Iterable[OpenedItem], opened: list[int]) -> Iterator[OpenedItem]:
    for photo in photos:
        opened.append(photo.item.index)
        yield photo


def test_the_number_of_items_read_ahead_is_bounded(tmp_path: Path) -> None:
    opened: list[int] = []
    stream = run_batches(counted(identify_items(items(tmp_path, 3 * BATCHES_AHEAD)), opened), 2, widths)
    next(stream)
    assert 2 <= len(opened) <= 2 * BATCHES_AHEAD
    assert len(list(stream)) == 3 * BATCHES_AHEAD - 1


def test_items_of_standard_input_wait_for_one_batch_at_most(tmp_path: Path) -> None:
    opened: list[int] = []
    live = [replace(item, live=True) for item in items(tmp_path, 9)]
    stream = run_batches(counted(identify_items(live), opened), 2, widths)
    next(stream)
    assert opened == [0, 1]
    assert len(list(stream)) == 8


def test_the_pixels_of_opened_photos_are_bounded() -> None:
    large = Image.new("L", (8000, HELD_PIXELS // 8000 // 2))
    opened: list[int] = []

    def made() -> Iterator[OpenedItem]:
        for n in range(12):
            opened.append(n)
            yield OpenedItem(Item(n, f"{n}", None), load=lambda: (large, [], None))

    stream = run_batches(made(), 1, widths)
    next(stream)
    assert len(opened) <= 2 + 2 * OPENERS  # two reach the limit, and others were being opened meanwhile
    assert isinstance(stream, Generator)
    stream.close()


@pytest.mark.parametrize(("area", "most"), [(OPENING_PIXELS * 2, 1), (OPENING_PIXELS // 2, 2), (0, 2)])
def test_the_pixels_of_photos_that_are_being_decoded_are_bounded(area: int, most: int) -> None:
    lock, busy, seen = threading.Lock(), 0, list[int]()
    together = threading.Event()

    def load(n: int) -> FlaggedInput:
        nonlocal busy
        with lock:
            busy += 1
            seen.append(busy)
        if busy == most:
            together.set()
        together.wait(60)  # as many as may be decoded at the same time are
        with lock:
            busy -= 1
        return Image.new("L", (n + 1, 10)), [], None

    photos = [OpenedItem(Item(n, f"{n}", None), load=partial(load, n), area=area) for n in range(8)]
    assert [output for _, output in run_batches(photos, 2, widths)] == [*range(1, 9)]
    assert max(seen) == most


def test_photos_of_similar_size_share_a_batch_and_keep_the_order() -> None:
    mixed = [100, 10] * 12
    batches: list[list[int]] = []
    all_open = threading.Event()

    def load(n: int) -> FlaggedInput:
        if n == len(mixed) - 1:
            all_open.set()
        return Image.new("L", (mixed[n], 10)), [], None

    def call(images: Sequence[VisualInput]) -> list[int]:
        all_open.wait(60)  # the later batches can be chosen among all photos
        batches.append(widths(images))
        return widths(images)

    photos = [OpenedItem(Item(n, f"{n}", None), load=partial(load, n)) for n in range(len(mixed))]
    assert [output for _, output in run_batches(photos, 4, call)] == mixed
    assert sum(len({*batch}) > 1 for batch in batches[1:]) <= 1


def test_several_threads_run_the_model_and_the_order_is_kept() -> None:
    shares: list[int] = []
    thread_plan = ThreadPlan(3, shares.append)
    photos = [OpenedItem(Item(n, f"{n}", None), image=Image.new("L", (n + 1, 1))) for n in range(40)]
    assert [output for _, output in run_batches(photos, 2, widths, thread_plan)] == [*range(1, 41)]
    assert set(shares) <= {1, 3}
    assert shares[0] == 3


def test_a_single_photo_gets_all_processors() -> None:
    shares: list[int] = []
    photo = OpenedItem(Item(0, "0", None), image=Image.new("L", (8, 8)))
    assert [output for _, output in run_batches([photo], 4, widths, ThreadPlan(4, shares.append))] == [8]
    assert shares == [1]


class SmallMemory:
    """A model that runs out of memory on a batch of more than `fits` photos."""

    def __init__(self, fits: int, error: Exception) -> None:
        self.fits, self.error = fits, error
        self.tried: list[int] = []

    def __call__(self, images: Sequence[VisualInput]) -> list[int]:
        self.tried.append(len(images))
        if len(images) > self.fits:
            raise self.error
        return widths(images)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_batch_that_does_not_fit_is_halved_and_later_batches_are_small(error: Exception) -> None:
    model = SmallMemory(2, error)
    photos = [OpenedItem(Item(n, f"{n}", None), image=Image.new("L", (n + 1, 1))) for n in range(40)]
    assert [output for _, output in run_batches(photos, 8, model)] == [*range(1, 41)]
    assert model.tried[0] == 8
    assert sum(tried > 2 for tried in model.tried) <= 3
    assert model.tried[-10:] == [2] * 10


def test_other_failures_do_not_reduce_the_batch_size() -> None:
    model = SmallMemory(2, ValueError("odd"))
    photos = [OpenedItem(Item(n, f"{n}", None), image=Image.new("L", (n + 1, 1))) for n in range(16)]
    list(run_batches(photos, 8, model))
    assert model.tried.count(8) == 2


def test_no_thread_is_left_when_the_consumer_stops(tmp_path: Path) -> None:
    stream = run_batches(identify_items(items(tmp_path, 60)), 2, widths)
    next(stream)
    assert isinstance(stream, Generator)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("realqa")]


def test_photos_are_transformed_as_soon_as_they_are_decoded(tmp_path: Path) -> None:
    options = OpenOptions(transform=lambda image: image.resize((7, 7)))
    outputs = [output for _, output in run_batches(identify_items(items(tmp_path, 3), None, options), 2, widths)]
    assert outputs == [7, 7, 7]
