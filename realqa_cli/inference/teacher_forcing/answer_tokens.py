"""What of a conversation is trained, as tokens: the answers, the token that ends each, and where a number is.

Found by rendering the chat template turn by turn and looking where each answer stands in the tokenised
whole: no token id is typed in, so that it holds for every template and tokenizer.

Knows a model family's template and tokenizer; opens no photo.
"""

from dataclasses import dataclass
from functools import lru_cache

from realqa_cli.backends.hf.processor import Processor
from realqa_cli.decoding.continuity import NumeralDigits, all_numerals
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import token_trie
from realqa_cli.errors import ModelError
from realqa_cli.inference.teacher_forcing.conversations import Conversation

ChatTurns = tuple[tuple[str, str], ...]
Span = tuple[int, int, int]
"""Characters: where an answer begins, where it ends, where its turn ends."""


@dataclass(frozen=True, eq=False)
class TokenizedConversation:
    """A conversation without its photos.

    text: as the chat template has it.  length: in tokens, each photo counted once.  tail: the tokens from the
    first trained one on, no photo among them.  trained: which of the tail are.
    digits: of a direct answer.  after_root: how many tokens follow the root of its numeral trie.
    """

    text: str
    length: int
    tail: tuple[int, ...]
    trained: tuple[bool, ...]
    digits: NumeralDigits | None = None
    after_root: int = 0


class ConversationTokenizer:
    """Encodes conversations for one tokenizer; digits: M of the direct answers."""

    def __init__(self, prepares: Processor, digits: int) -> None:
        self.processor, self.digits = prepares, digits
        self._encoded = lru_cache(maxsize=4096)(self._encode)  # direct answers differ by their number alone
        self._trie = lru_cache(maxsize=64)(self._make_trie)

    def encode(self, conversation: Conversation) -> TokenizedConversation:
        """Raises ModelError where the template or the tokenizer does not let answers be found."""
        try:
            return self._encoded(conversation.turns, conversation.numeral)
        except ValueError as error:
            raise ModelError(
                f"the model's chat template or tokenizer does not fit: {error}", where=conversation.where
            ) from error

    def _encode(self, turns: ChatTurns, numeral: str | None) -> TokenizedConversation:
        tokenizer = self.processor.tokenizer
        text = self.processor.render_turns(turns, answer_next=False)
        answers = [self._answer(turns, i, text) for i, (role, _) in enumerate(turns) if role == "assistant"]
        begin, end, _ = answers[-1]
        if tokenizer.eos_token and tokenizer.eos_token not in text[end:]:
            text = text[:end] + tokenizer.eos_token  # a template that leaves the end to us
            answers[-1] = begin, end, len(text)
        made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = list(made["input_ids"])
        trained = _trained(ids, made["offset_mapping"], answers, frozenset(tokenizer.all_special_ids))
        first = trained.index(True)
        encoded = text, len(ids), tuple(ids[first:]), tuple(trained[first:])
        if numeral is None or len(numeral) != len(all_numerals(self.digits)[0]):
            return TokenizedConversation(*encoded)
        return TokenizedConversation(*encoded, *self._locate(text, ids, end, numeral))

    def _answer(self, turns: ChatTurns, index: int, text: str) -> Span:
        before = self.processor.render_turns(turns[:index], answer_next=True)
        until = self.processor.render_turns(turns[: index + 1], answer_next=False)
        words = turns[index][1].strip()
        start = text.find(words, len(before))
        if not text.startswith(before) or start < 0 or text[len(before) : start].strip():
            raise ValueError("the template changes an answer, or what stands before it")
        return len(before), start + len(words), len(until) if text.startswith(until) else len(text)

    def _locate(self, text: str, ids: list[int], end: int, numeral: str) -> tuple[NumeralDigits, int]:
        """The digits of a direct answer, and how many tokens follow the root of their trie."""
        prompt_ids, digits = self._trie(text[: text.rindex(numeral, 0, end)])
        path = list(digits.tokens(numeral))
        if ids[: len(prompt_ids) + len(path)] != [*prompt_ids, *path]:
            raise ValueError(f"the number {numeral} is split otherwise in its answer than alone")
        return digits, len(ids) - len(prompt_ids)

    def _make_trie(self, prompt: str) -> tuple[list[int], NumeralDigits]:
        texts = all_numerals(self.digits)
        prompt_ids, trie = token_trie(self.processor.encode, prompt, texts, prompts.DIRECT_END)
        return prompt_ids, NumeralDigits(trie, self.digits)


def _trained(
    ids: list[int], offsets: list[tuple[int, int]], answers: list[Span], special: frozenset[int]
) -> list[bool]:
    """Which tokens are trained: those of the answers, to the first special token of the turn's rest."""
    trained = [False] * len(ids)
    for start, end, until in answers:
        own = [t for t, (left, right) in enumerate(offsets) if right > start and left < end]
        rest = (t for t in range(own[-1] + 1, len(ids)) if offsets[t][0] < until and ids[t] in special)
        last = next(rest, own[-1])
        trained[own[0] : last + 1] = [True] * (last + 1 - own[0])
    return trained
