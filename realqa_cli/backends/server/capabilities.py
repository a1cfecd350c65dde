"""Detects what an OpenAI-compatible server supports beyond free text, by a few short requests.

Servers accept parameters that they do not know, and answer with status 200. So a feature counts as supported
only if the reply proves it: it contains the likely tokens, it continues in the middle of a word, or it is one
of two texts that no model would write without the constraint.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.topk import places_of
from realqa_cli.domain.grammar import one_of
from realqa_cli.errors import ItemError

CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
"""Continues the last assistant message in vLLM and SGLang; other servers may do so without the parameters."""

_TOKENS = (20, 5)  # 20 is the limit of OpenAI and most servers; some allow only 5
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
"""The parameters for constrained decoding: vLLM's new and old one, SGLang's, and OpenAI's schema, whose answer
is an object."""


def unwrap_answer(guide: str, text: str) -> str:
    """The answer in a reply to a request with this guide; text in another format is returned unchanged."""
    if guide != "response_format":
        return text
    try:
        parsed = json.loads(text)
        return str(parsed["answer"]) if isinstance(parsed, Mapping) else text
    except (ValueError, KeyError):
        return text


@dataclass(frozen=True)
class ServerCapabilities:
    """What a server supports.

    top: number of likely tokens that it reports at each position, 0 for none.
    continues: whether it continues an assistant message.
    guide: its parameter for constrained decoding (`GUIDES`), None if it has none or does not need one.
    """

    top: int = 0
    continues: bool = False
    guide: str | None = None

    @classmethod
    def detect(cls, client: ServerClient, *, log_probs: bool = True) -> Self:
        """Detects the capabilities by a few short requests.

        log_probs: whether likely tokens are of interest. Raises ModelError if every request would fail.
        """
        top = next(filter(None, (_likely(client, count) for count in _TOKENS)), 0) if log_probs else 0
        guide = None if top else next((name for name in GUIDES if _respects(client, name)), None)
        return cls(top, bool(top) and _continues(client), guide)

    @property
    def decode(self) -> str:
        """The `decode` field of records from such a server: "topk" or "greedy"."""
        return "topk" if self.top else "greedy"

    def settings(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    def __str__(self) -> str:
        if self.top:
            prefix = "continues a given prefix" if self.continues else "does not continue a given prefix"
            return f"reports the {self.top} most likely tokens and {prefix}: decode {self.decode}"
        guide = f"supports constrained decoding by {self.guide}" if self.guide else "answers in free text"
        return f"does not report probabilities and {guide}: decode {self.decode}"


def _likely(client: ServerClient, count: int) -> int:
    """How many likely tokens the server reports if `count` are requested."""
    try:
        reply = client.chat([_GREETING], **_greedy(4), logprobs=True, top_logprobs=count)
    except ItemError:
        return 0
    places = places_of(reply.raw)
    sound = all(share <= 1e-3 for place in places for _, share in place.likely)
    least = min((len(place.likely) for place in places), default=0)
    return least if sound and least > 1 else 0


def _continues(client: ServerClient) -> bool:
    """Whether an assistant message is continued, judged by the token counts or by the rest of a word."""
    begun = [_COUNT, {"role": "assistant", "content": _COUNTED}]
    try:
        forced = client.chat(begun, **_greedy(8), **CONTINUE).raw
    except ItemError:
        return False
    try:
        plain = client.chat(begun, **_greedy(8)).raw
    except ItemError:  # the server accepts a final assistant message only with the parameters
        return True
    counts = [_prompt_tokens(raw) for raw in (forced, plain)]
    if None not in counts and counts[0] != counts[1]:  # fewer: without the tokens that start a turn
        return counts[0] < counts[1]  # type: ignore[operator]
    return _text(forced).lower().startswith(_REST)


def _respects(client: ServerClient, guide: str) -> bool:
    """Whether the server returns one of two odd answers, to which the guide constrains it."""
    try:
        reply = client.chat([_GREETING], **_greedy(24), **GUIDES[guide](one_of(_ODD)))
    except ItemError:
        return False
    return unwrap_answer(guide, _text(reply.raw)) in _ODD


def _greedy(tokens: int) -> dict[str, Any]:
    return {"temperature": 0, "seed": 0, "max_tokens": tokens}


def _text(raw: Mapping[str, Any]) -> str:
    """The text of the answer, stripped; may be empty."""
    return str(raw["choices"][0]["message"].get("content") or "").strip()


def _prompt_tokens(raw: Mapping[str, Any]) -> int | None:
    usage = raw.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return count if isinstance(count, int) else None
