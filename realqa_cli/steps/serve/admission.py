"""Which requests are accepted: the key, the number at the same time, and the size and the time of their bodies.

All of it is decided before a body is read, or while it is: what waits in memory is bounded by
`ServeSettings.queue` times `max_body`.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress

from fastapi import Request

from realqa_cli.domain.wording import plural
from realqa_cli.steps.serve.request_items import RequestError
from realqa_cli.steps.serve.settings import ApiKey, ServeSettings

LONGEST_WAIT = 60
"""Most seconds of `Retry-After`."""
DRAIN_SECONDS, DRAIN_BODIES = 5.0, 4
"""How long, and how many times the largest body, is read of a request that is refused."""


class Admission:
    """Lets requests in. Used by the thread of the event loop only."""

    def __init__(self, settings: ServeSettings, key: ApiKey | None, on_change: Callable[[int], object]) -> None:
        """on_change: gets the number of requests that are in."""
        self._settings, self._key, self._on_change = settings, key, on_change
        self._inside = 0

    @contextmanager
    def admit(self, request: Request, seconds_left: Callable[[], float]) -> Iterator[None]:
        """Hold a place for the request. Raises RequestError: 401, 413 by the declared length, or 429.

        seconds_left: estimated time until the requests that wait are finished.
        """
        self._check_key(request)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._settings.max_bytes:
            raise too_large(self._settings)
        if self._inside >= self._settings.queue:
            wait = min(LONGEST_WAIT, max(1, math.ceil(seconds_left())))
            what = f"{plural(self._inside, 'request')} waiting, which is the limit; try again in {wait} s"
            raise RequestError(429, "busy", what, retry_after=wait)
        self._inside += 1
        self._on_change(self._inside)
        try:
            yield
        finally:
            self._inside -= 1
            self._on_change(self._inside)

    def _check_key(self, request: Request) -> None:
        if self._key is None:
            return
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        if not self._key.matches(given):
            raise RequestError(401, "key", "a valid key is needed, as Authorization: Bearer KEY or X-API-Key: KEY")


class BodyReader:
    """The body of one request, within the limits."""

    def __init__(self, request: Request, settings: ServeSettings) -> None:
        self._request, self._settings = request, settings
        self._complete = False

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The body in parts. Raises RequestError: 408, 413, or 400 if the client is gone."""
        async for part in self._received(self._settings.max_bytes, self._settings.body_timeout):
            yield part

    async def drain(self) -> bool:
        """Read what is left, and forget it, so that a client that still sends gets to read the answer.

        False if the client waits to be asked for the body, or sends too much or too slowly.
        """
        if "expect" in self._request.headers and not self._complete:
            return False
        with suppress(RequestError):
            async for _ in self._received(DRAIN_BODIES * self._settings.max_bytes, DRAIN_SECONDS):
                pass
        return self._complete

    async def _received(self, most: int, seconds: float) -> AsyncGenerator[bytes, None]:
        size, end = 0, asyncio.get_running_loop().time() + seconds
        while not self._complete:
            try:
                async with asyncio.timeout_at(end):
                    message = await self._request.receive()
            except TimeoutError as error:
                raise RequestError(408, "too-slow", f"the request was not complete after {seconds:g} s") from error
            if message["type"] == "http.disconnect":
                raise RequestError(400, "request", "the client closed the connection")
            self._complete = not message.get("more_body", False)
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > most:
                raise too_large(self._settings)
            yield part


def too_large(settings: ServeSettings) -> RequestError:
    """The error for a body that exceeds the limit."""
    what = f"the request is over {settings.max_body:g} MB; scale photos down, or send fewer"
    return RequestError(413, "too-large", what)
