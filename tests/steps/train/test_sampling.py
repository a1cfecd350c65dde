"""Conversations of like length share a batch, and each is learned once an epoch."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.steps.train.sampling import LengthGroupedSampler

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=300)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 5))
def test_every_conversation_comes_once_an_epoch(lengths: list[int], size: int, epoch: int) -> None:
    sampler = LengthGroupedSampler(lengths, size, seed=1)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths))) == list(range(len(sampler)))


@given(LENGTHS, st.integers(1, 9))
def test_the_order_depends_on_seed_and_epoch_only(lengths: list[int], size: int) -> None:
    assert list(LengthGroupedSampler(lengths, size, seed=3)) == list(LengthGroupedSampler(lengths, size, seed=3))


def test_another_epoch_and_another_seed_have_another_order() -> None:
    sampler = LengthGroupedSampler(range(1000), 8, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first != list(LengthGroupedSampler(range(1000), 8, seed=1))


def test_a_batch_holds_like_lengths_and_batches_do_not_come_sorted() -> None:
    lengths = [(n * 7919) % 400 for n in range(1600)]
    order = list(LengthGroupedSampler(lengths, 16, seed=0))
    batches = [[lengths[i] for i in order[start : start + 16]] for start in range(0, 1600, 16)]
    assert max(max(batch) - min(batch) for batch in batches) < 40
    means = [sum(batch) for batch in batches]
    assert means != sorted(means, reverse=True)
    falls = sum(a > b for a, b in itertools.pairwise(means))
    assert 25 < falls < 75
