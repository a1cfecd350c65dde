"""Shards: every item is in one shard, and the same one in every run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.io.shards import Shard
from realqa_cli.io.sources import Item

NAMES = [f"photos/{index:04}.jpg" for index in range(1000)]


@given(name=st.text(), count=st.integers(1, 50))
def test_every_name_is_in_one_shard(name: str, count: int) -> None:
    assert sum(Shard(index, count).has(name) for index in range(1, count + 1)) == 1


def test_the_shard_of_a_name_never_changes() -> None:
    assert [name for name in NAMES[:20] if Shard(1, 4).has(name)] == [
        "photos/0003.jpg",
        "photos/0008.jpg",
        "photos/0009.jpg",
        "photos/0010.jpg",
        "photos/0013.jpg",
    ]


def test_shards_are_of_similar_size() -> None:
    sizes = [sum(map(Shard(index, 8).has, NAMES)) for index in range(1, 9)]
    assert sum(sizes) == 1000
    assert 90 < min(sizes) <= max(sizes) < 160


def test_the_items_of_a_shard_keep_their_order_and_are_numbered() -> None:
    items = list(Shard(2, 3).select(Item(index, name, None) for index, name in enumerate(NAMES)))
    assert [item.index for item in items] == list(range(len(items)))
    assert [item.name for item in items] == sorted(item.name for item in items)


def test_the_share_of_a_shard_is_rounded_up() -> None:
    assert Shard(1, 3).share_of(10) == 4
    assert Shard(1, 3).share_of(None) is None


@pytest.mark.parametrize("text", ["0/8", "9/8", "1/0", "3", "a/b", "-1/8", "1/8/2", ""])
def test_what_is_not_a_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"3/8|the first"):
        Shard.parse(text)


def test_a_shard_is_read_from_text() -> None:
    assert Shard.parse(" 3/8 ") == Shard(3, 8)
