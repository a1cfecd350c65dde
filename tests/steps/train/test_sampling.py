"""Each conversation is used once per epoch, in an order that does not depend on the number of processes."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.steps.train.sampling import PADDING, ConversationDataset, EpochSampler

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=300)


def sampler(lengths: list[int], size: int, seed: int = 0, *, grouped: bool = True, processes: int = 1) -> EpochSampler:
    return EpochSampler(len(lengths), size, seed, lengths=lengths if grouped else None, processes=processes)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 5), st.booleans())
def test_every_conversation_comes_once_an_epoch(lengths: list[int], size: int, epoch: int, grouped: bool) -> None:
    one = sampler(lengths, size, 1, grouped=grouped)
    one.set_epoch(epoch)
    assert sorted(one) == list(range(len(lengths))) == list(range(len(one)))


@given(LENGTHS, st.integers(1, 9), st.booleans())
def test_the_order_depends_on_seed_and_epoch_only(lengths: list[int], size: int, grouped: bool) -> None:
    assert list(sampler(lengths, size, 3, grouped=grouped)) == list(sampler(lengths, size, 3, grouped=grouped))


@given(LENGTHS, st.integers(1, 9), st.integers(2, 8), st.booleans())
def test_more_processes_only_add_padding_at_the_end(
    lengths: list[int], size: int, processes: int, grouped: bool
) -> None:
    alone = list(sampler(lengths, size, grouped=grouped))
    together = list(sampler(lengths, size, grouped=grouped, processes=processes))
    assert len(together) % (size * processes) == 0
    assert len(together) - len(alone) < size * processes
    assert together == alone + [PADDING] * (len(together) - len(alone))


def test_another_epoch_and_another_seed_have_another_order() -> None:
    lengths = list(range(1000))
    one = sampler(lengths, 8)
    first = list(one)
    one.set_epoch(1)
    assert list(one) != first != list(sampler(lengths, 8, 1))


def test_a_batch_has_similar_lengths_and_batches_are_not_sorted() -> None:
    lengths = [(n * 7919) % 400 for n in range(1600)]
    order = list(sampler(lengths, 16))
    batches = [[lengths[i] for i in order[start : start + 16]] for start in range(0, 1600, 16)]
    assert max(max(batch) - min(batch) for batch in batches) < 40
    means = [sum(batch) for batch in batches]
    assert means != sorted(means, reverse=True)
    falls = sum(a > b for a, b in itertools.pairwise(means))
    assert 25 < falls < 75


@pytest.mark.parametrize("index", [0, 1])
def test_padding_is_a_conversation_that_is_not_trained(index: int) -> None:
    turns = (("user", "<image>How?"), ("assistant", "Good."))
    data = ConversationDataset([Conversation(turns, (Path(f"{i}.png"),), f"c.jsonl:{i}") for i in (1, 2)])
    assert not data[index].padding
    assert data[PADDING].padding
    assert data[PADDING].turns == turns
