"""What an OpenAI-compatible server's response means: an answer, a failure that may pass, or one that stays.

Pure: judges statuses, headers and bodies; sends nothing and waits for nothing.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx2

from realqa_cli.errors import ItemError

Verdict = Literal["fine", "passing", "key", "unpaid", "absent", "moved", "refused"]

_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_LONGEST = 200  # characters of a server's own words in ours
_SECRET = 8  # shorter keys are stand-ins such as "none"
_ALSO_CALLED = {"response_format": ("json_schema", "json schema", "structured outputs?", "guided_json")}


@dataclass(frozen=True)
class Reply:
    """A server's whole answer. raw: as it came, for whoever keeps it."""

    raw: Mapping[str, Any]

    @property
    def text(self) -> str:
        """What the model wrote, without its thoughts. Raises ItemError for a refusal and for nothing."""
        choice = self.raw["choices"][0]
        message = choice["message"]
        if message.get("refusal") or choice.get("finish_reason") == "content_filter":
            said = str(message.get("refusal") or "filtered")[:_LONGEST]
            raise ItemError(f"the model refuses: {said}", type="refused")
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        text = _THOUGHT.sub("", str(content or "")).strip()
        if not text:
            raise ItemError(f"the answer is empty ({choice.get('finish_reason')})", type="empty")
        return text

    @property
    def cut(self) -> bool:
        """Whether the answer met the limit of its length."""
        return bool(self.raw["choices"][0].get("finish_reason") == "length")


class TransientFailure(Exception):
    """A failure that may pass. reason: in words.  kind: in one or two, for counting.

    after: seconds that the server asks to wait, if it does.  gone: whether there was no connection at all.
    lost: whether an answer may have been made, and charged for, that did not arrive.
    """

    def __init__(
        self, reason: str, kind: str, *, after: float | None = None, gone: bool = False, lost: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.after, self.gone, self.lost = reason, kind, after, gone, lost


class UnsupportedParameter(ItemError):
    """The model takes no parameter of this `name`."""

    def __init__(self, name: str, what: str, where: str) -> None:
        super().__init__(what, type="request", where=where)
        self.name = name


def verdict(response: httpx2.Response) -> Verdict:
    """What the status means; an account without money answers like a busy server, but will not pass."""
    status = response.status_code
    if response.is_success:
        return "fine"
    if status == 402 or (status in {403, 429} and "insufficient_quota" in response.text[:4000]):
        return "unpaid"
    if status in {401, 403}:
        return "key"
    if status in {404, 405, 410, 501}:
        return "absent"
    if 300 <= status < 400:
        return "moved"
    return "passing" if status in {408, 409, 425, 429} or status >= 500 else "refused"


def is_completion(found: object) -> bool:
    """Whether a body holds an answer."""
    match found:
        case {"choices": [{"message": dict()}, *_]}:
            return True
    return False


def said(response: httpx2.Response, *, secret: str) -> str:
    """The message in an error's body, in one short line; nothing for a page of HTML.

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


def masked(text: str, secret: str) -> str:
    """The text without the key, which some servers repeat."""
    return text.replace(secret, "***") if len(secret) >= _SECRET else text


def short(text: str) -> str:
    """One line of at most 200 characters."""
    return " ".join(text.split())[:_LONGEST]


def named(response: httpx2.Response, names: Iterable[str]) -> str | None:
    """The one of our parameters' `names` that a refusal speaks of, if by another word of it."""
    body = response.text[:4000]
    words = {name: "|".join((re.escape(name), *_ALSO_CALLED.get(name, ()))) for name in names}
    return next((name for name, known in words.items() if re.search(rf"\b(?:{known})\b", body)), None)


def asked_rest(response: httpx2.Response) -> float:
    """Seconds until there is anything left of the limits that the headers tell; 0 where there is."""
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


def asked_wait(response: httpx2.Response) -> float | None:
    """Seconds of `retry-after`, which may be a number or a date."""
    headers = response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if re.fullmatch(r"\d+(?:\.\d+)?", headers.get(name, "")):
            return float(headers[name]) * unit
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
