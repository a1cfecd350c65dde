"""Key-value cache over several prompts about the same photos: only new text is run.

Each prompt is tokenised as a whole, as without a cache, and compared with the tokens in the cache. The shared
prefix is kept, cached tokens after it are masked, and new tokens are run together with the tree of their
continuations in one forward pass. A slot of a form therefore costs one short pass, and another question about
a photo costs only the question. If the tokenizer merges forced text with the text after it, the merged token
is run again.
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
    """The part of the `hf` backend that the cache uses."""

    model: Any

    def text(self, prompt: Prompt) -> str:
        """The rendered prompt, with its prefix."""
        ...

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; a placeholder is one token."""
        ...

    def trie(self, text: str, continuations: Sequence[str], end: str) -> tuple[int, TokenTrie]:
        """How many of the last tokens of the text merge into the continuations, and their trie."""
        ...

    def encode(self, texts: Sequence[str], batch: Sequence[Prompt], drop: int) -> PromptBatch:
        """The tensors of the texts without the last `drop` tokens of each, with the features of the photos."""
        ...

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """See `Backend`."""
        ...


@dataclass(frozen=True)
class _CachedBatch:
    """The state of the cache for one batch.

    visual_inputs: the photos of each row.  ids: the tokens of each row, placeholders single.
    encoded: all columns; tokens that later prompts do not share are masked.
    past: the keys and values of the first `read` columns.
    """

    visual_inputs: list[tuple[VisualInput, ...]]
    ids: list[list[int]]
    encoded: PromptBatch
    past: Any = None
    read: int = 0


class PrefixCache(Backend):
    """Implements `Backend` for a backend whose model accepts the mask of the tree pass."""

    def __init__(self, backend: CacheableBackend) -> None:
        self._backend = backend
        self._cached: _CachedBatch | None = None
        config = backend.model.config
        names = ("image_token_id", "video_token_id")
        self._placeholders = {getattr(config, name, None) for name in names}

    @torch.inference_mode()
    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        texts = [self._backend.text(prompt) for prompt in batch]
        tries = [self._backend.trie(text, continuations, end) for text in texts]
        drops = [dropped for dropped, _ in tries]
        log_probs_B_V = np.empty((len(batch), len(continuations)))
        for trie in dict.fromkeys(trie for _, trie in tries):  # nearly always a single one
            cached = self._prepare(batch, texts, drops)
            self._cached = None  # if the pass fails, the state of the cache is unknown
            new_B_V, past = tree.read_on(self._backend.model, cached.encoded, trie, cached.past, cached.read)
            self._cached = replace(cached, past=past, read=cached.encoded.ids_B_T.shape[1])
            rows = [row for row, (_, own) in enumerate(tries) if own == trie]
            log_probs_B_V[rows] = new_B_V[rows].cpu()
        return log_probs_B_V

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt; see `Backend`. Generation does not use the cache."""
        return self._backend.generate(batch, max_new_tokens, stop)

    def _prepare(self, batch: Sequence[Prompt], texts: list[str], drops: list[int]) -> _CachedBatch:
        """The prompts without their `drops` last tokens, as an extension of the cached batch if possible."""
        visual_inputs = [prompt.visual_inputs for prompt in batch]
        whole = self._backend.tokens(texts)
        ids = [row[: len(row) - drop] for row, drop in zip(whole, drops, strict=True)]
        if self._cached is not None and _same(visual_inputs, self._cached.visual_inputs):
            shared = [_shared(*pair) for pair in zip(self._cached.ids, ids, strict=True)]
            if all(count > self._last_placeholder(row) for count, row in zip(shared, ids, strict=True)):
                return _extended(self._cached, ids, shared)
        self._cached = None  # frees its memory before another cache is allocated
        if len({*drops}) == 1:
            return _CachedBatch(visual_inputs, ids, self._backend.encode(texts, batch, drops[0]))
        cached = _CachedBatch(visual_inputs, whole, self._backend.encode(texts, batch, 0))
        return _extended(cached, ids, [_shared(*pair) for pair in zip(whole, ids, strict=True)])

    def _last_placeholder(self, ids: list[int]) -> int:
        """The index of the last placeholder token, -1 if there is none."""
        return max((place for place, token in enumerate(ids) if token in self._placeholders), default=-1)


def _shared(cached: list[int], ids: list[int]) -> int:
    """The length of the shared prefix, without the last of `ids`: at least one token must be run."""
    return min(shared_length([cached, ids]), len(ids) - 1)


def _same(these: list[tuple[VisualInput, ...]], others: list[tuple[VisualInput, ...]]) -> bool:
    return [[*map(id, row)] for row in these] == [[*map(id, row)] for row in others]


def _extended(cached: _CachedBatch, ids: list[list[int]], shared: list[int]) -> _CachedBatch:
    """Appends each row's tokens after the shared ones as new columns, padded on the left; masks the old ones."""
    old = cached.encoded
    device = old.ids_B_T.device
    mask_B_T = old.mask_B_T.clone()
    for row, count in enumerate(shared):
        if masked := len(cached.ids[row]) - count:
            mask_B_T[row, mask_B_T[row].nonzero()[-masked:, 0]] = False
    new_rows = [row[count:] for row, count in zip(ids, shared, strict=True)]
    width = max(map(len, new_rows))
    padding = [width - len(row) for row in new_rows]
    new_B_W = torch.tensor([[0] * n + row for n, row in zip(padding, new_rows, strict=True)], device=device)
    real_B_W = torch.arange(width, device=device) >= torch.tensor(padding, device=device)[:, None]
    steps_B_W = (real_B_W.long().cumsum(dim=1) - 1).clamp(min=0)
    begin = tree.next_position(replace(old, mask_B_T=mask_B_T))
    encoded = replace(
        old,
        ids_B_T=torch.cat([old.ids_B_T, new_B_W], dim=1),
        mask_B_T=torch.cat([mask_B_T, real_B_W], dim=1),
        positions=torch.cat([old.positions, begin + steps_B_W], dim=-1),
        token_types_B_T=None
        if old.token_types_B_T is None
        else torch.nn.functional.pad(old.token_types_B_T, (0, width)),
    )
    return replace(cached, ids=ids, encoded=encoded)
