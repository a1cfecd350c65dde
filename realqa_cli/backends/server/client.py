"""A client of OpenAI-compatible servers: patient with what passes, plain about what does not.

Speaks POST {url}/chat/completions and GET {url}/models. Time-outs, 429, 5xx and half bodies are tried again
with exponential back-off, jitter and the server's `retry-after`; a wrong key, address or model stops the run
at once. Knows neither steps nor photos. The key leaves as a header and never in a word of ours.
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
from realqa_cli.errors import ItemError, ModelError, UsageError

log = logging.getLogger("realqa")

CONNECT_SECONDS = 10.0
MODELS_RETRIES = 2  # some servers fail to list their models, and can do without
NOTABLE_SECONDS = 10.0  # a pause that a person should be told of

Attempt = Callable[[], AbstractContextManager[object]]
"""Makes what every attempt of a call is sent within: it may wait, count, or raise to give the call up."""

_ALTERNATIVES = {
    "max_tokens": "max_completion_tokens",
    "temperature": None,
    "seed": None,
    "stop": None,
    "response_format": None,
}
"""Parameters that some models or servers refuse, each with what they take in its place."""


class ServerClient:
    """Sends requests; several threads may share one. A context manager, which closes the connections.

    failures: attempts that came to nothing but could be repeated, by kind: "429", "time-out", ...
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Sends nothing yet. Raises UsageError."""
        settings.check()
        self.settings, self.address = settings, settings.address
        self._key = settings.key
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx2.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            limits=httpx2.Limits(max_keepalive_connections=settings.concurrency),
            verify=self.address.startswith("https:"),  # else all certificates are read for nothing
        )
        self._lock = threading.Lock()
        self._resume_at = 0.0  # on the monotonic clock; all threads wait for it
        self._reached = False
        self._unwelcome: frozenset[str] = frozenset()
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._http.close()

    @cached_property
    def model(self) -> str:
        """The model's name: as given, or the only one that the server has. Raises UsageError."""
        if self.settings.model:
            return self.settings.model
        names = self.models
        if len(names) != 1:
            what = f"serves {_some(names)}" if names else "does not say what it serves"
            raise UsageError(what, where=self.address, remedy="name the model")
        return names[0]

    @cached_property
    def models(self) -> list[str]:
        """The names of what the server serves; [] where it does not say. Raises ModelError."""
        try:
            found = self._patiently("GET", "models", {}, retries=MODELS_RETRIES).get("data")
        except ItemError:
            return []
        listed = found if isinstance(found, list) else []
        return [str(one["id"]) for one in listed if isinstance(one, Mapping) and one.get("id")]

    def reach(self) -> str:
        """The model's name, settled, when the server is known to be there and to take the key.

        Raises ModelError or UsageError, before there is work that could be lost.
        """
        _ = self.models
        return self.model

    def chat(
        self, messages: Sequence[Mapping[str, Any]], attempt: Attempt = nullcontext, /, **parameters: Any
    ) -> Reply:
        """The reply to a conversation. Parameters that the model is found to refuse are left out or renamed.

        Raises ItemError where this request fails for good, ModelError where every one would, and whatever
        `attempt` raises.
        """
        while True:
            unwelcome = self._unwelcome
            body = {"model": self.model, "messages": list(messages), **_adapted(parameters, unwelcome)}
            try:
                return Reply(self._patiently("POST", "chat/completions", body, attempt))
            except UnsupportedParameter as refused:
                if refused.name in unwelcome:
                    raise
                self._do_without(refused.name)

    def _do_without(self, name: str) -> None:
        with self._lock:
            if name == "temperature" and name not in self._unwelcome:
                log.warning("%s takes no temperature: its answers may change from run to run", self.model)
            if name == "response_format" and name not in self._unwelcome:
                log.warning("%s takes no schema of answers", self.model)
            self._unwelcome |= {name}

    def _patiently(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        attempt: Attempt = nullcontext,
        retries: int | None = None,
    ) -> dict[str, Any]:
        """What `_once` gives, tried again as the settings say, and at most `retries` times."""
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
        what = f"no answer after {tries} {'attempt' if tries == 1 else 'attempts'}: {last.reason}"
        if last.gone:
            self._stop(what, "run again when it is back")
        raise ItemError(what, type="server", where=self.address)

    def _once(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = self._http.request(method, f"{self.address}/{path}", json=dict(body) or None)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = f"cannot be reached ({short(str(error)) or type(error).__name__})"
            if not self._reached:
                self._stop(reason, "start the server or check the address")
            raise TransientFailure(reason, "no connection", gone=True) from error
        except httpx2.TimeoutException as error:
            silence = f"silent for {self.settings.timeout:g} seconds"
            raise TransientFailure(silence, "time-out", lost=True) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:  # resets and half bodies
            reason = f"broke off ({short(str(error)) or type(error).__name__})"
            raise TransientFailure(reason, "broken off", lost=True) from error
        self._reached = True
        self._judge(response, body)
        self._rest(server_replies.asked_rest(response))
        try:
            found = json.loads(server_replies.masked(response.text, self._key))
        except (ValueError, RecursionError) as error:
            raise TransientFailure("a body that is no JSON", "no JSON", lost=True) from error
        if body and not server_replies.is_completion(found):
            words = server_replies.said(response, secret=self._key)
            raise TransientFailure(f"a body without an answer ({words})", "no answer", lost=True)
        return found if isinstance(found, dict) else {}

    def _judge(self, response: httpx2.Response, body: Mapping[str, Any]) -> None:
        """Raises what a status other than success means; `body` is empty for a GET."""
        found = server_replies.verdict(response)
        if found == "fine":
            return
        words = server_replies.said(response, secret=self._key)
        told = f"{response.status_code}{f': {words}' if words else ''}"
        if found == "passing":
            wait = server_replies.asked_wait(response) or server_replies.asked_rest(response)
            raise TransientFailure(told, str(response.status_code), after=wait)
        if found == "key":
            variable = self.settings.api_key_env
            remedy = f"set {variable} to a valid one" if self._key else f"put one into {variable}"
            self._stop(f"{'refuses the key' if self._key else 'wants a key'} ({told})", remedy)
        if found == "unpaid":
            self._stop(f"wants to be paid first ({told})", "top up the account")
        if found == "moved":
            target = short(response.headers.get("location", "elsewhere"))
            self._stop(f"redirects to {target}", "give the address that it redirects to")
        if found == "absent" and body:
            self._stop(f"has no such address or model ({told})", self._remedy(str(body["model"])))
        what = f"the server refuses the request ({told})"
        if name := server_replies.named(response, [name for name in _ALTERNATIVES if name in body]):
            raise UnsupportedParameter(name, what, self.address)
        raise ItemError(what, type="request", where=self.address)

    def _remedy(self, model: str) -> str:
        """What helps against a 404, with the names of what there is if the server tells them."""
        try:
            found = self._http.get(f"{self.address}/models").json()["data"]
            names = [str(one["id"]) for one in found]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            names = []
        if names and model not in names:
            return f"it serves {_some(names)}, not {model}"
        return f"check the address, which ends in /v1, and the model's name, {model}"

    def _wait(self) -> None:
        while (left := self._resume_at - time.monotonic()) > 0:
            time.sleep(left)

    def _rest(self, asked: float) -> None:
        """Nothing is left of a limit for so many seconds: whoever asks next waits."""
        if 0 < asked <= self.settings.patience:  # else the server will refuse, and say how long to wait
            with self._lock:
                self._resume_at = max(self._resume_at, time.monotonic() + asked)

    def _pause(self, attempt: int, asked: float | None) -> None:
        """Waits before the next attempt; what the server asks for is waited for by all threads."""
        settings = self.settings
        if not asked:
            wait = min(settings.longest_wait, settings.first_wait * 2**attempt)
            time.sleep(wait * random.uniform(0.5, 1.0))
            return
        if asked > settings.patience:
            self._stop(f"asks to wait for {asked:.0f} seconds", "run again then; finished work is kept")
        if asked >= NOTABLE_SECONDS:
            log.warning("the server asks to wait for %.0f seconds", asked)
        with self._lock:
            self._resume_at = max(self._resume_at, time.monotonic() + asked)
        time.sleep(asked + settings.first_wait * random.uniform(0.0, 0.5))  # not all at the same moment

    def _stop(self, what: str, remedy: str) -> NoReturn:
        raise ModelError(what, where=self.address, remedy=remedy)


def _adapted(parameters: Mapping[str, Any], unwelcome: frozenset[str]) -> dict[str, Any]:
    names = {name: _ALTERNATIVES[name] if name in unwelcome else name for name in parameters}
    return {name: parameters[old] for old, name in names.items() if name}


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
