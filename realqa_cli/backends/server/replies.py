"""Interprets the responses of OpenAI-compatible servers: an answer, a transient failure, or a permanent one.

Pure functions of statuses, headers and bodies.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx2

from realqa_cli.domain.parsing import without_thoughts
from realqa_cli.errors import ItemError

Verdict = Literal["ok", "transient", "key", "unpaid", "absent", "moved", "flagged", "refused"]

_FLAGGED = re.compile(
    r"flagged|moderation|content[ _-]?(?:filter|polic|management)|responsible ?ai|safety|inappropriate"
    r"|data_?inspection|sensitive|unsafe|nsfw|prohibited",
    re.IGNORECASE,
)
"""In the error of a server that rejects one photo and would accept others."""
_UNPAID = re.compile(
    r"insufficient[_ ](?:quota|balance|funds|credits?)|arrear|overdue|good standing|out of credits?|no credits? left"
    r"|(?:billing|spend(?:ing)?)[_ ](?:hard[_ ])?limit|hard[_ ]limit|credit balance|account[_ ](?:is )?deactivated",
    re.IGNORECASE,
)
"""In the error of an account that has to be paid or enabled first."""
_DAILY = re.compile(r"per[_ -]?day|daily[_ ](?:quota|limit|request|token|usage)|\b[RT]PD\b", re.IGNORECASE)
"""In the error of a quota that does not reset soon."""
_LONGEST = 200  # characters of a server message in our messages
_SECRET = 8  # shorter keys are placeholders such as "none"
_ALSO_CALLED = {"response_format": ("json_schema", "json schema", "structured outputs?", "guided_json")}


@dataclass(frozen=True)
class Reply:
    """The complete answer of a server. raw: the parsed body."""

    raw: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The text of the answer without thoughts. Raises ItemError for a refusal or an empty answer."""
        choice = self.raw["choices"][0]
        message = choice["message"]
        if message.get("refusal") or choice.get("finish_reason") == "content_filter":
            reason = short(str(message.get("refusal") or "filtered"))
            raise ItemError(f"the model refuses: {reason}", type="refused")
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        text = without_thoughts(str(content or ""))
        if not text and choice.get("finish_reason") != "length":  # a reasoning parser can misplace the answer
            text = without_thoughts(str(message.get("reasoning_content") or message.get("reasoning") or ""))
        if not text:
            raise ItemError(f"the answer is empty ({choice.get('finish_reason')})", type="empty")
        return text

    @property
    def cut(self) -> bool:
        """Whether the answer was cut off at the limit of its length."""
        return bool(self.raw["choices"][0].get("finish_reason") == "length")


class TransientFailure(Exception):
    """A failure that may not occur again.

    reason: one sentence.  kind: one or two words, for counting.
    after: seconds that the server requests to wait.  gone: whether the connection failed.
    lost: whether an answer may have been generated, and charged, without arriving.
    """

    def __init__(
        self, reason: str, kind: str, *, after: float | None = None, gone: bool = False, lost: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.after, self.gone, self.lost = reason, kind, after, gone, lost


class UnsupportedParameter(ItemError):
    """The model does not accept the parameter `name`."""

    def __init__(self, name: str, what: str, where: str) -> None:
        super().__init__(what, type="request", where=where)
        self.name = name


def verdict(response: httpx2.Response) -> Verdict:
    """What the status means; an account without money answers like a busy server, but will not pass."""
    status = response.status_code
    if response.is_success:
        return "ok"
    body = response.text[:4000]
    if status == 402 or (status in {400, 401, 403, 429} and _UNPAID.search(body)):
        return "unpaid"
    if status in {403, 429} and _DAILY.search(body):
        return "unpaid"
    if status in {400, 403, 451} and _FLAGGED.search(body):
        return "flagged"
    if status in {401, 403}:
        return "key"
    if status in {404, 405, 410, 501}:
        return "absent"
    if 300 <= status < 400:
        return "moved"
    return "transient" if status in {408, 409, 425, 429} or status >= 500 else "refused"


def is_completion(found: object) -> bool:
    """Whether a body contains an answer."""
    match found:
        case {"choices": [{"message": dict()}, *_]}:
            return True
    return False


def server_message(response: httpx2.Response, *, secret: str) -> str:
    """The message in the body of an error, on one short line; empty for an HTML page.

    `secret` is masked: some servers repeat the key that they refuse.
    """
    try:
        found = response.json()
    except ValueError:
        found = "" if "<html" in response.text[:500].lower() else response.text
    for name in ("error", "message", "detail"):
        found = found[name] if isinstance(found, Mapping) and found.get(name) else found
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return short(masked(text, secret))


def without_lone_surrogates(value: Any) -> Any:
    """The parsed JSON with U+FFFD for lone surrogates, which cannot be encoded when records are written."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {without_lone_surrogates(key): without_lone_surrogates(each) for key, each in value.items()}
    return [without_lone_surrogates(each) for each in value] if isinstance(value, list) else value


def masked(text: str, secret: str) -> str:
    """The text without the key, which some servers repeat."""
    return text.replace(secret, "***") if len(secret) >= _SECRET else text


def short(text: str) -> str:
    """One line of at most 200 characters."""
    return " ".join(text.split())[:_LONGEST]


def refused_parameter(response: httpx2.Response, names: Iterable[str]) -> str | None:
    """The parameter among `names` that the refusal mentions, by its name or a synonym."""
    body = response.text[:4000]
    words = {name: "|".join((re.escape(name), *_ALSO_CALLED.get(name, ()))) for name in names}
    return next((name for name, known in words.items() if re.search(rf"\b(?:{known})\b", body)), None)


def limit_reset(response: httpx2.Response) -> float:
    """Seconds until an exhausted rate limit resets, by the headers; 0 if none is exhausted."""
    rests = [0.0]
    for what in ("requests", "tokens"):
        headers = response.headers
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
            rests.append(_seconds(headers.get(f"x-ratelimit-reset-{what}", "")))
    return max(rests)


def _seconds(text: str) -> float:
    """`6m0s`, `1.5s`, `20ms`, or plain seconds."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
    found = re.fullmatch(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]|$))+", text.strip())
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd]|$)", found[0]) if found else []
    return sum(float(number) * units[unit] for number, unit in parts)


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds of the header `retry-after`, which is a number or a date; None without it."""
    headers = response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if re.fullmatch(r"\d+(?:\.\d+)?", headers.get(name, "")):
            return float(headers[name]) * unit
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
