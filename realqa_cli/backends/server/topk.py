"""Computes probabilities of complete continuations from the most likely tokens that a server reports.

A server with `top_logprobs` reports the k most likely tokens at each position of its answer. Their conditional
probabilities are accumulated over texts, so the tokenizer of the server does not have to be known. A
continuation that no reply leads to has probability 0; the sum over all continuations is therefore the explored
probability mass.

This module parses replies and selects the next request; it sends nothing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from realqa_cli.domain.numerals import Floats

_NOTHING = 1e-4  # smaller probabilities are not worth a request


@dataclass(frozen=True)
class TokenAlternatives:
    """A token of an answer as text, and the texts and log-probabilities of the likely tokens at its position."""

    written: str
    likely: tuple[tuple[str, float], ...]


def places_of(reply: Mapping[str, Any]) -> list[TokenAlternatives]:
    """The positions of the answer in a raw reply, in order; [] if it reports no log-probabilities."""
    try:
        content = reply["choices"][0]["logprobs"]["content"]
        return [_place(entry) for entry in content]
    except (LookupError, TypeError, ValueError):
        return []


def _place(entry: Mapping[str, Any]) -> TokenAlternatives:
    own = _spelt(entry), float(entry["logprob"])
    likely = [(_spelt(one), float(one["logprob"])) for one in entry["top_logprobs"]]
    # Two tokens may have the same text: the written one is missing only if no text equals it.
    return TokenAlternatives(own[0], tuple(likely if any(text == own[0] for text, _ in likely) else [*likely, own]))


def _spelt(entry: Mapping[str, Any]) -> str:
    """The text of the token; from its bytes if given, since a token can be part of a character."""
    if isinstance(values := entry.get("bytes"), list):
        return bytes(values).decode("utf-8", errors="replace")
    return str(entry["token"])


class ContinuationSearch:
    """The known probabilities of the continuations of a prefix.

    known: (V,) natural log of the known probability of each continuation; -inf if none is known.
    pending: log-probabilities of prefixes of continuations that no request has continued yet.
    """

    def __init__(self, continuations: Sequence[str], end: str, *, blank: bool = False) -> None:
        """end: the text after a continuation, which matters if one continuation is a prefix of another.

        blank: whether the model has to write a blank before the continuation, because many tokenizers merge it
        with the next word. A blank that is a token by itself counts as given.
        """
        self.known: Floats = np.full(len(continuations), -np.inf)
        self.pending: dict[str, float] = {}
        self._texts, self._end, self._blank = continuations, end, blank
        self._list("")

    def read(self, start: str, places: Sequence[TokenAlternatives]) -> None:
        """Adds a reply that continues `start`, a pending text or, in the first request, ""."""
        text, log_prob = start, self.pending.pop(start, 0.0)
        if self._blank and not start and places:
            # The tokens of some tokenizers never contain blanks.
            self._list(" " if any(token.startswith(" ") for token, _ in places[0].likely) else "")
            if places[0].written == " ":
                text, places = " ", places[1:]
        for place in places:
            written = max(share for token, share in place.likely if token == place.written)
            others = list(place.likely)
            others.remove((place.written, written))
            for token, share in others:
                self._add(text + token, log_prob + share)
            text, log_prob = text + place.written, log_prob + written
            if text not in self._partial:
                break
        if text != start:
            self._add(text, log_prob)

    def _list(self, lead: str) -> None:
        """Lists the prefixes of continuations, and the texts that complete one, after `lead`."""
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
        """The most likely pending text; None if all of them have less than `above` times the known mass."""
        left = sum(math.exp(value) for value in self.pending.values())
        if left <= max(above * self.mass, _NOTHING):
            return None
        return max(self.pending, key=self.pending.__getitem__)

    @property
    def mass(self) -> float:
        """The sum of the known probabilities of all continuations."""
        return float(np.exp(self.known).sum())

    def _add(self, text: str, log_prob: float) -> None:
        """Adds the probability of a text to its continuation, or to the pending texts if it is a prefix of one."""
        if (index := self._index(text)) is not None:
            self.known[index] = np.logaddexp(self.known[index], log_prob)
        elif text in self._partial:
            self.pending[text] = float(np.logaddexp(self.pending.get(text, -np.inf), log_prob))

    def _index(self, text: str) -> int | None:
        """The continuation that a text completes; the last token may extend beyond the end."""
        tries: Iterator[str] = (text[:n] for n in self._lengths if n <= len(text))
        return next((self._complete[one] for one in (text, *tries) if one in self._complete), None)
