"""Requests and tokens per minute: calls are spread evenly, so that no minute has more than it may.

Knows no server; what a server itself says of its limits is `server_client`'s matter.
"""

import threading
import time

_MINUTE = 60.0


class Pace:
    """Says when the next call may go. Several threads may share one. None is no limit."""

    def __init__(self, requests: float | None = None, tokens: float | None = None) -> None:
        self._request = _MINUTE / requests if requests else 0.0  # seconds that each one takes
        self._token = _MINUTE / tokens if tokens else 0.0
        self._lock = threading.Lock()
        self._next_request = self._next_token = 0.0  # on the monotonic clock

    def wait(self, tokens: int) -> None:
        """Returns when a call of about so many tokens may go."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_request, self._next_token)
            self._next_request = start + self._request
            self._next_token = start + tokens * self._token
        time.sleep(start - now)

    def correct(self, tokens: int) -> None:
        """A call took so many tokens more than was thought; fewer, if negative."""
        with self._lock:
            self._next_token += tokens * self._token
