"""The order of conversations when those of similar length share a batch.

A batch is as wide as its longest row, so batches of similar lengths contain little padding.
"""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

_POOL = 50
"""Batches per pool; conversations are drawn into pools at random and sorted within their pool."""


class LengthGroupedSampler(Sampler[int]):
    """Yields every index once per epoch: random pools, sorted by length, cut into batches, batches shuffled.

    The sampler of transformers leaves the batches of a pool sorted by length, so that long and short rows, and with
    them the kinds of answers, alternate in waves. The order depends on seed and epoch only.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        shuffled = torch.randperm(len(self.lengths), generator=generator).tolist()
        size = self.batch_size * _POOL
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), size):
            pool = sorted(shuffled[start : start + size], key=self.lengths.__getitem__, reverse=True)
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]  # last, or it would shift all others
        order = torch.randperm(len(whole), generator=generator).tolist()
        return (index for batch in [*(whole[i] for i in order), *rest] for index in batch)
