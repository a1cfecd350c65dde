"""Cache of continuation tries for texts with the same end, such as the chains of thought of many photos.

Building a trie tokenises hundreds of texts. The start of a text does not affect the tokens of its end if the
tokenizer splits the text at a word boundary exactly as it tokenises the two parts alone. This is checked for
every text, and a cached trie is used only after two texts with the same end have given the same trie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from realqa_cli.domain.numerals import Encode, TokenTrie, token_trie

_END = 24
"""Least number of characters at the end of a text that form the key of the cache."""

_MOST = 1024
"""Most ends in the cache."""


class CachedTrie(NamedTuple):
    """ids: the tokens of a text that do not merge with its continuations.  merging: the number of the others."""

    ids: tuple[int, ...]
    merging: int
    trie: TokenTrie


@dataclass(frozen=True)
class _CachedEnd:
    """The trie of texts with one end.

    kept: the tokens of the end that do not merge.  trusted: whether two texts gave the same trie.
    """

    kept: tuple[int, ...]
    trie: TokenTrie
    trusted: bool = False


class TrieCache:
    """The tries of one tokenizer. Call it with a text, its continuations, and the text after them."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[tuple[str, tuple[str, ...], str], _CachedEnd] = {}
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
            found = _CachedEnd(tuple(ids[len(before) :]), trie)
            again = self._known.get(ending) == found
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[ending] = replace(found, trusted=again)
        return CachedTrie(tuple(ids), len(whole) - len(ids), trie)
