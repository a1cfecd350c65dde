"""The data set of a training run, and the order in which its conversations are used.

The order depends on seed, epoch and batch size only, not on the number of processes: each epoch is filled up with
padding, which is not trained, to a whole number of batches per process. So N processes train on the same conversations
in each step as one process with N times the accumulation steps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.utils.data import Dataset, Sampler

from realqa_cli.inference.teacher_forcing.conversations import Conversation

PADDING = -1
"""The index of a conversation of which nothing is trained."""

_POOL = 50
"""Batches per pool of `--group-by-length`; conversations are drawn into pools at random and sorted within."""


class ConversationDataset(Dataset[Conversation]):
    """The conversations by index; `PADDING` is a copy of the first one that is not trained."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self.conversations = conversations
        self._padding = replace(conversations[0], padding=True)

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, index: int) -> Conversation:
        return self._padding if index == PADDING else self.conversations[index]


class EpochSampler(Sampler[int]):
    """Yields every index once per epoch in random order, then `PADDING`.

    lengths: tokens of each conversation, to batch conversations of similar length; else None. A batch is as wide as
    its longest row, so batches of similar lengths contain little padding.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, *, processes: int = 1, lengths: Sequence[int] | None = None
    ) -> None:
        self.count, self.batch_size, self.seed, self.lengths = count, batch_size, seed, lengths
        whole = batch_size * processes
        self.padding = 0 if processes == 1 else math.ceil(count / whole) * whole - count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count + self.padding

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order: list[int] = torch.randperm(self.count, generator=generator).tolist()
        if self.lengths is not None:
            order = self._group(order, self.lengths, generator)
        yield from order
        yield from [PADDING] * self.padding

    def _group(self, shuffled: list[int], lengths: Sequence[int], generator: torch.Generator) -> list[int]:
        """Random pools, sorted by length, cut into batches, batches shuffled.

        The sampler of transformers leaves the batches of a pool sorted by length, so that long and short rows, and
        with them the kinds of answers, alternate in waves.
        """
        size = self.batch_size * _POOL
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), size):
            pool = sorted(shuffled[start : start + size], key=lengths.__getitem__, reverse=True)
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]  # last, or it would shift all others
        order = torch.randperm(len(whole), generator=generator).tolist()
        return [index for batch in [*(whole[i] for i in order), *rest] for index in batch]
