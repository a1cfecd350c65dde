"""Limits on requests and tokens per minute: calls are spaced evenly, so that no minute exceeds them.

What a server itself reports about its limits is handled by `backends.server.client`.
"""

import threading
import time

_MINUTE = 60.0


class RateLimit:
    """Delays calls to keep within requests and tokens per minute; None for no limit. Thread-safe."""

    def __init__(self, requests: float | None = None, tokens: float | None = None) -> None:
        self._request = _MINUTE / requests if requests else 0.0  # seconds per request
        self._token = _MINUTE / tokens if tokens else 0.0
        self._lock = threading.Lock()
        self._next_request = self._next_token = 0.0  # on the monotonic clock

    def wait(self, tokens: int) -> None:
        """Return when a call of about `tokens` tokens may be sent."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_request, self._next_token)
            self._next_request = start + self._request
            self._next_token = start + tokens * self._token
        time.sleep(start - now)

    def correct(self, tokens: int) -> None:
        """Account for a call that took `tokens` tokens more than estimated, or fewer if negative."""
        with self._lock:
            self._next_token += tokens * self._token
