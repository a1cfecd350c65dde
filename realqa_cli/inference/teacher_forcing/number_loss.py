"""The number-aware loss (`--number-loss`): near misses cost less than far ones. The paper trains without it.

The target of a direct answer is a Gaussian around its label (sigma 0.25 points of a 1-5 scale) over all numerals of
the scale, instead of the single true numeral. The cross-entropy between target and model is exact for all digits
except the last, on every branch of the numeral trie; the last digit is trained below the true digits only, with the
exact conditional of the target. A term of 0.5 x (MSE + 0.5 (1 - PLCC)) of the expected number is added, with the
model restricted to the numerals of the scale, in points of a 1-5 scale, and PLCC over the batch. The expectation is
exact except for the last digit off the true branch, which counts as the middle of its range (an error of at most
0.045 with three digits). A pass over the true answer therefore needs extra nodes for the first digits only: 6 tokens
on a scale of 1-5 with one token per digit.

The loss was developed on synthetic data with a small model, without an ablation of its parts.
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
"""Standard deviation of the target, in points of a 1-5 scale."""
REGRESSION, CORRELATION = 0.5, 0.5
"""Weight of the error of the expected number, and of 1 - PLCC within it."""
SMALLEST_BATCH = 8
"""PLCC is left out for fewer answers, because it is too noisy (over two answers it is 1 or -1)."""


@dataclass(frozen=True, eq=False)
class BranchPlan:
    """The branches of the trie that the loss of one true numeral needs.

    cells_C: the edges at which the branches end.  paths_C_D: the edges from the root to each cell, padded with -1.
    values_C: the mean value of the numerals below each cell.
    """

    branches: TrieBranches
    cells_C: Ints
    paths_C_D: Ints
    values_C: Floats


@dataclass(frozen=True, eq=False)
class _EdgeWeights:
    """How the weights of a plan's edges follow from the probabilities of numerals.

    step_edges_S, step_numerals_S: every edge on the path of every numeral, and the numeral.
    last_digit: the edges of each node below which only the last digit is undecided.
    """

    step_edges_S: Ints
    step_numerals_S: Ints
    last_digit: tuple[Ints, ...]


@dataclass(frozen=True, eq=False)
class SoftTarget:
    """The target of one answer. weights_E: weights of the edges' negative log-probabilities.  label: on the scale."""

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
        """The target of the answer `text` with the exact label `label`, both on the scale."""
        plan, edge_weights = self._plans(text)
        gaps_V = (self.values_V - label) / (SIGMA * self.scale.point)
        log_V = np.where(self.inside_V, -0.5 * gaps_V**2, -np.inf)
        mass_V = np.exp(log_V - np.logaddexp.reduce(log_V))
        count, weights_S = len(plan.branches.edge_node_E), mass_V[edge_weights.step_numerals_S]
        weights_E: Floats = np.bincount(edge_weights.step_edges_S, weights_S, count).astype(np.float64)
        for edges in edge_weights.last_digit:  # weight 1 in total, whatever the mass of the true branch
            weights_E[edges] = weights_E[edges] / weights_E[edges].sum()
        return SoftTarget(plan, weights_E, label)

    def _first(self, v: int) -> tuple[int, ...]:
        """The digits of a numeral that every branch distinguishes: all except the last, at least one."""
        code = self.digits.codes_V_M[v]
        return tuple(code[: max(1, len(code) - 1)].tolist())

    def _plan(self, text: str) -> tuple[BranchPlan, _EdgeWeights]:
        trie = self.digits.trie
        outcomes = [self._first(v) if self.inside_V[v] else None for v in range(len(self.values_V))]
        true_path = set(trie.paths[self.digits.texts.index(text)][:-1])
        branches, paths = find_branches(trie, outcomes, also=true_path)
        ends = {path[-1]: path for path in paths if path}
        depth = max(map(len, ends.values()))
        lasts = np.array([path[-1] for path in paths if path])
        cells_C, place = np.unique(lasts, return_inverse=True)
        plan = BranchPlan(
            branches=branches,
            cells_C=cells_C,
            paths_C_D=np.array([ends[c] + (-1,) * (depth - len(ends[c])) for c in cells_C.tolist()]),
            values_C=np.bincount(place, weights=self.values_V[self.inside_V]) / np.bincount(place),
        )
        steps = [(edge, v) for v, path in enumerate(paths) for edge in path]
        edges_S, numerals_S = np.array(steps).T
        return plan, _EdgeWeights(edges_S, numerals_S, tuple(self._last_digit(branches, steps)))

    def _last_digit(self, branches: TrieBranches, steps: Sequence[tuple[int, int]]) -> Iterator[Ints]:
        """The edges of each node below which only the last digit is undecided."""
        firsts: list[set[tuple[int, ...]]] = [set() for _ in branches.nodes]
        for edge, v in steps:
            firsts[branches.edge_node_E[edge]].add(self._first(v))
        for node, below in enumerate(firsts):
            if len(below) == 1:
                yield np.flatnonzero(branches.edge_node_E == node)


def number_loss(edge_log_probs: Sequence[Tensor], targets: Sequence[SoftTarget], point: float) -> Tensor:
    """The mean loss over answers, a scalar.

    edge_log_probs: for each answer (E,) log-probabilities, over the whole vocabulary, of the edges of its plan.
    point: one point of a 1-5 scale, in points of the labels' scale.
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
    """(B,) the expected number, with the model renormalised at each node to the numerals of the scale."""
    cells = max(len(target.plan.cells_C) for target in targets)
    depth = max(target.plan.paths_C_D.shape[1] for target in targets)
    steps_B_C_D = np.full((len(targets), cells, depth), len(flat))  # one past the end: log-probability 0
    values_B_C, padding_B_C = np.zeros((len(targets), cells)), np.ones((len(targets), cells), dtype=bool)
    nodes, start = [], 0
    for b, target in enumerate(targets):
        plan, branches = target.plan, target.plan.branches
        steps = steps_B_C_D[b, : plan.paths_C_D.shape[0], : plan.paths_C_D.shape[1]]
        steps[...] = np.where(plan.paths_C_D < 0, len(flat), plan.paths_C_D + start)
        values_B_C[b, : len(plan.values_C)] = plan.values_C
        padding_B_C[b, : len(plan.values_C)] = False
        nodes += [np.flatnonzero(branches.edge_node_E == k) + start for k in range(len(branches.nodes))]
        start += len(target.weights_E)
    padded = torch.cat([_renormalised(flat, nodes), flat.new_zeros(1)])
    joint_B_C = padded[torch.from_numpy(steps_B_C_D).to(flat.device)].sum(dim=-1)
    joint_B_C = joint_B_C.masked_fill(torch.from_numpy(padding_B_C).to(flat.device), -torch.inf)
    return (joint_B_C.exp() * torch.from_numpy(values_B_C).to(flat)).sum(dim=-1)


def _renormalised(flat: Tensor, nodes: Sequence[Ints]) -> Tensor:
    """Log-probabilities of edges, renormalised over the edges of each node."""
    width = max(map(len, nodes))
    index_N_W = np.array([np.pad(edges, (0, width - len(edges)), constant_values=-1) for edges in nodes])
    padding_N_W = torch.from_numpy(index_N_W < 0).to(flat.device)
    logs_N_W = flat[torch.from_numpy(index_N_W).to(flat.device)].masked_fill(padding_N_W, -torch.inf)
    totals_N = logs_N_W.logsumexp(dim=-1)
    node_of_edge = np.repeat(np.arange(len(nodes)), [len(edges) for edges in nodes])
    order = np.argsort(np.concatenate(nodes), kind="stable")
    return flat - totals_N[torch.from_numpy(node_of_edge[order]).to(flat.device)]


def _correlation(a_B: Tensor, b_B: Tensor) -> Tensor:
    """PLCC; 0 if one of the two does not vary."""
    a_B, b_B = a_B - a_B.mean(), b_B - b_B.mean()
    correlation: Tensor = (a_B * b_B).sum() / (a_B.norm() * b_B.norm() + 1e-6)
    return correlation
