"""A client of OpenAI-compatible servers, with retries.

Sends POST {url}/chat/completions and GET {url}/models. Time-outs, 429, 5xx and incomplete bodies are retried
with exponential back-off, jitter and the server's `retry-after`; a wrong key, address or model and an account
without money stop the run at once. The key is sent in a header and never logged.
"""

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, NoReturn, Self

import httpx2

from realqa_cli.backends.server import replies as server_replies
from realqa_cli.backends.server.replies import Reply, TransientFailure, UnsupportedParameter, short
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.backends.server.transport import Transport
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError, ModelError, UsageError

log = logging.getLogger("realqa")

MODELS_RETRIES = 2  # some servers fail to list their models, and can do without
NOTABLE_SECONDS = 10.0  # longer pauses are logged

Attempt = Callable[[], AbstractContextManager[object]]
"""Makes the context of every attempt of a call: it may wait, count, or raise to give up the call."""

_ALTERNATIVES = {
    "max_tokens": "max_completion_tokens",
    "temperature": None,
    "seed": None,
    "stop": None,
    "response_format": None,
    "top_k": None,
    "top_p": None,
}
"""Parameters that some models or servers refuse, with their replacements."""


class ServerClient:
    """Sends requests; several threads may share one client. As a context manager it closes its connections.

    failures: number of failed attempts that could be retried, by kind: "429", "time-out", ...
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Checks the settings and sends nothing. Raises UsageError."""
        settings.check()
        self.settings, self.address = settings, settings.address
        self._key = settings.key
        self._transport = Transport(settings)
        self._lock = threading.Lock()
        self._resume_at = 0.0  # on the monotonic clock; all threads wait for it
        self._reached = False
        self._answered = False  # whether a request with this key succeeded
        self._refused: frozenset[str] = frozenset()
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._transport.close()

    @cached_property
    def model(self) -> str:
        """The name of the model: the given one, or the only one of the server. Raises UsageError."""
        if self.settings.model:
            return self.settings.model
        names = self.models
        if len(names) != 1:
            what = f"serves {_some(names)}" if names else "does not say what it serves"
            raise UsageError(what, where=self.address, remedy="add --model NAME")
        return names[0]

    @cached_property
    def models(self) -> list[str]:
        """The names of the served models; [] if the server does not list them. Raises ModelError."""
        try:
            data = self._with_retries("GET", "models", {}, retries=MODELS_RETRIES).get("data")
        except ItemError:
            return []
        listed = data if isinstance(data, list) else []
        return [str(one["id"]) for one in listed if isinstance(one, Mapping) and one.get("id")]

    def reach(self) -> str:
        """Checks that the server responds and accepts the key. Returns the name of the model.

        Raises ModelError or UsageError.
        """
        _ = self.models
        return self.model

    def chat(
        self, messages: Sequence[Mapping[str, Any]], attempt: Attempt = nullcontext, /, **parameters: Any
    ) -> Reply:
        """The reply to a conversation. Parameters that the model refuses are omitted or renamed.

        Raises ItemError if this request fails for good, ModelError if every request would, and whatever
        `attempt` raises.
        """
        while True:
            refused_names = self._refused
            body = {"model": self.model, "messages": list(messages), **_adapted(parameters, refused_names)}
            try:
                return Reply(self._with_retries("POST", "chat/completions", body, attempt))
            except UnsupportedParameter as refused:
                if refused.name in refused_names:
                    raise
                self._do_without(refused.name)

    def _do_without(self, name: str) -> None:
        with self._lock:
            if name == "temperature" and name not in self._refused:
                log.warning("%s does not accept a temperature: its answers may differ between runs", self.model)
            if name in ("top_k", "top_p") and name not in self._refused:
                log.warning("%s does not accept %s: its answers are drawn otherwise", self.model, name)
            if name == "response_format" and name not in self._refused:
                log.warning("%s does not accept a schema for answers", self.model)
            self._refused |= {name}

    def _with_retries(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        attempt: Attempt = nullcontext,
        retries: int | None = None,
    ) -> dict[str, Any]:
        """`_once` with retries: as many as the settings allow, and at most `retries`."""
        tries = 1 + min(n for n in (self.settings.retries, retries) if n is not None)
        for number in range(tries):
            try:
                with attempt():
                    self._wait()
                    return self._once(method, path, body)
            except TransientFailure as failure:
                last = failure
            with self._lock:
                self.failures[last.kind] += 1
            if number < tries - 1:
                self._pause(number, last.after)
        what = f"no answer after {plural(tries, 'attempt')}: {last.reason}"
        if last.gone:
            self._stop(what, "run again when it is back")
        raise ItemError(what, type="server", where=self.address)

    def _once(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = self._transport.exchange(method, path, body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = f"cannot be reached ({short(str(error)) or type(error).__name__})"
            if not self._reached:
                self._stop(reason, "start the server or check the address")
            raise TransientFailure(reason, "no connection", gone=True) from error
        except httpx2.TimeoutException as error:
            raise self._transport.time_out() from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:  # resets and incomplete bodies
            reason = f"the connection broke ({short(str(error)) or type(error).__name__})"
            raise TransientFailure(reason, "broken off", lost=True) from error
        self._reached = True
        self._check_status(response, body)
        self._rest(server_replies.limit_reset(response))
        try:
            parsed = json.loads(server_replies.masked(response.text, self._key))
            found = server_replies.without_lone_surrogates(parsed)
        except (ValueError, RecursionError) as error:
            raise TransientFailure("the body is not JSON", "not JSON", lost=True) from error
        if body and not server_replies.is_completion(found):
            words = server_replies.server_message(response, secret=self._key)
            raise TransientFailure(f"the body contains no answer ({words})", "no answer", lost=True)
        self._answered |= bool(body)
        return found if isinstance(found, dict) else {}

    def _check_status(self, response: httpx2.Response, body: Mapping[str, Any]) -> None:
        """Raises the error of a status other than success; `body` is empty for a GET."""
        verdict = server_replies.verdict(response)
        if verdict == "ok":
            return
        words = server_replies.server_message(response, secret=self._key)
        status = f"{response.status_code}{f': {words}' if words else ''}"
        if verdict == "transient":
            wait = server_replies.retry_after(response) or server_replies.limit_reset(response)
            raise TransientFailure(status, str(response.status_code), after=wait)
        if verdict == "flagged" or (response.status_code == 403 and self._answered):  # the key works for others
            raise ItemError(f"the server rejects this request ({status})", type="refused", where=self.address)
        if verdict == "key":
            variable = self.settings.api_key_env
            remedy = f"set {variable} to a valid key" if self._key else f"set {variable} to your key"
            self._stop(f"{'refuses the key' if self._key else 'requires a key'} ({status})", remedy)
        if verdict == "unpaid":
            self._stop(
                f"the account has no credit or quota left ({status})", "top up the account or wait for its quota"
            )
        if verdict == "moved":
            target = short(response.headers.get("location", "elsewhere"))
            self._stop(f"redirects to {target}", "give the address that it redirects to")
        if verdict == "absent" and body:
            self._stop(f"unknown address or model ({status})", self._remedy(str(body["model"])))
        what = f"the server refuses the request ({status})"
        if name := server_replies.refused_parameter(response, [name for name in _ALTERNATIVES if name in body]):
            raise UnsupportedParameter(name, what, self.address)
        raise ItemError(what, type="request", where=self.address)

    def _remedy(self, model: str) -> str:
        """The remedy for a 404, with the names of the served models if the server lists them."""
        try:
            found = self._transport.exchange("GET", "models", {}).json()["data"]
            names = [str(one["id"]) for one in found]
        except (httpx2.HTTPError, TransientFailure, ValueError, KeyError, TypeError):
            names = []
        if names and model not in names:
            return f"it serves {_some(names)}, not {model}"
        return f"check the address, which ends in /v1, and the name of the model, {model}"

    def _wait(self) -> None:
        while (left := self._resume_at - time.monotonic()) > 0:
            time.sleep(left)

    def _rest(self, seconds: float) -> None:
        """A rate limit is exhausted for so many seconds: all threads wait before their next request."""
        if 0 < seconds <= self.settings.patience:  # else the next reply says how long to wait
            with self._lock:
                self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def _pause(self, attempt: int, requested: float | None) -> None:
        """Waits before the next attempt; a wait that the server requests applies to all threads."""
        settings = self.settings
        if not requested:
            wait = min(settings.longest_wait, settings.first_wait * 2**attempt)
            time.sleep(wait * random.uniform(0.5, 1.0))
            return
        if requested > settings.patience:
            self._stop(f"requests a wait of {requested:.0f} seconds", "run again then; finished work is kept")
        if requested >= NOTABLE_SECONDS:
            log.warning("the server requests a wait of %.0f seconds", requested)
        with self._lock:
            self._resume_at = max(self._resume_at, time.monotonic() + requested)
        time.sleep(requested + settings.first_wait * random.uniform(0.0, 0.5))  # not all threads at the same moment

    def _stop(self, what: str, remedy: str) -> NoReturn:
        raise ModelError(what, where=self.address, remedy=remedy)


def _adapted(parameters: Mapping[str, Any], refused_names: frozenset[str]) -> dict[str, Any]:
    names = {name: _ALTERNATIVES[name] if name in refused_names else name for name in parameters}
    return {name: parameters[old] for old, name in names.items() if name}


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
