"""Tokenises a conversation and finds the trained tokens: each answer, and the token that ends its turn.

The chat template is rendered turn by turn, and each answer is located in the tokenised whole. No token id is
hard-coded, so this works for every template and tokenizer. Photos are not opened.
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
AnswerSpan = tuple[int, int, int]
"""Character offsets: the start of an answer, its end, and the end of its turn."""


@dataclass(frozen=True, eq=False)
class TokenizedConversation:
    """A conversation without its photos.

    text: rendered by the chat template.  length: in tokens, each photo counted as one.
    tail: token ids from the first trained token to the end; no photo is among them.  trained: which are trained.
    digits: of a direct answer.  after_root: number of tokens after the root of its numeral trie.
    """

    text: str
    length: int
    tail: tuple[int, ...]
    trained: tuple[bool, ...]
    digits: NumeralDigits | None = None
    after_root: int = 0


class ConversationTokenizer:
    """Tokenises conversations for one model family; digits: M of the direct answers."""

    def __init__(self, processor: Processor, digits: int) -> None:
        self.processor, self.digits = processor, digits
        self._encode_cached = lru_cache(maxsize=4096)(self._encode)  # direct answers differ only in their number
        self._trie = lru_cache(maxsize=64)(self._make_trie)

    def encode(self, conversation: Conversation) -> TokenizedConversation:
        """Raises ModelError if the chat template or the tokenizer does not let the answers be located."""
        try:
            return self._encode_cached(conversation.turns, conversation.numeral)
        except ValueError as error:
            raise ModelError(
                f"the model's chat template or tokenizer does not fit: {error}", where=conversation.where
            ) from error

    def _encode(self, turns: ChatTurns, numeral: str | None) -> TokenizedConversation:
        tokenizer = self.processor.tokenizer
        text = self.processor.render_turns(turns, answer_next=False)
        answers = [self._locate_answer(turns, i, text) for i, (role, _) in enumerate(turns) if role == "assistant"]
        begin, end, _ = answers[-1]
        if tokenizer.eos_token and tokenizer.eos_token not in text[end:]:
            text = text[:end] + tokenizer.eos_token  # some templates do not end the last turn
            answers[-1] = begin, end, len(text)
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = list(encoding["input_ids"])
        trained = _trained(ids, encoding["offset_mapping"], answers, frozenset(tokenizer.all_special_ids))
        first = trained.index(True)
        row = text, len(ids), tuple(ids[first:]), tuple(trained[first:])
        if numeral is None or len(numeral) != len(all_numerals(self.digits)[0]):
            return TokenizedConversation(*row)
        return TokenizedConversation(*row, *self._locate_numeral(text, ids, end, numeral))

    def _locate_answer(self, turns: ChatTurns, index: int, text: str) -> AnswerSpan:
        before = self.processor.render_turns(turns[:index], answer_next=True)
        until = self.processor.render_turns(turns[: index + 1], answer_next=False)
        answer = turns[index][1].strip()
        start = text.find(answer, len(before))
        if not text.startswith(before) or start < 0 or text[len(before) : start].strip():
            raise ValueError("the template changes an answer or the text before it")
        return len(before), start + len(answer), len(until) if text.startswith(until) else len(text)

    def _locate_numeral(self, text: str, ids: list[int], end: int, numeral: str) -> tuple[NumeralDigits, int]:
        """The digits of a direct answer, and the number of tokens after the root of their trie."""
        prompt_ids, digits = self._trie(text[: text.rindex(numeral, 0, end)])
        path = list(digits.tokens(numeral))
        if ids[: len(prompt_ids) + len(path)] != [*prompt_ids, *path]:
            raise ValueError(f"the number {numeral} is tokenised differently inside its answer and alone")
        return digits, len(ids) - len(prompt_ids)

    def _make_trie(self, prompt: str) -> tuple[list[int], NumeralDigits]:
        texts = all_numerals(self.digits)
        prompt_ids, trie = token_trie(self.processor.encode, prompt, texts, prompts.DIRECT_END)
        return prompt_ids, NumeralDigits(trie, self.digits)


def _trained(
    ids: list[int], offsets: list[tuple[int, int]], answers: list[AnswerSpan], special: frozenset[int]
) -> list[bool]:
    """Which tokens are trained: those of each answer, up to the first special token in the rest of its turn."""
    trained = [False] * len(ids)
    for start, end, until in answers:
        tokens = [t for t, (left, right) in enumerate(offsets) if right > start and left < end]
        rest = (t for t in range(tokens[-1] + 1, len(ids)) if offsets[t][0] < until and ids[t] in special)
        last = next(rest, tokens[-1])
        trained[tokens[0] : last + 1] = [True] * (last + 1 - tokens[0])
    return trained
