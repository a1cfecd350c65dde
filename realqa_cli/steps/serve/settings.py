"""The settings of `realqa serve`, and the API key, which is read from the environment only."""

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realqa_cli.errors import UsageError

TASKS = ("score", "self-label")
"""What the server offers, each at `/v1/` and this name."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ServeSettings:
    """Where the server listens, and what it accepts.

    root: the folder below which requests may name files; None accepts uploads and data URIs only.
    only: the one of `TASKS` to offer; None offers all.
    max_body: most MB (10^6 bytes) of a request.  max_images: most photos of a request.
    queue: requests that are read, wait or are worked on at the same time; further ones are refused.
    body_timeout: seconds in which a request must have been received.
    api_key_env: the environment variable with the key that requests must bear; None for none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    root: Path | None = None
    only: str | None = None
    max_body: float = 32.0
    max_images: int = 64
    queue: int = 64
    body_timeout: float = 60.0
    api_key_env: str | None = None

    def check(self) -> None:
        """Raises UsageError."""
        if self.only not in (None, *TASKS):
            raise UsageError(f"unknown value {self.only!r}", where="--only", remedy=f"use one of: {', '.join(TASKS)}")
        if self.root is not None and not self.root.is_dir():
            raise UsageError(
                "this is not a folder", where=f"--root {self.root}", remedy="name the folder of the photos"
            )

    @property
    def tasks(self) -> Sequence[str]:
        """Those of `TASKS` that are offered."""
        return TASKS if self.only is None else (self.only,)

    @property
    def max_bytes(self) -> int:
        """Most bytes of a request."""
        return int(self.max_body * 1e6)

    @property
    def is_open(self) -> bool:
        """Whether other machines may reach the server, and need no key."""
        return self.host not in LOOPBACK and self.api_key_env is None


class ApiKey:
    """The key that requests must bear. Only its digest is kept, so that nothing can show it."""

    def __init__(self, key: str) -> None:
        self._digest = _digest(key)

    @classmethod
    def from_environment(cls, variable: str | None) -> "ApiKey | None":
        """The key in the variable; None without a variable. Raises UsageError if it is not set."""
        if variable is None:
            return None
        key = os.environ.get(variable, "").strip()
        if not key:
            what = "the environment variable is not set"
            raise UsageError(what, where=f"--api-key-env {variable}", remedy=f"set {variable} to the key")
        return cls(key)

    def matches(self, given: str) -> bool:
        """Whether this is the key; takes the same time for every text."""
        return hmac.compare_digest(self._digest, _digest(given))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
