"""Selects the smallest part of a numeral trie that distinguishes given outcomes of a numeral.

The metric (continuity.py) and the number-aware loss (number_loss.py) need distributions over parts of the trie
of all numerals: over one digit given the digits before it, or over the first digits. Only nodes below which the
outcome is still undecided need logits of the model. If every digit is one token, the nodes on the path of the
true number suffice for the metric; if a tokenizer merges digits, there can be more.

Pure arithmetic on tries; independent of any model.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain.numerals import Floats, TokenTrie

Ints = NDArray[np.int64]
Prefix = tuple[int, ...]
"""A node, identified by the tokens on the path from the root; the root is ()."""


@dataclass(frozen=True, eq=False)
class TrieBranches:
    """A part of a trie: K nodes in breadth-first order, root first, and their E edges.

    nodes: (K,) each as its `Prefix`.  edge_node_E: index of the node that an edge leaves.  edge_token_E: token id
    of the edge.  parent_edge_K: index of the edge that leads to each node, -1 for the root.
    """

    nodes: tuple[Prefix, ...]
    edge_node_E: Ints
    edge_token_E: Ints
    parent_edge_K: Ints

    def conditionals(self, edge_logits_E: Floats) -> Floats:
        """(E,) log P(edge | its node), renormalised over the edges of that node."""
        starts = np.flatnonzero(np.diff(self.edge_node_E, prepend=-1))
        return np.asarray(edge_logits_E - np.logaddexp.reduceat(edge_logits_E, starts)[self.edge_node_E])

    def joint(self, edge_log_probs_E: Floats) -> Floats:
        """(E,) log-probability of the path from the root to the end of each edge."""
        reached_K = np.zeros(len(self.nodes))
        for node, edge in enumerate(self.parent_edge_K[1:], start=1):
            reached_K[node] = reached_K[self.edge_node_E[edge]] + edge_log_probs_E[edge]
        return np.asarray(reached_K[self.edge_node_E] + edge_log_probs_E)


def find_branches(
    trie: TokenTrie, outcomes: Sequence[Hashable | None], also: Collection[int] = frozenset()
) -> tuple[TrieBranches, list[tuple[int, ...]]]:
    """Return the branches below which the outcome is undecided, and the path of each numeral through them.

    Args:
        trie: all numerals, tokenised.
        outcomes: one label per numeral of the trie; None excludes the numeral.
        also: indices of further trie nodes to include.

    The second result has one tuple per numeral: the indices of the selected edges on its path, () for an excluded
    numeral.
    """
    outcomes_below: list[set[Any]] = [set() for _ in trie.tokens]
    for path, outcome in zip(trie.paths, outcomes, strict=True):
        for node in (0, *path) if outcome is not None else ():
            outcomes_below[node].add(outcome)
    inner = set(trie.inner) | {0}
    selected = [
        node
        for node, below in enumerate(outcomes_below)
        if len(below) > 1 or (node in also and below and node in inner)
    ]
    index_of = {node: k for k, node in enumerate(selected)}
    edges = sorted(
        (index_of[trie.parents[node]], node)
        for node, below in enumerate(outcomes_below)
        if node and below and trie.parents[node] in index_of
    )
    edge_of = {node: e for e, (_, node) in enumerate(edges)}
    branches = TrieBranches(
        nodes=tuple(_prefix(trie, node) for node in selected),
        edge_node_E=np.array([k for k, _ in edges]),
        edge_token_E=np.array([trie.tokens[node] for _, node in edges]),
        parent_edge_K=np.array([edge_of.get(node, -1) for node in selected]),
    )
    return branches, [
        tuple(edge_of[node] for node in path if node in edge_of) if outcome is not None else ()
        for path, outcome in zip(trie.paths, outcomes, strict=True)
    ]


def _prefix(trie: TokenTrie, node: int) -> Prefix:
    return tuple(trie.tokens[n] for n in [*trie.ancestors(node)[::-1], node]) if node else ()
