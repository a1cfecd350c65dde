"""Settings of the client of OpenAI-compatible servers. The key is read from the environment only."""

import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from realqa_cli.errors import UsageError

_EXAMPLE = "give its address up to /v1, such as http://localhost:8000/v1"


@dataclass(frozen=True)
class ServerSettings:
    """Address, model, concurrency and retries.

    url: ends in /v1.  model: None for the only model of the server.  api_key_env: the environment variable
    with the key; unset for servers without keys.  concurrency: number of simultaneous requests.
    retries: further attempts after a transient failure.  timeout: seconds that an attempt may take.
    first_wait, longest_wait: bounds of the back-off in seconds.  patience: longest accepted `retry-after` in
    seconds.
    """

    url: str
    model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 4
    retries: int = 5
    timeout: float = 180.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    patience: float = 600.0

    def check(self) -> None:
        """Raises UsageError for an invalid address or key."""
        parts = self._parts()
        if parts is None:
            raise UsageError("is not an http address", where=_bare(self.url), remedy=_EXAMPLE)
        if parts.username is not None or parts.query or parts.fragment:
            what = "contains more than an address"
            raise UsageError(what, where=_bare(self.url), remedy="give the key by --api-key-env VARIABLE")
        segments = parts.path.strip("/").split("/")
        if segments[-1] in {"completions", "models"} or not any(re.match(r"v\d", part) for part in segments):
            what = "does not look like the address of an OpenAI-compatible server"
            raise UsageError(what, where=self.url, remedy=_EXAMPLE)
        if not self.key.isascii() or not self.key.isprintable():
            what = "contains a line break or characters outside ASCII"
            raise UsageError(what, where=self.api_key_env, remedy="set it to your key again")

    def _parts(self) -> SplitResult | None:
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:  # a port that is not a number
            return None
        return parts if sound and self.url.isascii() and self.url.isprintable() else None

    @property
    def key(self) -> str:
        """The key, or an empty string. It must never be shown."""
        return os.environ.get(self.api_key_env, "").strip()

    @property
    def address(self) -> str:
        """The address without a trailing slash."""
        return self.url.rstrip("/")


def _bare(url: str) -> str:
    """The address without credentials and query, for messages."""
    return re.sub(r"//[^/?#]*@", "//", url).split("?")[0].split("#")[0]
