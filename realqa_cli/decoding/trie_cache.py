"""Tries of continuations, made once for texts that end alike, as chains of thought of many photos do.

A trie takes hundreds of tokenised texts. What stands at the start of a text has no say in the tokens of its
end, if the tokenizer cuts it in two at a word's start as it does when both parts stand alone. That is asked
for every text; and two texts with the same end have to have given the same trie before it is trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from realqa_cli.domain.numerals import Encode, TokenTrie, token_trie

_END = 24
"""Characters at the end of a text, at least, that have a say in how it is continued."""

_MOST = 1024
"""Ends that are remembered."""


class CachedTrie(NamedTuple):
    """ids: the tokens of a text that stay apart from its continuations.  merging: how many others it has."""

    ids: tuple[int, ...]
    merging: int
    trie: TokenTrie


@dataclass(frozen=True)
class _Known:
    """What texts with one end gave. kept: of the end's own tokens, those that stay apart.

    trusted: whether two texts gave the same.
    """

    kept: tuple[int, ...]
    trie: TokenTrie
    trusted: bool = False


class TrieCache:
    """The tries of one tokenizer. Called with the text, its continuations, and what follows them."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[tuple[str, tuple[str, ...], str], _Known] = {}
        self._of = lru_cache(maxsize=256)(self._make)

    def __call__(self, text: str, continuations: Sequence[str], end: str) -> CachedTrie:
        """Raises ValueError as `token_trie` does."""
        return self._of(text, tuple(continuations), end)

    def _make(self, text: str, continuations: tuple[str, ...], end: str) -> CachedTrie:
        last = max(0, len(text) - _END)
        cut = max(0, *(text.rfind(blank, 0, last) for blank in " \n"))
        ending = text[cut:], continuations, end
        whole, before, after = self._encode([text, text[:cut], text[cut:]])
        apart = [*before, *after] == [*whole]
        if apart and (known := self._known.get(ending)) is not None and known.trusted:
            return CachedTrie((*before, *known.kept), len(after) - len(known.kept), known.trie)
        ids, trie = token_trie(self._encode, text, continuations, end)
        if apart and ids[: len(before)] == before:
            found = _Known(tuple(ids[len(before) :]), trie)
            again = self._known.get(ending) == found
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[ending] = replace(found, trusted=again)
        return CachedTrie(tuple(ids), len(whole) - len(ids), trie)
