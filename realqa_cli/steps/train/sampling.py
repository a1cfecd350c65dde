"""The order in which conversations are learned when those of like length are to share a batch.

A batch is as wide as its longest row, so rows of like length waste little. Knows lengths only.
"""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

_POOL = 50
"""Batches' worth of conversations, drawn at random, within which they are sorted."""


class LengthGroupedSampler(Sampler[int]):
    """Every index once an epoch: pools of random ones, sorted by length, cut into batches, batches shuffled.

    The library's own sampler of this kind leaves the batches of a pool in the order of their lengths, so that
    long and short ones, and with them the kinds of answers, come in waves. Seeded by seed and epoch.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch, by what runs them."""
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
        rest = [batch for batch in batches if len(batch) < self.batch_size]  # last, else batches would shift
        order = torch.randperm(len(whole), generator=generator).tolist()
        return (index for batch in [*(whole[i] for i in order), *rest] for index in batch)
