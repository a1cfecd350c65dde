"""The Numerical Continuity Metric: how far the expected number is from the true one, digit by digit.

Paper Sec. 3.2 and App. C.2. With the true number s = sum_i w_i d_i, w = 1, 0.1, 0.01, and E_i the expectation
of digit i given the true digits before it, NCM = (sum_i w_i E_i - s)^2. NCM* leaves the true digit out of
each expectation (the others renormalised): it is small only where the wrong digits are near the true one.

Defined for every tokenizer: the model is held to the numerals 0.00 .. 9.99, tokenised in context, by
renormalising over each trie node's children; E_i is then an expectation over that distribution. With one
token a digit it is the softmax over the ten digits' logits, as in the paper.

Knows distributions over tries; where the logits come from is the matter of answer_logits.py.
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

    star_release: NCM* as the authors' released code has it, where the true digit counts as 0 and the
    others are not renormalised.
    """

    ncm: float
    star: float
    star_release: float


@dataclass(frozen=True, eq=False)
class DigitBranches:
    """What has to be known of the model to give the distributions of the digits of one true numeral.

    edges_C: the edges with which the branches end.  codes_C_M: the digits of a numeral behind each of them;
    of digits after the first wrong one any, because nothing is asked of them.
    """

    text: str
    branches: TrieBranches
    edges_C: Ints
    codes_C_M: Ints

    def log_probs(self, edge_logits_E: Floats) -> Floats:
        """(M, 10) log P(digit i is j | the true digits before it).

        edge_logits_E: the model's logits of the edges of the branches, in any offset a node.
        """
        mass_E = self.branches.joint(self.branches.conditionals(edge_logits_E.astype(np.float64)))
        true_M = digits_of(self.text)
        found_M_10 = np.full((len(true_M), 10), -np.inf)
        for i, log_probs_10 in enumerate(found_M_10):
            given_C = (self.codes_C_M[:, :i] == true_M[:i]).all(axis=1)
            np.logaddexp.at(log_probs_10, self.codes_C_M[given_C, i], mass_E[self.edges_C[given_C]])
            log_probs_10 -= np.logaddexp.reduce(log_probs_10)
        return found_M_10


class NumeralDigits:
    """The digits of all numerals, as one tokenizer writes them in one context."""

    def __init__(self, trie: TokenTrie, digits: int) -> None:
        """`trie` holds `all_numerals(digits)`, in this order."""
        self.trie = trie
        self.texts = all_numerals(digits)
        self.codes_V_M = np.array([digits_of(text) for text in self.texts])
        self.reading = lru_cache(maxsize=1024)(self._reading)

    def tokens(self, text: str) -> tuple[int, ...]:
        """The tokens of one numeral."""
        return tuple(self.trie.tokens[node] for node in self.trie.paths[self.texts.index(text)])

    def _reading(self, text: str) -> DigitBranches:
        """Its branches tell apart how far a numeral agrees with the true one, and its digit after that."""
        shared_V = np.cumprod(self.codes_V_M == digits_of(text), axis=1).sum(axis=1)
        outcomes = [(n, own[n] if n < len(own) else None) for n, own in zip(shared_V, self.codes_V_M, strict=True)]
        seen, paths = find_branches(self.trie, outcomes)
        edges_C, firsts = np.unique([path[-1] for path in paths], return_index=True)
        return DigitBranches(text, seen, edges_C, self.codes_V_M[firsts])


def digits_of(text: str) -> Ints:
    """(M,) the digits of a numeral."""
    return np.array([int(c) for c in text if c != "."])


@lru_cache(maxsize=3)
def all_numerals(digits: int) -> list[str]:
    """Every numeral of `digits` digits, from 0 to 9.99."""
    return numerals(digits, 0, 10)


def metric(text: str, log_probs_M_10: Floats) -> NcmValue:
    """The metric of the true numeral `text` under each digit's distribution (paper Eqs. 3 to 6)."""
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


def mean(found: Sequence[NcmValue]) -> dict[str, float | None]:
    """The fields `ncm`, `ncm_star`, `ncm_star_release` of records: the means, None for no answers."""
    return {
        name: float(np.mean([getattr(one, attribute) for one in found])) if found else None
        for name, attribute in (("ncm", "ncm"), ("ncm_star", "star"), ("ncm_star_release", "star_release"))
    }
