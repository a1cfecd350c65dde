"""The Numerical Continuity Metric (NCM): the squared distance of the expected number from the true one.

Paper Sec. 3.2 and App. C.2. With the true number s = sum_i w_i d_i, w = 1, 0.1, 0.01, and E_i the expectation
of digit i given the true digits before it, NCM = (sum_i w_i E_i - s)^2. NCM* excludes the true digit from each
expectation and renormalises the others: it is small only if the wrong digits are near the true one.

The metric is defined for every tokenizer: the model is restricted to the numerals 0.00 .. 9.99, tokenised in
context, by renormalising over the children of each trie node; E_i is an expectation over that distribution. If
every digit is one token, it is the softmax over the ten digits' logits, as in the paper.

This module works on distributions over tries; answer_logits.py provides the logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from realqa_cli.decoding.branches import Ints, TrieBranches, find_branches
from realqa_cli.domain.numerals import Floats, TokenTrie, numerals

WEIGHTS = np.array([1.0, 0.1, 0.01])


@dataclass(frozen=True)
class NcmValue:
    """The metric of one answer, in squared points of the score's scale.

    star_release: NCM* as in the authors' released code, where the true digit counts as 0 and the others are not
    renormalised.
    """

    ncm: float
    star: float
    star_release: float


@dataclass(frozen=True, eq=False)
class DigitBranches:
    """The branches of a trie that determine the distributions of the M digits of one true numeral.

    edges_C: indices of the edges at which the branches end.  codes_C_M: the digits of one numeral behind each of
    them; digits after the first wrong one are arbitrary, because they do not enter the metric.
    """

    text: str
    branches: TrieBranches
    edges_C: Ints
    codes_C_M: Ints

    def log_probs(self, edge_logits_E: Floats) -> Floats:
        """(M, 10) log P(digit i is j | the true digits before it).

        edge_logits_E: the model's logits of the edges of the branches; a constant per node does not matter.
        """
        mass_E = self.branches.joint(self.branches.conditionals(edge_logits_E.astype(np.float64)))
        true_M = digits_of(self.text)
        log_probs_M_10 = np.full((len(true_M), 10), -np.inf)
        for i, log_probs_10 in enumerate(log_probs_M_10):
            given_C = (self.codes_C_M[:, :i] == true_M[:i]).all(axis=1)
            np.logaddexp.at(log_probs_10, self.codes_C_M[given_C, i], mass_E[self.edges_C[given_C]])
            log_probs_10 -= np.logaddexp.reduce(log_probs_10)
        return log_probs_M_10


class NumeralDigits:
    """The digits of all numerals, tokenised by one tokenizer in one context."""

    def __init__(self, trie: TokenTrie, digits: int) -> None:
        """`trie` holds `all_numerals(digits)`, in this order."""
        self.trie = trie
        self.texts = all_numerals(digits)
        self.codes_V_M = np.array([digits_of(text) for text in self.texts])
        self.branches_of = lru_cache(maxsize=1024)(self._branches_of)

    def tokens(self, text: str) -> tuple[int, ...]:
        """The token ids of one numeral."""
        return tuple(self.trie.tokens[node] for node in self.trie.paths[self.texts.index(text)])

    def _branches_of(self, text: str) -> DigitBranches:
        """Branches by two outcomes: the number of leading digits shared with `text`, and the next digit."""
        shared_V = np.cumprod(self.codes_V_M == digits_of(text), axis=1).sum(axis=1)
        outcomes = [(n, code[n] if n < len(code) else None) for n, code in zip(shared_V, self.codes_V_M, strict=True)]
        branches, paths = find_branches(self.trie, outcomes)
        edges_C, firsts = np.unique([path[-1] for path in paths], return_index=True)
        return DigitBranches(text, branches, edges_C, self.codes_V_M[firsts])


def digits_of(text: str) -> Ints:
    """(M,) the digits of a numeral."""
    return np.array([int(c) for c in text if c != "."])


@lru_cache(maxsize=3)
def all_numerals(digits: int) -> list[str]:
    """Every numeral of `digits` digits from 0 to 9.99."""
    return numerals(digits, 0, 10)


def ncm_of(text: str, log_probs_M_10: Floats) -> NcmValue:
    """The metric of the true numeral `text`, given the distribution of each digit (paper Eqs. 3 to 6)."""
    true_M = digits_of(text)
    weights_M, rows = WEIGHTS[: len(true_M)], np.arange(len(true_M))
    others_M_10 = log_probs_M_10.copy()
    others_M_10[rows, true_M] = -np.inf
    rest_M_1 = np.logaddexp.reduce(others_M_10, axis=1, keepdims=True)
    score = float(weights_M @ true_M)
    return NcmValue(
        *(
            float((weights_M @ (np.exp(logs) @ np.arange(10.0)) - score) ** 2)
            for logs in (log_probs_M_10, others_M_10 - rest_M_1, others_M_10)
        )
    )


def mean_ncm(values: Sequence[NcmValue]) -> dict[str, float | None]:
    """The record fields `ncm`, `ncm_star`, `ncm_star_release`: the means, or None without answers."""
    return {
        name: float(np.mean([getattr(value, attribute) for value in values])) if values else None
        for name, attribute in (("ncm", "ncm"), ("ncm_star", "star"), ("ncm_star_release", "star_release"))
    }
