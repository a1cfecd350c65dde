"""Batches: every item keeps its place and its own failure."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from realqa_cli.errors import ItemError, RecordError
from realqa_cli.inference.batches import (
    BATCHES_AHEAD,
    HELD_PIXELS,
    OpenedItem,
    OpenOptions,
    identify_items,
    open_item,
    open_items,
    run_batches,
    video_reader,
)
from realqa_cli.inference.pipeline import OPENERS, ThreadPlan
from realqa_cli.io.sources import Item
from realqa_cli.media.video import Clip, Sampling


def items(folder: Path, count: int) -> list[Item]:
    made = []
    for n in range(count):
        file = folder / f"{n}.png"
        Image.new("L", (30 + n, 30), n).save(file)
        made.append(Item(n, file.name, file))
    return made


def widths(images: Sequence[Image.Image]) -> list[int]:
    return [image.width for image in images]


def test_answers_come_in_order_whatever_the_batch_size(tmp_path: Path) -> None:
    for size in (1, 3, 7, 50):
        found = [answer for _, answer in run_batches(open_items(items(tmp_path, 7)), size, widths)]
        assert found == [30, 31, 32, 33, 34, 35, 36]


def test_failed_items_keep_their_place_and_are_not_asked_about(tmp_path: Path) -> None:
    some = items(tmp_path, 4)
    (tmp_path / "1.png").write_bytes(b"")
    some[2] = Item(2, "list.jsonl:3", None, error=RecordError("is not JSON", type="record"))
    (tmp_path / "clip.mp4").write_bytes(b"a video, for all that this step cares")
    some.append(Item(4, "clip.mp4", tmp_path / "clip.mp4", kind="video"))
    found = [answer for _, answer in run_batches(open_items(some), 3, widths)]
    assert [a.type if isinstance(a, ItemError) else a for a in found] == [30, "empty", "record", 33, "video"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("bad photo"), MemoryError()])
def test_a_photo_on_which_the_model_fails_does_not_take_its_batch_along(tmp_path: Path, error: Exception) -> None:
    def fails_on_33(images: Sequence[Image.Image]) -> list[int]:
        if 33 in widths(images):
            raise error
        return widths(images)

    found = [answer for _, answer in run_batches(open_items(items(tmp_path, 6)), 6, fails_on_33)]
    assert [a.type if isinstance(a, ItemError) else a for a in found] == [30, 31, 32, "model", 34, 35]


def test_what_is_done_is_left_out_and_never_asked_about(tmp_path: Path) -> None:
    opened = open_items(
        items(tmp_path, 3), done=lambda name, content: name == "1.png" and content.startswith("sha256:")
    )
    assert [photo.item.name for photo, _ in run_batches(opened, 2, widths)] == ["0.png", "2.png"]


def test_what_is_done_is_not_even_decoded(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"no photo")
    (tmp_path / "1.mp4").write_bytes(b"no video")
    some = [
        Item(0, "0.png", tmp_path / "0.png"),
        Item(1, "1.mp4", tmp_path / "1.mp4", kind="video"),
        Item(2, "gone.mp4", tmp_path / "gone.mp4", kind="video"),
    ]

    def watch(path: Path, name: str) -> Clip:
        raise AssertionError("decoded")

    (left,) = open_items(some, lambda name, content: True, OpenOptions(watch))
    assert left.error is not None
    assert left.error.type == "missing"


def test_a_model_of_photos_refuses_videos_before_they_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    item = Item(0, "a.mp4", tmp_path / "a.mp4", kind="video")
    opened = open_item(item, OpenOptions(video_reader(Sampling(), None, remedy="use another model")))
    assert opened.error is not None
    assert opened.content is not None
    assert str(opened.error) == "a.mp4: the model takes no videos; use another model"


def counted(photos: Iterable[OpenedItem], opened: list[int]) -> Iterator[OpenedItem]:
    for photo in photos:
        opened.append(photo.item.index)
        yield photo


def test_only_so_many_photos_are_looked_at_ahead(tmp_path: Path) -> None:
    opened: list[int] = []
    stream = run_batches(counted(identify_items(items(tmp_path, 3 * BATCHES_AHEAD)), opened), 2, widths)
    next(stream)
    assert 2 <= len(opened) <= 2 * BATCHES_AHEAD
    assert len(list(stream)) == 3 * BATCHES_AHEAD - 1


def test_what_comes_from_standard_input_waits_for_a_batch_alone(tmp_path: Path) -> None:
    opened: list[int] = []
    live = [replace(item, live=True) for item in items(tmp_path, 9)]
    stream = run_batches(counted(identify_items(live), opened), 2, widths)
    next(stream)
    assert opened == [0, 1]
    assert len(list(stream)) == 8


def test_large_photos_are_not_held_beyond_a_batch() -> None:
    large = Image.new("L", (8000, HELD_PIXELS // 8000 // 2))
    opened: list[int] = []

    def made() -> Iterator[OpenedItem]:
        for n in range(12):
            opened.append(n)
            yield OpenedItem(Item(n, f"{n}", None), look=lambda: large)

    stream = run_batches(made(), 1, widths)
    next(stream)
    assert len(opened) <= 2 + 2 * OPENERS  # two fill what may be held, and some were being opened meanwhile
    stream.close()


def test_photos_of_a_size_go_together_and_come_out_in_order() -> None:
    mixed = [100, 10] * 12
    batches: list[list[int]] = []
    all_open = threading.Event()

    def look(n: int) -> Image.Image:
        if n == len(mixed) - 1:
            all_open.set()
        return Image.new("L", (mixed[n], 10))

    def ask(images: Sequence[Image.Image]) -> list[int]:
        all_open.wait(60)  # what follows the first batch is chosen among all
        batches.append(widths(images))
        return widths(images)

    photos = [OpenedItem(Item(n, f"{n}", None), look=partial(look, n)) for n in range(len(mixed))]
    assert [answer for _, answer in run_batches(photos, 4, ask)] == mixed
    assert sum(len({*batch}) > 1 for batch in batches[1:]) <= 1


def test_several_threads_may_ask_and_order_is_kept() -> None:
    shares: list[int] = []
    crew = ThreadPlan(3, shares.append)
    photos = [OpenedItem(Item(n, f"{n}", None), image=Image.new("L", (n + 1, 1))) for n in range(40)]
    assert [answer for _, answer in run_batches(photos, 2, widths, crew)] == [*range(1, 41)]
    assert set(shares) <= {1, 3}
    assert shares[0] == 3


def test_a_lone_photo_gets_the_whole_machine() -> None:
    shares: list[int] = []
    photo = OpenedItem(Item(0, "0", None), image=Image.new("L", (8, 8)))
    assert [answer for _, answer in run_batches([photo], 4, widths, ThreadPlan(4, shares.append))] == [8]
    assert shares == [1]


class SmallMemory:
    """A model for which a batch of more than `fits` photos is too much."""

    def __init__(self, fits: int, error: Exception) -> None:
        self.fits, self.error = fits, error
        self.tried: list[int] = []

    def __call__(self, images: Sequence[Image.Image]) -> list[int]:
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
def test_a_batch_that_does_not_fit_is_split_and_later_ones_are_small_from_the_start(error: Exception) -> None:
    model = SmallMemory(2, error)
    photos = [OpenedItem(Item(n, f"{n}", None), image=Image.new("L", (n + 1, 1))) for n in range(40)]
    assert [answer for _, answer in run_batches(photos, 8, model)] == [*range(1, 41)]
    assert model.tried[0] == 8
    assert sum(tried > 2 for tried in model.tried) <= 3
    assert model.tried[-10:] == [2] * 10


def test_what_fails_for_another_reason_leaves_the_batches_as_they_are() -> None:
    model = SmallMemory(2, ValueError("odd"))
    photos = [OpenedItem(Item(n, f"{n}", None), image=Image.new("L", (n + 1, 1))) for n in range(16)]
    list(run_batches(photos, 8, model))
    assert model.tried.count(8) == 2


def test_nobody_is_waited_for_after_an_interrupt(tmp_path: Path) -> None:
    stream = run_batches(identify_items(items(tmp_path, 60)), 2, widths)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("realqa")]


def test_photos_are_fitted_as_soon_as_they_are_decoded(tmp_path: Path) -> None:
    opening = OpenOptions(fit=lambda image: image.resize((7, 7)))
    found = [answer for _, answer in run_batches(identify_items(items(tmp_path, 3), None, opening), 2, widths)]
    assert found == [7, 7, 7]
