"""Batches: every item keeps its place and its own failure."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from realqa_cli.batches import open_item, open_items, through, watcher
from realqa_cli.errors import ItemError, RecordError
from realqa_cli.sources import Item
from realqa_cli.video import Clip, Sampling


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
        found = [answer for _, answer in through(open_items(items(tmp_path, 7)), size, widths)]
        assert found == [30, 31, 32, 33, 34, 35, 36]


def test_failed_items_keep_their_place_and_are_not_asked_about(tmp_path: Path) -> None:
    some = items(tmp_path, 4)
    (tmp_path / "1.png").write_bytes(b"")
    some[2] = Item(2, "list.jsonl:3", None, error=RecordError("is not JSON", type="record"))
    (tmp_path / "clip.mp4").write_bytes(b"a video, for all that this step cares")
    some.append(Item(4, "clip.mp4", tmp_path / "clip.mp4", kind="video"))
    found = [answer for _, answer in through(open_items(some), 3, widths)]
    assert [a.type if isinstance(a, ItemError) else a for a in found] == [30, "empty", "record", 33, "video"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("bad photo"), MemoryError()])
def test_a_photo_on_which_the_model_fails_does_not_take_its_batch_along(
    tmp_path: Path, error: Exception
) -> None:
    def fails_on_33(images: Sequence[Image.Image]) -> list[int]:
        if 33 in widths(images):
            raise error
        return widths(images)

    found = [answer for _, answer in through(open_items(items(tmp_path, 6)), 6, fails_on_33)]
    assert [a.type if isinstance(a, ItemError) else a for a in found] == [30, 31, 32, "model", 34, 35]


def test_what_is_done_is_left_out_and_never_asked_about(tmp_path: Path) -> None:
    opened = open_items(
        items(tmp_path, 3), done=lambda name, content: name == "1.png" and content.startswith("sha256:")
    )
    assert [photo.item.name for photo, _ in through(opened, 2, widths)] == ["0.png", "2.png"]


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

    (left,) = open_items(some, done=lambda name, content: True, watch=watch)
    assert left.error is not None
    assert left.error.type == "missing"


def test_a_model_of_photos_refuses_videos_before_they_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    item = Item(0, "a.mp4", tmp_path / "a.mp4", kind="video")
    opened = open_item(item, watch=watcher(Sampling(), None, remedy="use another model"))
    assert opened.error is not None
    assert opened.content is not None
    assert str(opened.error) == "a.mp4: the model takes no videos; use another model"


def test_photos_are_opened_as_they_are_needed(tmp_path: Path) -> None:
    opened = 0

    def counting():
        nonlocal opened
        for item in items(tmp_path, 9):
            opened += 1
            yield item

    stream = through(open_items(counting()), 2, widths)
    next(stream)
    assert opened == 2
