"""Which OpenAI-compatible server is asked, and how patiently. The key is in the environment only."""

import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from realqa_cli.errors import UsageError

_EXAMPLE = "give its address up to /v1, such as http://localhost:8000/v1"


@dataclass(frozen=True)
class ServerSettings:
    """The address, the model, and how long and how often the client tries.

    url: ends in /v1.  model: None for the only one that the server has.  api_key_env: the environment
    variable that holds the key; unset for servers that want none.  concurrency: requests at once.
    retries: further attempts after a failure that may pass.  timeout: seconds of silence.  first_wait,
    longest_wait: of the back-off, in seconds.  patience: the longest `retry-after` waited for, in seconds.
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
        """Raises UsageError for an address that cannot be one, and for a key that cannot be sent."""
        parts = self._parts()
        if parts is None:
            raise UsageError("is no http address", where=_bare(self.url), remedy=_EXAMPLE)
        if parts.username is not None or parts.query or parts.fragment:
            what = "holds more than an address"
            raise UsageError(what, where=_bare(self.url), remedy="name the key's variable by --api-key-env")
        segments = parts.path.strip("/").split("/")
        if segments[-1] in {"completions", "models"} or not any(re.match(r"v\d", part) for part in segments):
            what = "does not look like the address of an OpenAI-compatible server"
            raise UsageError(what, where=self.url, remedy=_EXAMPLE)
        if not self.key.isascii() or not self.key.isprintable():
            what = "holds what no key has: a line break, or characters beyond ASCII"
            raise UsageError(what, where=self.api_key_env, remedy="set it anew")

    def _parts(self) -> SplitResult | None:
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:  # a port that is no number
            return None
        return parts if sound and self.url.isascii() and self.url.isprintable() else None

    @property
    def key(self) -> str:
        """The key, or nothing. Never to be shown."""
        return os.environ.get(self.api_key_env, "").strip()

    @property
    def address(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")


def _bare(url: str) -> str:
    """The address as it may be shown: nothing before an @, nothing after a ?."""
    return re.sub(r"//[^/?#]*@", "//", url).split("?")[0].split("#")[0]
