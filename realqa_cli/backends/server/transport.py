"""One HTTP exchange with a server: a whole response within the time-out and of a bounded size. It knows no retries."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import httpx2

from realqa_cli.backends.server.replies import TransientFailure, short
from realqa_cli.backends.server.settings import ServerSettings

CONNECT_SECONDS = 10.0
LARGEST_BODY = 16 * 2**20

_ENCODINGS = {"identity", "gzip", "deflate"}  # others decompress to gigabytes in one step
_BODY_HEADERS = {"content-encoding", "content-length", "transfer-encoding"}


class Transport:
    """The HTTP client with the address, the key and the time-outs of the settings; threads may share it."""

    def __init__(self, settings: ServerSettings) -> None:
        self._address, self._timeout = settings.address, settings.timeout
        key = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        self._http = httpx2.Client(
            headers={"Accept-Encoding": "gzip", **key},
            timeout=httpx2.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            limits=httpx2.Limits(max_keepalive_connections=settings.concurrency),
            verify=self._address.startswith("https:"),  # loading certificates is slow
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def exchange(self, method: str, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """The response with its body. Raises TransientFailure if it is not complete after the time-out.

        The time-outs of the HTTP client limit single reads only, so the exchange runs in a thread, which is
        abandoned at the deadline.
        """
        result: Future[httpx2.Response] = Future()
        deadline = time.monotonic() + self._timeout

        def run() -> None:
            try:
                result.set_result(self._receive(method, path, body, deadline))
            except BaseException as error:  # noqa: BLE001  raised again by `result`
                result.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            return result.result(timeout=self._timeout)
        except TimeoutError as error:
            raise self.time_out() from error

    def time_out(self) -> TransientFailure:
        """The failure of an exchange that takes too long."""
        return TransientFailure(f"no complete answer within {self._timeout:g} seconds", "time-out", lost=True)

    def _receive(self, method: str, path: str, body: Mapping[str, Any], deadline: float) -> httpx2.Response:
        """Reads at most `LARGEST_BODY` bytes, decompressed, until the deadline."""
        with self._http.stream(method, f"{self._address}/{path}", json=dict(body) or None) as response:
            encoding = response.headers.get("content-encoding", "identity").lower()
            if encoding not in _ENCODINGS:
                raise TransientFailure(f"the body has the encoding {short(encoding)!r}", "encoding", lost=True)
            parts, size = [], 0
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > LARGEST_BODY:
                    raise TransientFailure(f"the body exceeds {LARGEST_BODY // 2**20} MB", "too large", lost=True)
                if time.monotonic() > deadline:
                    raise self.time_out()
        headers = {name: value for name, value in response.headers.items() if name not in _BODY_HEADERS}
        return httpx2.Response(response.status_code, headers=headers, content=b"".join(parts))
