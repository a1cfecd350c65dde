"""One of N parts of the items of a run, for runs on several machines that need not know of each other.

An item belongs to the part that a hash of its name gives, whatever the order and number of the other items.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

from realqa_cli.io.archives import archive_of
from realqa_cli.io.sources import Item


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3/8`. Raises ValueError."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not like 3/8, the third of eight shards")
        index, count = map(int, match.groups())
        if not 1 <= index <= count:
            raise ValueError(f"{text!r}: the first of {count or 'N'} shards is 1, the last {count or 'N'}")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, name: str) -> bool:
        """Whether the item of this name belongs to the shard; all items of an archive belong to the same one."""
        digest = blake2b(archive_of(name).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1

    def select(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items of the shard, in their order, numbered from 0."""
        mine = (item for item in items if self.has(item.name))
        return (replace(item, index=index) for index, item in enumerate(mine))

    def share_of(self, total: int | None) -> int | None:
        """About how many of so many items belong to the shard; None for an unknown number."""
        return None if total is None else -(-total // self.count)
