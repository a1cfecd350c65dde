"""Free-text answers of a model behind an OpenAI-compatible server.

Photos are sent as data URIs, re-encoded so that equal pixels give equal requests.
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
    """Implements `Backend` for text. As a context manager it closes its connections.

    image_format: "png", which is lossless, or "jpeg", about a tenth of its size.
    """

    def __init__(self, client: ServerClient, *, image_format: str = "png") -> None:
        self.client, self.image_format = client, image_format

    @classmethod
    def open(cls, settings: ServerSettings, *, image_format: str = "png") -> Self:
        """Connects to the server and determines the model. Raises UsageError or ModelError."""
        client = ServerClient(settings)
        client.reach()
        return cls(client, image_format=image_format)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.client.__exit__(*raised)

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """See `Backend`; servers omit the `stop`. Raises the first ItemError, or ModelError."""
        answers: list[str] = []
        for outcome in self.outcomes(batch, max_new_tokens, stop):
            if isinstance(outcome, ItemError):
                raise outcome
            answers.append(outcome)
        return answers

    def outcomes(
        self, batch: Iterable[Prompt], max_new_tokens: int, stop: str | None = None
    ) -> Iterator[str | ItemError]:
        """Yields the answer or the error of each prompt, in order. Raises ModelError."""

        def one(prompt: Prompt) -> str | ItemError:
            try:
                return self._one(prompt, max_new_tokens, stop)
            except ItemError as error:
                return error

        return in_order(one, batch, self.client.settings.concurrency)

    def settings(self) -> Mapping[str, Any]:
        """Address, model and image format."""
        return {
            "backend": "server",
            "server": self.client.address,
            "model": self.client.model,
            "image_format": self.image_format,
            "temperature": 0,
        }

    def environment(self) -> Mapping[str, Any]:
        """Concurrency and versions of the libraries used; those of the server are unknown."""
        return {"concurrency": self.client.settings.concurrency, "versions": versions("httpx2", "pillow")}

    def _one(self, prompt: Prompt, max_new_tokens: int, stop: str | None) -> str:
        options: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": max_new_tokens}
        if stop is not None:
            options["stop"] = [stop]
        options |= template_arguments(prompt)
        messages = [*system_messages(prompt), user_message(prompt, image_format=self.image_format)]
        text = self.client.chat(messages, **options).text
        return text if text.startswith(prompt.prefix.strip()) else prompt.prefix + text


def user_message(prompt: Prompt, *, image_format: str = "png") -> dict[str, Any]:
    """The prompt as a message: plain text without photos; a prefix is requested in words."""
    question = prompt.question
    if prompt.prefix:
        question += f"\n\nBegin your answer with: {prompt.prefix}"
    if not prompt.images:
        return {"role": "user", "content": question}
    photos = [{"type": "image_url", "image_url": {"url": data_uri(image, image_format)}} for image in prompt.images]
    text = [{"type": "text", "text": question}]
    return {"role": "user", "content": [*text, *photos] if prompt.layout.photo_last else [*photos, *text]}


def system_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The system message of the prompt, if it has one."""
    return [{"role": "system", "content": prompt.layout.system}] if prompt.layout.system else []


def template_arguments(prompt: Prompt) -> dict[str, Any]:
    """Arguments of the server's chat template, in the field that vLLM and SGLang read; {} for none."""
    return {"chat_template_kwargs": dict(prompt.layout.template)} if prompt.layout.template else {}


def data_uri(image: Image.Image, image_format: str = "png") -> str:
    """The pixels as a data URI without metadata, so that equal pixels give equal texts."""
    if image_format not in _ENCODING:
        raise ModelError(f"unsupported image format {image_format!r}", remedy=f"use {' or '.join(_ENCODING)}")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    bare = Image.frombytes("RGB", rgb.size, rgb.tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, image_format.upper(), **_ENCODING[image_format])
    return f"data:image/{image_format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
