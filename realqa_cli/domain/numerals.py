"""Numerals as a language model writes them, their token trie, and the score distribution.

A score with M digits is `d1`, `d1.d2` or `d1.d2d3`. No token id is hard-coded: the tokenizer encodes every text in
its context (paper Sec. 3.2 and App. C.2), so the trie is correct for tokenizers with one digit per token and for
those that merge digits.

Pure: NumPy, no model, no file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Encode = Callable[[list[str]], list[list[int]]]
"""From texts to their token ids; special tokens in the texts are recognised, none is added."""


def numerals(digits: int, low: float, high: float) -> list[str]:
    """All numerals of `digits` digits (1 to 3) from `low` to `high`, both included, ascending.

    There is one digit before the point, so 9.99 is the largest, also for a scale that ends at 10.
    `numerals(2, 1, 1.2)` is `["1.0", "1.1", "1.2"]`. Raises ValueError for another number of digits, and for a scale
    with fewer than two numerals.
    """
    if digits not in (1, 2, 3):
        raise ValueError(f"a numeral has 1, 2 or 3 digits, not {digits}")
    if not 0 <= low < high <= 10:
        raise ValueError(f"the scale {low:g}-{high:g} does not fit one digit before the point")
    unit = 10 ** (digits - 1)
    whole = [n for n in range(10 * unit) if low * unit - 1e-6 <= n <= high * unit + 1e-6]
    if len(whole) < 2:
        raise ValueError(f"the scale {low:g}-{high:g} has fewer than two numerals of {digits} digits")
    return [write(n / unit, digits) for n in whole]


def write(value: float, digits: int) -> str:
    """`value` with exactly `digits` digits: 3.984 is "3.98", "4.0" or "4"; the largest result is "9.99".

    Halves are rounded away from zero, in the shortest decimal form of the number.
    """
    from decimal import ROUND_HALF_UP, Decimal

    if not 0 <= value <= 10:
        raise ValueError(f"{value!r} does not fit one digit before the point")
    step = Decimal(1).scaleb(1 - digits)
    return str(min(Decimal(repr(float(value))).quantize(step, ROUND_HALF_UP), 10 - step))


def short_numerals(low: float, high: float) -> list[str]:
    """Two-decimal scores as Python prints rounded floats: `3.98`, `3.9`, `4.0` (never `3.90`).

    The paper's released training labels have this form, so its adapters are read out with it.
    """
    return [str(float(text)) for text in numerals(3, low, high)]


def free_numerals(low: float, high: float) -> list[str]:
    """All spellings with one to three digits, ascending: "4", "4.0", "4.00" and "4.01", for models of other authors.

    `ScoreDistribution.from_log_probs` adds the probabilities of spellings with the same value.
    """
    found = []
    for digits in (1, 2, 3):
        try:
            found += numerals(digits, low, high)
        except ValueError:
            if digits == 3:
                raise
    return sorted(found, key=lambda text: (float(text), len(text)))


@dataclass(frozen=True)
class TokenTrie:
    """A set of continuations as paths of tokens that share their prefixes.

    The nodes are in breadth-first order. Node 0 is the root, the last token of the prompt, and has the token -1.
    `inner` lists the nodes that must be forwarded because others follow them, without the root.

    tokens: (N,) token of each node, -1 for the root.
    parents: (N,) index of each node's parent, -1 for the root.
    depths: (N,) 0 for the root.
    paths: for each continuation the node indices from depth 1 to its end.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]

    @classmethod
    def from_sequences(cls, sequences: Sequence[Sequence[int]]) -> "TokenTrie":
        """The trie of token sequences, none of which may be empty or a prefix of another. Raises ValueError."""
        words = [tuple(sequence) for sequence in sequences]
        prefixes = sorted({word[:n] for word in words for n in range(1, len(word) + 1)}, key=lambda p: (len(p), p))
        index = {(): 0} | {prefix: i for i, prefix in enumerate(prefixes, start=1)}
        ends = set(words)
        if () in ends or len(ends) < len(words) or any(w[:n] in ends for w in words for n in range(1, len(w))):
            raise ValueError("the continuations are not distinguishable by their tokens")
        return cls(
            tokens=(-1, *(prefix[-1] for prefix in prefixes)),
            parents=(-1, *(index[prefix[:-1]] for prefix in prefixes)),
            depths=(0, *(len(prefix) for prefix in prefixes)),
            paths=tuple(tuple(index[word[:n]] for n in range(1, len(word) + 1)) for word in words),
        )

    @cached_property
    def inner(self) -> tuple[int, ...]:
        """The nodes with children, without the root: those that a model must be run on."""
        return tuple(sorted(set(self.parents) - {-1, 0}))

    @cached_property
    def height(self) -> int:
        """Length of the longest path, in tokens."""
        return max(self.depths)

    def ancestors(self, node: int) -> list[int]:
        """The nodes above `node`, from its parent upwards, without the root."""
        above = []
        while (node := self.parents[node]) > 0:
            above.append(node)
        return above


def token_trie(encode: Encode, prompt: str, continuations: Sequence[str], end: str) -> tuple[list[int], TokenTrie]:
    """The prompt's tokens, and the trie of the continuations, as tokenised in their context.

    `encode` receives the whole text `prompt + continuation + end` of each continuation. The tokens of the prompt
    are those that all these texts and the bare prompt share, so a blank that a tokenizer merges into the number
    becomes part of the path. `end` is the text after the continuation in an answer. The paths leave it out where
    the tokenizer keeps it separate and no path is a prefix of another; otherwise all paths include it, which makes
    them length-complete.

    Raises ValueError where two continuations have the same tokens.
    """
    wholes = encode([prompt + text + end for text in continuations])
    bares = encode([prompt + text for text in continuations])
    shared = shared_length([*encode([prompt]), *wholes])
    apart = all(whole[: len(bare)] == bare for whole, bare in zip(wholes, bares, strict=True))
    prompt_ids = wholes[0][:shared]
    if apart:
        try:
            return prompt_ids, TokenTrie.from_sequences([bare[shared:] for bare in bares])
        except ValueError:
            pass  # "low" is a prefix of "low-key": only the text after it distinguishes them
    return prompt_ids, TokenTrie.from_sequences([whole[shared:] for whole in wholes])


def shared_length(sequences: list[list[int]]) -> int:
    """The number of leading tokens that all sequences share."""
    first, last = min(sequences), max(sequences)  # all others are sorted between them
    limit = min(len(sequence) for sequence in sequences)
    return next((i for i in range(limit) if first[i] != last[i]), limit)


@dataclass(frozen=True)
class ScoreDistribution:
    """A distribution over the numerals of a scale, or over words with numeric values.

    values: (V,) ascending, on the model's scale.  probs: (V,), with the sum 1.
    mass: the probability of all of them together before renormalising, 0 to 1.
    texts: (V,) the numerals or words.
    """

    values: Floats
    probs: Floats
    mass: float
    texts: tuple[str, ...]

    @classmethod
    def from_log_probs(
        cls, texts: Sequence[str], log_probs: Floats, numbers: Sequence[float] | None = None
    ) -> "ScoreDistribution":
        """From each numeral's log-probability under the model. Raises ValueError for NaN.

        numbers: the values of the texts; None for numerals. Texts with equal values, such as "4" and "4.0", become
        one value with the sum of their probabilities, and the most likely of the texts.
        """
        if not np.all(log_probs < np.inf):  # also false for NaN
            raise ValueError("the model gives no probabilities (NaN)")
        values = np.array([float(number) for number in (texts if numbers is None else numbers)])
        order = np.argsort(values, kind="stable")
        peak = float(log_probs.max())
        if peak == -np.inf:
            raise ValueError("the model gives every number the probability zero")
        weights = np.exp(log_probs - peak)
        total = float(weights.sum())
        starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
        spellings = np.split(order, starts[1:])
        return cls(
            values=values[order][starts],
            probs=np.add.reduceat(weights[order], starts) / total,
            mass=min(1.0, total * float(np.exp(peak))),
            texts=tuple(texts[group[int(np.argmax(weights[group]))]] for group in spellings),
        )

    @classmethod
    def mixture(cls, parts: Sequence["ScoreDistribution"]) -> "ScoreDistribution":
        """The mean of distributions, such as those after several sampled thoughts; `mass` is their mean, too."""
        values = np.unique(np.concatenate([part.values for part in parts]))
        probs, texts = np.zeros(len(values)), [""] * len(values)
        for part in sorted(parts, key=lambda each: each.mass):
            places = np.searchsorted(values, part.values)
            probs[places] += part.probs / len(parts)
            for place, text in zip(places, part.texts, strict=True):
                texts[place] = text
        return cls(values, probs, float(np.mean([part.mass for part in parts])), tuple(texts))

    @classmethod
    def from_pairs(cls, pairs: Sequence[Sequence[float]]) -> "ScoreDistribution":
        """From the (value, probability) pairs of a record, renormalised. Raises ValueError if they are none."""
        table = np.array(pairs, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all() or table[:, 1].min() < 0:
            raise ValueError("distribution is not a list of [value, probability]")
        table = table[np.argsort(table[:, 0], kind="stable")]
        total = float(table[:, 1].sum())
        if total <= 0:
            raise ValueError("the probabilities of distribution are zero")
        return cls(table[:, 0], table[:, 1] / total, 1.0, tuple(map(str, table[:, 0])))

    @property
    def mean(self) -> float:
        """The expected score."""
        return float(self.values @ self.probs)

    @property
    def std(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(np.maximum(self.probs @ (self.values - self.mean) ** 2, 0.0)))

    @property
    def mode_text(self) -> str:
        """The most likely numeral or word; the lowest of equal ones."""
        return self.texts[int(np.argmax(self.probs))]

    @property
    def mode(self) -> float:
        """The most likely score."""
        return float(self.values[int(np.argmax(self.probs))])

    def quantile(self, share: float) -> float:
        """The lowest score whose cumulative probability reaches `share` (0 to 1)."""
        if not 0 <= share <= 1:
            raise ValueError(f"a quantile's share lies between 0 and 1, not {share}")
        reached = np.cumsum(self.probs) >= share - 1e-12
        return float(self.values[int(np.argmax(reached))] if reached.any() else self.values[-1])

    def interval(self, share: float = 0.9) -> tuple[float, float]:
        """The central interval that holds `share` of the probability."""
        return self.quantile((1 - share) / 2), self.quantile((1 + share) / 2)

    def prob_greater(self, other: "ScoreDistribution") -> float:
        """P(A > B) for independent draws, ties counted by half: 0.5 for equal distributions."""
        below = np.concatenate(([0.0], np.cumsum(other.probs)))
        less = below[np.searchsorted(other.values, self.values, side="left")]
        at_most = below[np.searchsorted(other.values, self.values, side="right")]
        return float(self.probs @ (less + at_most)) / 2

    def pairs(self, above: float = 1e-6) -> list[tuple[float, float]]:
        """Every (value, probability) with a probability greater than `above`, ascending."""
        kept = self.probs > above
        return [(float(v), float(p)) for v, p in zip(self.values[kept], self.probs[kept], strict=True)]
