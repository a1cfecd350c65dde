"""Asking on about the same photos: the prompt's keys and values are kept, and only new text is run.

Every ask is tokenised whole, as without a memory, and compared with what the model has read: what both begin
with stays, what was told otherwise is hidden, and what is new is run together with the tree of its
continuations, in one forward pass. So a form costs one short pass a slot, another question about a photo the
question alone, and where a tokenizer merges forced text with what follows it, the merged token is run again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.decoding import tree
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.domain.numerals import Floats, TokenTrie, shared_length
from realqa_cli.media.video import VisualInput


class CacheableBackend(Protocol):
    """What a memory needs of the `hf` backend."""

    model: Any

    def text(self, ask: Prompt) -> str:
        """The rendered ask, with its prefix."""
        ...

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; placeholders stay single."""
        ...

    def trie(self, text: str, continuations: Sequence[str], end: str) -> tuple[int, TokenTrie]:
        """How many of the text's last tokens merge into the continuations, and their trie."""
        ...

    def prompt(self, texts: Sequence[str], asks: Sequence[Prompt], drop: int) -> PromptBatch:
        """The tensors of the texts without the last `drop` tokens of each, the photos encoded."""
        ...

    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """See `Backend`."""
        ...


@dataclass(frozen=True)
class _Told:
    """What the model was told of a batch.

    seen: the photos, by row.  ids: each row's tokens, placeholders single.  prompt: all cells, with those
    hidden that were told otherwise since.  past: the cache of the first `read` columns.
    """

    seen: list[tuple[VisualInput, ...]]
    ids: list[list[int]]
    prompt: PromptBatch
    past: Any = None
    read: int = 0


class PrefixCache(Backend):
    """Implements `Backend` over a backend whose model takes the tree's mask."""

    def __init__(self, backend: CacheableBackend) -> None:
        self._backend = backend
        self._told: _Told | None = None
        config = backend.model.config
        names = ("image_token_id", "video_token_id")
        self._shown = {getattr(config, name, None) for name in names}

    @torch.inference_mode()
    def log_probs(self, asks: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        texts = [self._backend.text(ask) for ask in asks]
        ways = [self._backend.trie(text, continuations, end) for text in texts]
        drops = [dropped for dropped, _ in ways]
        found_B_V = np.empty((len(asks), len(continuations)))
        for trie in dict.fromkeys(trie for _, trie in ways):  # nearly always one
            told = self._tell(asks, texts, drops)
            self._told = None  # where the pass fails nothing is known of the cache
            weighed_B_V, past = tree.read_on(self._backend.model, told.prompt, trie, told.past, told.read)
            self._told = replace(told, past=past, read=told.prompt.ids_B_T.shape[1])
            rows = [row for row, (_, own) in enumerate(ways) if own == trie]
            found_B_V[rows] = weighed_B_V[rows].cpu()
        return found_B_V

    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each ask; see `Backend`. Free text is written without the memory."""
        return self._backend.generate(asks, max_new_tokens, stop)

    def _tell(self, asks: Sequence[Prompt], texts: list[str], drops: list[int]) -> _Told:
        """The asks without their last tokens that are dropped: after what was told, or from scratch."""
        seen = [ask.seen for ask in asks]
        whole = self._backend.tokens(texts)
        ids = [row[: len(row) - drop] for row, drop in zip(whole, drops, strict=True)]
        if self._told is not None and _same(seen, self._told.seen):
            shared = [_shared(*pair) for pair in zip(self._told.ids, ids, strict=True)]
            if all(count > self._last_shown(row) for count, row in zip(shared, ids, strict=True)):
                return _told_on(self._told, ids, shared)
        self._told = None  # its cache is let go before there is another
        if len({*drops}) == 1:
            return _Told(seen, ids, self._backend.prompt(texts, asks, drops[0]))
        told = _Told(seen, whole, self._backend.prompt(texts, asks, 0))
        return _told_on(told, ids, [_shared(*pair) for pair in zip(whole, ids, strict=True)])

    def _last_shown(self, ids: list[int]) -> int:
        """The place of the last photo's token, -1 where none is shown."""
        return max((place for place, token in enumerate(ids) if token in self._shown), default=-1)


def _shared(told: list[int], ids: list[int]) -> int:
    """How many tokens both begin with; the last of `ids` is left, for something has to be run."""
    return min(shared_length([told, ids]), len(ids) - 1)


def _same(seen: list[tuple[VisualInput, ...]], others: list[tuple[VisualInput, ...]]) -> bool:
    return [[*map(id, row)] for row in seen] == [[*map(id, row)] for row in others]


def _told_on(told: _Told, ids: list[list[int]], shared: list[int]) -> _Told:
    """With the rows' tokens from `shared` on in new columns, padded on the left, and their others hidden."""
    old = told.prompt
    device = old.ids_B_T.device
    mask_B_T = old.mask_B_T.clone()
    for row, count in enumerate(shared):
        if gone := len(told.ids[row]) - count:
            mask_B_T[row, mask_B_T[row].nonzero()[-gone:, 0]] = False
    further = [row[count:] for row, count in zip(ids, shared, strict=True)]
    width = max(map(len, further))
    lacking = [width - len(row) for row in further]
    new_B_W = torch.tensor([[0] * n + row for n, row in zip(lacking, further, strict=True)], device=device)
    real_B_W = torch.arange(width, device=device) >= torch.tensor(lacking, device=device)[:, None]
    steps_B_W = (real_B_W.long().cumsum(dim=1) - 1).clamp(min=0)
    begin = tree.next_position(replace(old, mask_B_T=mask_B_T))
    prompt = replace(
        old,
        ids_B_T=torch.cat([old.ids_B_T, new_B_W], dim=1),
        mask_B_T=torch.cat([mask_B_T, real_B_W], dim=1),
        positions=torch.cat([old.positions, begin + steps_B_W], dim=-1),
        token_types_B_T=None
        if old.token_types_B_T is None
        else torch.nn.functional.pad(old.token_types_B_T, (0, width)),
    )
    return replace(told, ids=ids, prompt=prompt)
