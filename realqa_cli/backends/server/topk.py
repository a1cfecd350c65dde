"""From the few most likely tokens that a server tells to the probability of whole continuations.

A server with `top_logprobs` tells, for each token that it writes, the k most likely ones. Their conditionals
are walked as texts: the tokens of all tokenizers spell the same numerals, and nobody outside of the server
needs to know where they are cut. What no reply leads to stays without probability, so that the probability of
all continuations together says how much was seen of what the model could have said.

Pure: reads replies and says what to ask next; sends nothing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from realqa_cli.domain.numerals import Floats

_NOTHING = 1e-4  # a probability that is not worth a request


@dataclass(frozen=True)
class TokenAlternatives:
    """A token of an answer, as text; and what could have stood in its place: texts and log-probabilities."""

    written: str
    likely: tuple[tuple[str, float], ...]


def places_of(reply: Mapping[str, Any]) -> list[TokenAlternatives]:
    """The places of a raw reply's answer, in order; [] where it tells none."""
    try:
        content = reply["choices"][0]["logprobs"]["content"]
        return [_place(entry) for entry in content]
    except (LookupError, TypeError, ValueError):
        return []


def _place(entry: Mapping[str, Any]) -> TokenAlternatives:
    own = _spelt(entry), float(entry["logprob"])
    likely = [(_spelt(one), float(one["logprob"])) for one in entry["top_logprobs"]]
    # Two tokens may be spelt alike: the written one is missing only where nothing is.
    return TokenAlternatives(own[0], tuple(likely if any(text == own[0] for text, _ in likely) else [*likely, own]))


def _spelt(entry: Mapping[str, Any]) -> str:
    """The token's text; by its bytes where they are told, for half a character is no text."""
    if isinstance(told := entry.get("bytes"), list):
        return bytes(told).decode("utf-8", errors="replace")
    return str(entry["token"])


class ContinuationSearch:
    """The continuations of an answer's beginning, and what is known of them so far.

    known: (V,) natural log of each continuation's probability; -inf where nothing is known of it.
    pending: log-probabilities of texts that continuations begin with and that no reply went on from yet.
    """

    def __init__(self, continuations: Sequence[str], end: str, *, blank: bool = False) -> None:
        """`end` is what follows a continuation; it counts where only it tells two of them apart.

        blank: whether one stands before the continuation that was left to the model, because many tokenizers
        write it with what follows. Where the model writes it by itself, it is taken for given.
        """
        self.known: Floats = np.full(len(continuations), -np.inf)
        self.pending: dict[str, float] = {}
        self._texts, self._end, self._blank = continuations, end, blank
        self._list("")

    def read(self, start: str, places: Sequence[TokenAlternatives]) -> None:
        """Takes a reply that goes on from `start`, which is a pending text, or "" at first."""
        text, log_prob = start, self.pending.pop(start, 0.0)
        if self._blank and not start and places:
            # Some tokenizers have no blanks in their tokens' texts at all.
            self._list(" " if any(token.startswith(" ") for token, _ in places[0].likely) else "")
            if places[0].written == " ":
                text, places = " ", places[1:]
        for place in places:
            written = max(share for token, share in place.likely if token == place.written)
            others = list(place.likely)
            others.remove((place.written, written))
            for token, share in others:
                self._take(text + token, log_prob + share)
            text, log_prob = text + place.written, log_prob + written
            if text not in self._partial:
                break
        if text != start:
            self._take(text, log_prob)

    def _list(self, lead: str) -> None:
        """Lists the texts that lead to a continuation, and those that complete one, after `lead`."""
        begins = {text[:n] for text in self._texts for n in range(len(text))}
        least = 1 if begins & {*self._texts} else 0
        whole = [lead + text + self._end for text in self._texts]
        self._complete = {
            full[:n]: index
            for index, (text, full) in enumerate(zip(self._texts, whole, strict=True))
            for n in range(len(lead + text) + least, len(full) + 1)
        }
        self._partial = {full[:n] for full in whole for n in range(len(full))} - self._complete.keys()
        self._lengths = sorted({len(full) for full in whole})

    def next(self, above: float) -> str | None:
        """The likeliest pending text; None where all of them come to less than the known times `above`."""
        left = sum(math.exp(value) for value in self.pending.values())
        if left <= max(above * self.mass, _NOTHING):
            return None
        return max(self.pending, key=self.pending.__getitem__)

    @property
    def mass(self) -> float:
        """The probability of all continuations that are known, together."""
        return float(np.exp(self.known).sum())

    def _take(self, text: str, log_prob: float) -> None:
        """Books what is known of a text: all, that it is to be gone on from, or that it leads nowhere."""
        if (index := self._index(text)) is not None:
            self.known[index] = np.logaddexp(self.known[index], log_prob)
        elif text in self._partial:
            self.pending[text] = float(np.logaddexp(self.pending.get(text, -np.inf), log_prob))

    def _index(self, text: str) -> int | None:
        """The continuation that a text completes, though a token may say more than what has to follow."""
        tries: Iterator[str] = (text[:n] for n in self._lengths if n <= len(text))
        return next((self._complete[one] for one in (text, *tries) if one in self._complete), None)
