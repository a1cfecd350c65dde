"""What an OpenAI-compatible server can do beyond free text: found out by asking, and by looking at the reply.

Servers take parameters that they do not know, answer with 200 and do as they like. So nothing is believed
that a reply does not prove: it holds the likely tokens, it goes on in the middle of a word, it is one of two
texts that nobody would write unasked.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.topk import places_of
from realqa_cli.domain.grammar import one_of
from realqa_cli.errors import ItemError

GO_ON = {"continue_final_message": True, "add_generation_prompt": False}
"""What vLLM and SGLang call it; others that go on from an assistant's message do so unasked."""

_TOKENS = (20, 5)  # as many likely tokens as OpenAI and most servers tell; some tell fewer and refuse more
_GREETING = {"role": "user", "content": "Say hello."}
_COUNT = {"role": "user", "content": "Count from one to nine in words, separated by commas."}
_COUNTED, _REST = "one, two, three, fo", "ur"
_ODD = ("mauve 7", "teal 4")


def _schema(pattern: str) -> dict[str, Any]:
    answer = {"type": "string", "pattern": f"^({pattern})$"}
    schema = {"type": "object", "properties": {"answer": answer}}
    strict = {**schema, "required": ["answer"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": strict}}


GUIDES: dict[str, Callable[[str], dict[str, Any]]] = {
    "structured_outputs": lambda pattern: {"structured_outputs": {"regex": pattern}},
    "guided_regex": lambda pattern: {"guided_regex": pattern},
    "regex": lambda pattern: {"regex": pattern},
    "response_format": lambda pattern: {"response_format": _schema(pattern)},
}
"""How a server can be held to answers of a pattern: the parameter's name, and what makes it. vLLM's new and
old way, SGLang's, and that of OpenAI, whose answer is an object."""


def answered(guide: str, text: str) -> str:
    """The answer in the text of a reply that was guided so; a text that is none stays as it is."""
    if guide != "response_format":
        return text
    try:
        found = json.loads(text)
        return str(found["answer"]) if isinstance(found, Mapping) else text
    except (ValueError, KeyError):
        return text


@dataclass(frozen=True)
class ServerCapabilities:
    """top: how many likely tokens it tells in each place, 0 for none.

    continues: whether it goes on from an assistant's words.  guide: the parameter (`GUIDES`) by which it can
    be held to a pattern; None where it cannot. What would not be used is not looked for.
    """

    top: int = 0
    continues: bool = False
    guide: str | None = None

    @classmethod
    def of(cls, client: ServerClient, *, weigh: bool = True) -> Self:
        """What the server can do, in a few short requests; without `weigh` its likely tokens do not matter.

        Raises ModelError where every request would fail.
        """
        top = next(filter(None, (_likely(client, count) for count in _TOKENS)), 0) if weigh else 0
        guide = None if top else next((name for name in GUIDES if _obeys(client, name)), None)
        return cls(top, bool(top) and _continues(client), guide)

    @property
    def decode(self) -> str:
        """What records call an answer of such a server: "topk" or "greedy"."""
        return "topk" if self.top else "greedy"

    def settings(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    def __str__(self) -> str:
        if self.top:
            goes = "goes on from words that it is given" if self.continues else "begins answers by itself"
            return f"tells the {self.top} likeliest tokens of each place and {goes}: decode {self.decode}"
        guided = f"is held to the form of answers by {self.guide}" if self.guide else "answers freely"
        return f"tells no probabilities and {guided}: decode {self.decode}"


def _likely(client: ServerClient, count: int) -> int:
    """How many likely tokens come when so many are asked for."""
    try:
        reply = client.chat([_GREETING], **_greedy(4), logprobs=True, top_logprobs=count)
    except ItemError:
        return 0
    places = places_of(reply.raw)
    sound = all(share <= 1e-3 for place in places for _, share in place.likely)
    least = min((len(place.likely) for place in places), default=0)
    return least if sound and least > 1 else 0


def _continues(client: ServerClient) -> bool:
    """Whether an assistant's words are gone on from: by the tokens that are counted, or by half a word."""
    begun = [_COUNT, {"role": "assistant", "content": _COUNTED}]
    try:
        forced = client.chat(begun, **_greedy(8), **GO_ON).raw
    except ItemError:
        return False
    try:
        plain = client.chat(begun, **_greedy(8)).raw
    except ItemError:  # an assistant has the last word only where that is asked for
        return True
    counts = [_prompt_tokens(raw) for raw in (forced, plain)]
    if None not in counts and counts[0] != counts[1]:  # without the tokens that begin a turn
        return counts[0] < counts[1]  # type: ignore[operator]
    return _text(forced).lower().startswith(_REST)


def _obeys(client: ServerClient, guide: str) -> bool:
    """Whether the server gives one of two odd answers because it is held to them."""
    try:
        reply = client.chat([_GREETING], **_greedy(24), **GUIDES[guide](one_of(_ODD)))
    except ItemError:
        return False
    return answered(guide, _text(reply.raw)) in _ODD


def _greedy(tokens: int) -> dict[str, Any]:
    return {"temperature": 0, "seed": 0, "max_tokens": tokens}


def _text(raw: Mapping[str, Any]) -> str:
    """What was written, if only blanks."""
    return str(raw["choices"][0]["message"].get("content") or "").strip()


def _prompt_tokens(raw: Mapping[str, Any]) -> int | None:
    usage = raw.get("usage")
    found = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return found if isinstance(found, int) else None
