"""The number-aware loss (`--number-loss`): near misses cost less than far ones. The paper trains without it.

For a direct answer the target is a Gaussian around its label (sigma 0.25 points of a 1-5 scale), over all
numerals of the scale, instead of the one true numeral. The cross-entropy between it and the model is exact
for all digits but the last, on every branch of the numeral trie and not on the true one alone; the last
digit is trained below the true digits, by the target's exact conditional there. To it comes 0.5 x (MSE + 0.5
(1 - PLCC)) of the expected number of the model held to the scale's numerals, in points of a 1-5 scale, PLCC
over the batch. The expectation is exact but for the last digit, which counts as the middle of its range off
the true branch (at most 0.045 off with three digits). So only nodes for the first digits are added to a pass
over the true answer: 6 tokens on a scale of 1-5 with one token a digit.

Found on synthetic data with a small model; its parts were not tried one by one. Knows logits and tries;
knows nothing of conversations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from realqa_cli.decoding.branches import Ints, TrieBranches, find_branches
from realqa_cli.decoding.continuity import NumeralDigits
from realqa_cli.domain.numerals import Floats
from realqa_cli.domain.scales import Scale

SIGMA = 0.25
"""Of the target, in points of a 1-5 scale."""
REGRESSION, CORRELATION = 0.5, 0.5
"""Weight of the expected number's error, and of 1 - PLCC within it."""
SMALLEST_BATCH = 8
"""PLCC over fewer answers says nothing (over two it is 1 or -1): then it is left out."""


@dataclass(frozen=True, eq=False)
class BranchPlan:
    """What is looked at for one true numeral.

    cells_C: the edges at which the branches end.  paths_C_D: the edges that lead to each and it itself,
    filled up with -1.  values_C: the mean of the numerals that each stands for.
    """

    branches: TrieBranches
    cells_C: Ints
    paths_C_D: Ints
    values_C: Floats


@dataclass(frozen=True, eq=False)
class _Weighing:
    """How a plan's edges get their weights from those of numerals.

    step_edges_S, step_numerals_S: every edge of every numeral's path.  last_digit: the edges of each node
    below which only the last digit is open.
    """

    step_edges_S: Ints
    step_numerals_S: Ints
    last_digit: tuple[Ints, ...]


@dataclass(frozen=True, eq=False)
class SoftTarget:
    """The plan of one answer with its label: weights_E are those of the edges' negative log-probabilities."""

    plan: BranchPlan
    weights_E: Floats
    label: float


class NumberTargets:
    """Makes the targets for the answers of one tokenizer and scale."""

    def __init__(self, digits: NumeralDigits, scale: Scale) -> None:
        self.digits, self.scale = digits, scale
        self.values_V = np.array([float(text) for text in digits.texts])
        self.inside_V = (self.values_V >= scale.low - 1e-9) & (self.values_V <= scale.high + 1e-9)
        self._plans = lru_cache(maxsize=1024)(self._plan)

    def target(self, text: str, label: float) -> SoftTarget:
        """The target of the answer `text` whose exact label is `label`, both on the scale."""
        plan, how = self._plans(text)
        gaps_V = (self.values_V - label) / (SIGMA * self.scale.point)
        log_V = np.where(self.inside_V, -0.5 * gaps_V**2, -np.inf)
        mass_V = np.exp(log_V - np.logaddexp.reduce(log_V))
        count, weights_S = len(plan.branches.edge_node_E), mass_V[how.step_numerals_S]
        weights_E: Floats = np.bincount(how.step_edges_S, weights_S, count).astype(np.float64)
        for edges in how.last_digit:  # counts once, whatever the mass of the true branch
            weights_E[edges] = weights_E[edges] / weights_E[edges].sum()
        return SoftTarget(plan, weights_E, label)

    def _first(self, v: int) -> tuple[int, ...]:
        """The digits of a numeral that are told apart on every branch: all but the last, at least one."""
        code = self.digits.codes_V_M[v]
        return tuple(code[: max(1, len(code) - 1)].tolist())

    def _plan(self, text: str) -> tuple[BranchPlan, _Weighing]:
        trie = self.digits.trie
        outcomes = [self._first(v) if self.inside_V[v] else None for v in range(len(self.values_V))]
        true_path = set(trie.paths[self.digits.texts.index(text)][:-1])
        seen, paths = find_branches(trie, outcomes, also=true_path)
        ends = {path[-1]: path for path in paths if path}
        depth = max(map(len, ends.values()))
        lasts = np.array([path[-1] for path in paths if path])
        cells_C, place = np.unique(lasts, return_inverse=True)
        plan = BranchPlan(
            branches=seen,
            cells_C=cells_C,
            paths_C_D=np.array([ends[c] + (-1,) * (depth - len(ends[c])) for c in cells_C.tolist()]),
            values_C=np.bincount(place, weights=self.values_V[self.inside_V]) / np.bincount(place),
        )
        steps = [(edge, v) for v, path in enumerate(paths) for edge in path]
        edges_S, numerals_S = np.array(steps).T
        return plan, _Weighing(edges_S, numerals_S, tuple(self._last_digit(seen, steps)))

    def _last_digit(self, seen: TrieBranches, steps: Sequence[tuple[int, int]]) -> Iterator[Ints]:
        """The edges of each node below which only the last digit is open."""
        firsts: list[set[tuple[int, ...]]] = [set() for _ in seen.nodes]
        for edge, v in steps:
            firsts[seen.edge_node_E[edge]].add(self._first(v))
        for node, found in enumerate(firsts):
            if len(found) == 1:
                yield np.flatnonzero(seen.edge_node_E == node)


def number_loss(edge_log_probs: Sequence[Tensor], targets: Sequence[SoftTarget], point: float) -> Tensor:
    """The mean over some answers; a scalar.

    edge_log_probs: for each answer (E,) log-probabilities over the whole vocabulary of its plan's edges.
    point: a point of a 1-5 scale, in points of the labels' scale.
    """
    device = edge_log_probs[0].device
    flat = torch.cat(list(edge_log_probs))
    weights = torch.from_numpy(np.concatenate([target.weights_E for target in targets]))
    cross_entropy = -(flat * weights.to(flat)).sum() / len(targets)
    expected_B = _expected(flat, targets) / point
    labels_B = torch.tensor([target.label for target in targets], device=device, dtype=flat.dtype) / point
    error = torch.nn.functional.mse_loss(expected_B, labels_B)
    if len(targets) >= SMALLEST_BATCH:
        error = error + CORRELATION * (1 - _correlation(expected_B, labels_B))
    return cross_entropy + REGRESSION * error


def _expected(flat: Tensor, targets: Sequence[SoftTarget]) -> Tensor:
    """(B,) the expected number of the model held to the numerals of the scale, at each node of the trie."""
    cells = max(len(target.plan.cells_C) for target in targets)
    depth = max(target.plan.paths_C_D.shape[1] for target in targets)
    steps_B_C_D = np.full((len(targets), cells, depth), len(flat))  # one past the end: a step of no cost
    values_B_C, none_B_C = np.zeros((len(targets), cells)), np.ones((len(targets), cells), dtype=bool)
    nodes, start = [], 0
    for b, target in enumerate(targets):
        plan, seen = target.plan, target.plan.branches
        here = steps_B_C_D[b, : plan.paths_C_D.shape[0], : plan.paths_C_D.shape[1]]
        here[...] = np.where(plan.paths_C_D < 0, len(flat), plan.paths_C_D + start)
        values_B_C[b, : len(plan.values_C)] = plan.values_C
        none_B_C[b, : len(plan.values_C)] = False
        nodes += [np.flatnonzero(seen.edge_node_E == k) + start for k in range(len(seen.nodes))]
        start += len(target.weights_E)
    costless = torch.cat([_renormalised(flat, nodes), flat.new_zeros(1)])
    joint_B_C = costless[torch.from_numpy(steps_B_C_D).to(flat.device)].sum(dim=-1)
    joint_B_C = joint_B_C.masked_fill(torch.from_numpy(none_B_C).to(flat.device), -torch.inf)
    return (joint_B_C.exp() * torch.from_numpy(values_B_C).to(flat)).sum(dim=-1)


def _renormalised(flat: Tensor, nodes: Sequence[Ints]) -> Tensor:
    """Log-probabilities of edges where, at each node, only its own edges can be taken."""
    width = max(map(len, nodes))
    index_N_W = np.array([np.pad(edges, (0, width - len(edges)), constant_values=-1) for edges in nodes])
    none_N_W = torch.from_numpy(index_N_W < 0).to(flat.device)
    logs_N_W = flat[torch.from_numpy(index_N_W).to(flat.device)].masked_fill(none_N_W, -torch.inf)
    totals_N = logs_N_W.logsumexp(dim=-1)
    node_of_edge = np.repeat(np.arange(len(nodes)), [len(edges) for edges in nodes])
    order = np.argsort(np.concatenate(nodes), kind="stable")
    return flat - totals_N[torch.from_numpy(node_of_edge[order]).to(flat.device)]


def _correlation(a_B: Tensor, b_B: Tensor) -> Tensor:
    """PLCC; 0 where one of the two does not vary."""
    a_B, b_B = a_B - a_B.mean(), b_B - b_B.mean()
    found: Tensor = (a_B * b_B).sum() / (a_B.norm() * b_B.norm() + 1e-6)
    return found
