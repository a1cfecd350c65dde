"""Asks to the `onnx` backend: each is told to the language model, with a memory of what it has read.

A text and the tree of its continuations go through in one pass, as in decoding/tree.py.
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
class _Read:
    """What the model knows of some photos or videos: their visual tokens, and the text that it read last.

    sights: kept, so that they stay the same objects.  features_F_H: visual tokens of all, in order.
    ids_T: the text's tokens.  past: their keys and values.
    """

    sights: tuple[VisualInput, ...]
    grids: tuple[VisualGrid, ...]
    features_F_H: Array
    ids_T: Ids
    past: Array


class OnnxPrefixCache(Backend):
    """Implements `Backend`: a text that begins as the last one about the same photos is read on from there."""

    def __init__(self, graphs: Graphs, prompts: OnnxProcessor, tries: TrieCache, ends: frozenset[int]) -> None:
        """`ends`: the tokens with which an answer ends."""
        self._graphs, self._prompts, self._tries, self._ends = graphs, prompts, tries, ends
        self._read: dict[tuple[int, ...], _Read] = {}

    def log_probs(self, asks: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        self._forget_all_but(asks)
        found_B_V = np.empty((len(asks), len(continuations)))
        for row, ask in enumerate(asks):
            ids, _, trie = self._tries(self._prompts.text(ask), continuations, end)
            branches = _branches(trie)
            found_B_V[row] = branches.joint(self._tell(ask, ids, branches))
        return found_B_V

    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each ask; see `Backend`."""
        self._forget_all_but(asks)
        return [ask.prefix + self._write(ask, max_new_tokens, stop) for ask in asks]

    def _write(self, ask: Prompt, max_new_tokens: int, stop: str | None) -> str:
        ids = self._prompts.encode([self._prompts.text(ask)])[0]
        written: list[int] = []
        while len(written) < max_new_tokens:
            token = int(np.argmax(self._tell(ask, [*ids, *written], _branches(_NO_BRANCHES))[0]))
            written.append(token)
            if token in self._ends or (stop is not None and stop in self._prompts.decode(written)):
                break
        return self._prompts.decode(written)

    def _tell(self, ask: Prompt, ids: Sequence[int], branches: "_Branches") -> Array:
        """(1 + N, V) log-probabilities of what follows the text, and each of the branches' nodes after it."""
        known = self._about(ask.seen)
        laid = self._prompts.lay_out(ids, known.grids)
        read, told = _shared(known.ids_T, laid.ids_T), len(laid.ids_T)
        new = laid.places_F >= read
        log_probs_R_V, present = self._graphs.read(
            ids_T=np.concatenate([laid.ids_T[read:], branches.tokens_N]),
            positions_3_T=np.concatenate([laid.positions_3_T[:, read:], branches.positions(laid)], axis=1),
            mask_T_K=branches.mask(read, told),
            past=known.past[:, :, :read],
            rows_R=np.arange(told - read - 1, told - read + len(branches.tokens_N)),
            places_F=laid.places_F[new] - read,
            features_F_H=known.features_F_H[new],
        )
        self._read[_key(ask.seen)] = replace(known, ids_T=laid.ids_T, past=present[:, :, :told])
        return log_probs_R_V

    def _about(self, sights: tuple[VisualInput, ...]) -> _Read:
        """What is known of them; they are looked at the first time."""
        if (known := self._read.get(_key(sights))) is not None:
            return known
        patched = [self._prompts.patches(sight) for sight in sights]
        features = [self._graphs.see(*patches) for each in patched for patches in each]
        grids = tuple(map(self._prompts.grid, sights, patched))
        seen = np.concatenate(features) if features else self._graphs.unseen
        known = _Read(sights, grids, seen, np.zeros(0, np.int64), self._graphs.unread)
        self._read[_key(sights)] = known
        return known

    def _forget_all_but(self, asks: Sequence[Prompt]) -> None:
        keys = {_key(ask.seen) for ask in asks}
        self._read = {key: read for key, read in self._read.items() if key in keys}


@dataclass(frozen=True)
class _Branches:
    """A trie as arrays, for N inner nodes.

    tokens_N, depths_N: of the inner nodes.  lineage_N_N: whom each node sees, itself among them.
    edges_E_2: for each node but the root, the row of its parent (0 is the root) and its token.
    paths_V_D: for each continuation the nodes on its way, filled up with 0.
    """

    tokens_N: Ids
    depths_N: Ids
    lineage_N_N: NDArray[np.bool_]
    edges_E_2: Ids
    paths_V_D: Ids

    def positions(self, laid: PromptLayout) -> Ids:
        """(3, N): as if each path stood alone behind the text."""
        return np.broadcast_to(laid.next + self.depths_N - 1, (3, len(self.depths_N)))

    def mask(self, read: int, told: int) -> NDArray[np.bool_]:
        """(told - read + N, told + N): text sees what stands before it, a node the text and its ancestors."""
        new, count = told - read, len(self.tokens_N)
        mask = np.zeros((new + count, told + count), bool)
        mask[:new, :told] = np.tri(new, told, read, dtype=bool)
        mask[new:, :told] = True
        mask[new:, told:] = self.lineage_N_N
        return mask

    def joint(self, log_probs_R_V: Array) -> Floats:
        """(V,) the continuations' log-probabilities, from those after the root and after each node."""
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


def _key(sights: Sequence[VisualInput]) -> tuple[int, ...]:
    return tuple(map(id, sights))


def _shared(known_T: Ids, ids_T: Ids) -> int:
    """How many tokens both begin with; the last of `ids_T` is left, for something has to be run."""
    length = min(len(known_T), len(ids_T) - 1)
    differing = np.flatnonzero(known_T[:length] != ids_T[:length])
    return int(differing[0]) if len(differing) else length
