"""The `server` backend: free answers of a model behind an OpenAI-compatible server.

Photos travel as data URIs, re-encoded so that the same pixels always give the same request. A server tells
no exact probabilities, so this backend answers and does not weigh. The wire is `server_client`'s matter.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from PIL import Image

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.errors import ItemError, ModelError
from realqa_cli.io.manifest import versions

_ENCODING: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 6},
    "jpeg": {"quality": 95, "subsampling": 0},
}


class ServerTextBackend(Backend):
    """Implements `Backend`. A context manager, which closes the connections.

    image_format: "png", without loss, or "jpeg", about a tenth of its size.
    """

    def __init__(self, client: ServerClient, *, image_format: str = "png") -> None:
        self.client, self.image_format = client, image_format

    @classmethod
    def open(cls, settings: ServerSettings, *, image_format: str = "png") -> Self:
        """The backend, its model's name settled. Raises UsageError or ModelError."""
        client = ServerClient(settings)
        client.reach()
        return cls(client, image_format=image_format)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.client.__exit__(*raised)

    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """See `Backend`; a server leaves out the `stop`. Raises the first ask's ItemError, or ModelError."""
        found: list[str] = []
        for outcome in self.outcomes(asks, max_new_tokens, stop):
            if isinstance(outcome, ItemError):
                raise outcome
            found.append(outcome)
        return found

    def outcomes(
        self, asks: Iterable[Prompt], max_new_tokens: int, stop: str | None = None
    ) -> Iterator[str | ItemError]:
        """Each ask's answer or why there is none, in order, as they come. Raises ModelError."""

        def one(ask: Prompt) -> str | ItemError:
            try:
                return self._one(ask, max_new_tokens, stop)
            except ItemError as error:
                return error

        return in_order(one, asks, self.client.settings.concurrency)

    def settings(self) -> Mapping[str, Any]:
        """The server's address, its model's name, and how photos are sent to it."""
        return {
            "backend": "server",
            "server": self.client.address,
            "model": self.client.model,
            "image_format": self.image_format,
            "temperature": 0,
        }

    def environment(self) -> Mapping[str, Any]:
        """The versions of what sends; the server's are unknown."""
        return {"concurrency": self.client.settings.concurrency, "versions": versions("httpx2", "pillow")}

    def _one(self, ask: Prompt, max_new_tokens: int, stop: str | None) -> str:
        options: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": max_new_tokens}
        if stop is not None:
            options["stop"] = [stop]
        text = self.client.chat([user_message(ask, image_format=self.image_format)], **options).text
        return text if text.startswith(ask.prefix.strip()) else ask.prefix + text


def user_message(ask: Prompt, *, image_format: str = "png") -> dict[str, Any]:
    """The ask as a message: plain text where there are no photos; a prefix as a request in words."""
    question = ask.question
    if ask.prefix:
        question += f"\n\nBegin your answer with: {ask.prefix}"
    if not ask.images:
        return {"role": "user", "content": question}
    photos = [{"type": "image_url", "image_url": {"url": data_uri(image, image_format)}} for image in ask.images]
    return {"role": "user", "content": [*photos, {"type": "text", "text": question}]}


def data_uri(image: Image.Image, image_format: str = "png") -> str:
    """The pixels as a data URI, without metadata: equal pixels give equal texts."""
    if image_format not in _ENCODING:
        raise ModelError(f"photos are not sent as {image_format!r}", remedy=f"use {' or '.join(_ENCODING)}")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    bare = Image.frombytes("RGB", rgb.size, rgb.tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, image_format.upper(), **_ENCODING[image_format])
    return f"data:image/{image_format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
