"""Key-value cache of the `onnx` backend: prompts about the same inputs share the prefix of their text.

A text and the tree of its continuations are run in one pass, as in decoding/tree.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.backends.onnx.graphs import Graphs, Ids
from realqa_cli.backends.onnx.inputs import OnnxProcessor, PromptLayout, VisualGrid
from realqa_cli.backends.onnx.runtimes import Array
from realqa_cli.decoding.trie_cache import TrieCache
from realqa_cli.domain.numerals import Floats, TokenTrie
from realqa_cli.media.video import VisualInput

_NO_BRANCHES = TokenTrie(tokens=(-1,), parents=(-1,), depths=(0,), paths=())


@dataclass(frozen=True)
class _CachedPrompt:
    """The cache for some photos or videos: their features, and the text of the last prompt.

    visual_inputs: kept, because the key is the identity of these objects.
    features_F_H: the visual tokens of all inputs, in order.
    ids_T: the tokens of the text.  past: their keys and values.
    """

    visual_inputs: tuple[VisualInput, ...]
    grids: tuple[VisualGrid, ...]
    features_F_H: Array
    ids_T: Ids
    past: Array


class OnnxPrefixCache(Backend):
    """Implements `Backend`: of a prompt about cached inputs, only the text after the shared prefix is run."""

    def __init__(self, graphs: Graphs, processor: OnnxProcessor, tries: TrieCache, ends: frozenset[int]) -> None:
        """ends: the ids of the tokens that end an answer."""
        self._graphs, self._processor, self._tries, self._ends = graphs, processor, tries, ends
        self._cache: dict[tuple[int, ...], _CachedPrompt] = {}

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        self._keep_only(batch)
        log_probs_B_V = np.empty((len(batch), len(continuations)))
        for row, prompt in enumerate(batch):
            ids, _, trie = self._tries(self._processor.text(prompt), continuations, end)
            branches = _branches(trie)
            log_probs_B_V[row] = branches.joint(self._run(prompt, ids, branches))
        return log_probs_B_V

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt; see `Backend`."""
        self._keep_only(batch)
        return [prompt.prefix + self._write(prompt, max_new_tokens, stop) for prompt in batch]

    def _write(self, prompt: Prompt, max_new_tokens: int, stop: str | None) -> str:
        ids = self._processor.encode([self._processor.text(prompt)])[0]
        written: list[int] = []
        while len(written) < max_new_tokens:
            token = int(np.argmax(self._run(prompt, [*ids, *written], _branches(_NO_BRANCHES))[0]))
            written.append(token)
            if token in self._ends or (stop is not None and stop in self._processor.decode(written)):
                break
        return self._processor.decode(written)

    def _run(self, prompt: Prompt, ids: Sequence[int], branches: "_Branches") -> Array:
        """(1 + N, V) log-probabilities of the token after the text and after each of the N branch nodes."""
        cached = self._cached(prompt.visual_inputs)
        layout = self._processor.lay_out(ids, cached.grids)
        read, length = _shared(cached.ids_T, layout.ids_T), len(layout.ids_T)
        new = layout.places_F >= read
        log_probs_R_V, present = self._graphs.forward(
            ids_T=np.concatenate([layout.ids_T[read:], branches.tokens_N]),
            positions_3_T=np.concatenate([layout.positions_3_T[:, read:], branches.positions(layout)], axis=1),
            mask_T_K=branches.mask(read, length),
            past=cached.past[:, :, :read],
            rows_R=np.arange(length - read - 1, length - read + len(branches.tokens_N)),
            places_F=layout.places_F[new] - read,
            features_F_H=cached.features_F_H[new],
        )
        self._cache[_key(prompt.visual_inputs)] = replace(cached, ids_T=layout.ids_T, past=present[:, :, :length])
        return log_probs_R_V

    def _cached(self, visual_inputs: tuple[VisualInput, ...]) -> _CachedPrompt:
        """The cache entry of the inputs; their features are computed the first time."""
        if (cached := self._cache.get(_key(visual_inputs))) is not None:
            return cached
        patched = [self._processor.patches(visual_input) for visual_input in visual_inputs]
        features = [self._graphs.encode_image(*patches) for each in patched for patches in each]
        grids = tuple(map(self._processor.grid, visual_inputs, patched))
        joined_F_H = np.concatenate(features) if features else self._graphs.no_features
        cached = _CachedPrompt(visual_inputs, grids, joined_F_H, np.zeros(0, np.int64), self._graphs.empty_cache)
        self._cache[_key(visual_inputs)] = cached
        return cached

    def _keep_only(self, batch: Sequence[Prompt]) -> None:
        keys = {_key(prompt.visual_inputs) for prompt in batch}
        self._cache = {key: cached for key, cached in self._cache.items() if key in keys}


@dataclass(frozen=True)
class _Branches:
    """A trie with N inner nodes as arrays.

    tokens_N, depths_N: of the inner nodes.  lineage_N_N: the nodes that each node attends to, including itself.
    edges_E_2: for each node but the root, the row of its parent (0 is the root) and its token.
    paths_V_D: the nodes on the path of each continuation, padded with 0.
    """

    tokens_N: Ids
    depths_N: Ids
    lineage_N_N: NDArray[np.bool_]
    edges_E_2: Ids
    paths_V_D: Ids

    def positions(self, layout: PromptLayout) -> Ids:
        """(3, N) positions by depth, as if each path were the only continuation of the text."""
        return np.broadcast_to(layout.next + self.depths_N - 1, (3, len(self.depths_N)))

    def mask(self, read: int, length: int) -> NDArray[np.bool_]:
        """(length - read + N, length + N) bool: causal in the text; a node attends to the text and its ancestors."""
        new, count = length - read, len(self.tokens_N)
        mask = np.zeros((new + count, length + count), bool)
        mask[:new, :length] = np.tri(new, length, read, dtype=bool)
        mask[new:, :length] = True
        mask[new:, length:] = self.lineage_N_N
        return mask

    def joint(self, log_probs_R_V: Array) -> Floats:
        """(V,) log-probabilities of the continuations, from those after the root and after each node."""
        edges = log_probs_R_V[self.edges_E_2[:, 0], self.edges_E_2[:, 1]].astype(np.float64)
        return np.asarray(np.concatenate([[0.0], edges])[self.paths_V_D].sum(axis=1))


@lru_cache(maxsize=64)
def _branches(trie: TokenTrie) -> _Branches:
    inner, height = trie.inner, trie.height
    rows = {0: 0} | {node: row for row, node in enumerate(inner, start=1)}
    lineage = np.eye(len(inner), dtype=bool)
    for node in inner:
        lineage[rows[node] - 1, [rows[above] - 1 for above in trie.ancestors(node)]] = True
    edges = [(rows[parent], token) for parent, token in zip(trie.parents[1:], trie.tokens[1:], strict=True)]
    paths = [path + (0,) * (height - len(path)) for path in trie.paths]
    return _Branches(
        tokens_N=np.array([trie.tokens[node] for node in inner], np.int64),
        depths_N=np.array([trie.depths[node] for node in inner], np.int64),
        lineage_N_N=lineage,
        edges_E_2=np.array(edges, np.int64).reshape(-1, 2),
        paths_V_D=np.array(paths, np.int64).reshape(len(paths), height),
    )


def _key(visual_inputs: Sequence[VisualInput]) -> tuple[int, ...]:
    return tuple(map(id, visual_inputs))


def _shared(cached_T: Ids, ids_T: Ids) -> int:
    """The length of the shared prefix, without the last of `ids_T`: at least one token must be run."""
    length = min(len(cached_T), len(ids_T) - 1)
    differing = np.flatnonzero(cached_T[:length] != ids_T[:length])
    return int(differing[0]) if len(differing) else length
