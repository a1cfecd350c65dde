"""Which branches of a numeral trie must be looked at to tell some numerals apart, and no others.

The metric (continuity.py) and the number-aware loss (number_loss.py) both ask for distributions over parts of
the trie of all numerals: over one digit given those before it, over the first digits, .... Only nodes below
which the answer is still open need a model's output. With one token a digit those on the path of the true
number are enough for the metric; with merged digits there can be more.

Pure arithmetic on tries: knows no model.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain.numerals import Floats, TokenTrie

Ints = NDArray[np.int64]
Prefix = tuple[int, ...]
"""A node by the tokens that lead to it from the root, which is ()."""


@dataclass(frozen=True, eq=False)
class TrieBranches:
    """The part of a trie that is looked at: K nodes in breadth-first order, root first, and their E edges.

    nodes: (K,) each by its tokens.  edge_node_E: the node that an edge leaves.  edge_token_E: its token.
    came_by_K: the edge by which each node is reached, -1 for the root.
    """

    nodes: tuple[Prefix, ...]
    edge_node_E: Ints
    edge_token_E: Ints
    came_by_K: Ints

    def conditionals(self, edge_logits_E: Floats) -> Floats:
        """(E,) log P(edge | its node) where only the node's own edges can be taken."""
        starts = np.flatnonzero(np.diff(self.edge_node_E, prepend=-1))
        return np.asarray(edge_logits_E - np.logaddexp.reduceat(edge_logits_E, starts)[self.edge_node_E])

    def joint(self, edge_log_probs_E: Floats) -> Floats:
        """(E,) log-probability of reaching each edge's end from the root."""
        reached_K = np.zeros(len(self.nodes))
        for node, edge in enumerate(self.came_by_K[1:], start=1):
            reached_K[node] = reached_K[self.edge_node_E[edge]] + edge_log_probs_E[edge]
        return np.asarray(reached_K[self.edge_node_E] + edge_log_probs_E)


def find_branches(
    trie: TokenTrie, outcomes: Sequence[Hashable | None], also: Collection[int] = frozenset()
) -> tuple[TrieBranches, list[tuple[int, ...]]]:
    """The branches on which it is still open which outcome comes out, and the nodes `also`.

    outcomes: one for each numeral of the trie; None leaves the numeral out, as if it could not be written.
    With them, for each numeral, the edges of its path as far as they are looked at; () where it was left out.
    """
    below: list[set[Any]] = [set() for _ in trie.tokens]
    for path, outcome in zip(trie.paths, outcomes, strict=True):
        for node in (0, *path) if outcome is not None else ():
            below[node].add(outcome)
    inner = set(trie.inner) | {0}
    opened = [n for n in range(len(below)) if len(below[n]) > 1 or (n in also and below[n] and n in inner)]
    place = {node: k for k, node in enumerate(opened)}
    edges = sorted((place[trie.parents[n]], n) for n in range(1, len(below)) if below[n] and trie.parents[n] in place)
    edge_of = {node: e for e, (_, node) in enumerate(edges)}
    seen = TrieBranches(
        nodes=tuple(_tokens(trie, node) for node in opened),
        edge_node_E=np.array([k for k, _ in edges]),
        edge_token_E=np.array([trie.tokens[node] for _, node in edges]),
        came_by_K=np.array([edge_of.get(node, -1) for node in opened]),
    )
    return seen, [
        tuple(edge_of[node] for node in path if node in edge_of) if outcome is not None else ()
        for path, outcome in zip(trie.paths, outcomes, strict=True)
    ]


def _tokens(trie: TokenTrie, node: int) -> Prefix:
    return tuple(trie.tokens[n] for n in [*trie.ancestors(node)[::-1], node]) if node else ()
