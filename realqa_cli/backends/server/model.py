"""The backend for a model behind an OpenAI-compatible server, as far as the server supports it.

If the server reports likely tokens, continuations get probabilities among the k most likely tokens of each
position; these are never exact. If the server continues an assistant message, the prefix of a prompt is forced
and every branch can be followed; else the prompt requests the prefix in words, and only one answer is known.
Without likely tokens the model answers freely, constrained to the pattern of the prompt if possible.
"""

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from PIL.Image import Image, Resampling

from realqa_cli.backends.base import PhotoTransform, Prompt, TextSampling, ThreadPlan
from realqa_cli.backends.server.capabilities import CONTINUE, GUIDES, ServerCapabilities, unwrap_answer
from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.replies import Reply
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.backends.server.text import ServerTextBackend, system_messages, template_arguments, user_message
from realqa_cli.backends.server.topk import ContinuationSearch, places_of
from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import ItemError, ModelError
from realqa_cli.media.resize import resize_within_bounds, shrink_to_area

log = logging.getLogger("realqa")

SENT_PIXELS = 2**20
"""Largest area in pixels of a sent photo without pixel bounds; the server may resize it again."""
FACTOR = 28  # Qwen2-VL models do not resize sides that are multiples of it

_UNSEEN = 0.02
"""Branches are followed until the rest has less than this share of the known probability."""
_REQUESTS = 40  # most requests for one distribution
_BRANCH = 8  # tokens of a branch in one request
_SENTENCE = 64  # tokens of an answer without a forced prefix


@dataclass(frozen=True)
class ImageSizing:
    """The bounds of the area in pixels of sent photos; without bounds, `SENT_PIXELS` is the largest."""

    min_pixels: int | None = None
    max_pixels: int | None = None

    def fit(self, image: Image) -> Image:
        """The photo, resized for sending."""
        if self.min_pixels is None and self.max_pixels is None:
            return shrink_to_area(image, SENT_PIXELS, Resampling.BICUBIC)
        most = self.max_pixels or max(SENT_PIXELS, self.min_pixels or 0)
        return resize_within_bounds(image, factor=FACTOR, min_pixels=self.min_pixels or 1, max_pixels=most)


class ServerBackend(ServerTextBackend):
    """Implements `Backend`; several threads may call it at once."""

    def __init__(self, client: ServerClient, capabilities: ServerCapabilities, sizing: ImageSizing) -> None:
        super().__init__(client)
        self.capabilities, self.sizing = capabilities, sizing
        self._cache = threading.local()  # a thread sends many prompts about one photo
        weakref.finalize(self, client.__exit__)  # a scorer is never closed explicitly

    @classmethod
    def reach(cls, settings: ServerSettings, sizing: ImageSizing, *, log_probs: bool = True) -> Self:
        """Connects to the server, and detects and logs its capabilities. Raises UsageError.

        log_probs: whether probabilities are of interest.
        """
        client = ServerClient(settings)
        client.reach()
        capabilities = ServerCapabilities.detect(client, log_probs=log_probs)
        log.warning("%s %s", client.model, capabilities)
        return cls(client, capabilities, sizing)

    def decode_mode(self, requested: str) -> str:
        """See `Backend`: "topk" where the server reports likely tokens, else "greedy"."""
        return self.capabilities.decode if requested == "exact" else requested

    def takes_photo_pairs(self) -> bool:
        """See `Backend`: the server reports an error if its model does not."""
        return True

    def thread_plan(self) -> ThreadPlan:
        """See `Backend`: one prompt a request, with the concurrency of the settings."""
        return ThreadPlan(self.client.settings.concurrency, requests=True)

    def photo_transform(self) -> PhotoTransform:
        """See `Backend`."""
        return self.sizing.fit

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """See `Backend`: -inf for continuations outside the likely tokens.

        Raises ItemError if an answer has no continuation, ModelError if the server reports no probabilities.
        """
        if not self.capabilities.top:
            raise ModelError("does not report probabilities", where=self.client.address)
        search = self._follow if self.capabilities.continues else self._search_answer
        return np.stack([search(prompt, continuations, end).known for prompt in batch])

    def sample(self, batch: Sequence[Prompt], max_new_tokens: int, sampling: TextSampling) -> list[str]:
        """See `Backend`; servers that ignore the seed draw other answers in each run."""
        drawn = {"temperature": sampling.temperature, "seed": sampling.seed, "top_p": sampling.top_p}
        top_k = {"top_k": sampling.top_k} if sampling.top_k else {}
        replies = (self._reply(prompt, max_new_tokens, {**drawn, **top_k}).text for prompt in batch)
        return [prompt.prefix + text for prompt, text in zip(batch, replies, strict=True)]

    def regression_values(self, batch: Sequence[Prompt]) -> Floats:
        """Raises ModelError: servers do not run regression heads."""
        raise ModelError("servers do not run regression heads", where=self.client.address)

    def settings(self) -> Mapping[str, Any]:
        """Server, model, sizes of photos and capabilities."""
        return {**super().settings(), **asdict(self.sizing), "honours": asdict(self.capabilities)}

    def _one(self, prompt: Prompt, max_new_tokens: int, stop: str | None) -> str:
        guide = self.capabilities.guide if prompt.pattern else None
        more = GUIDES[guide](prompt.pattern) if guide else {}
        if stop is not None:
            more["stop"] = [stop]
        text = self._reply(_without_trailing_blank(prompt), max_new_tokens, more).text
        if guide:
            return unwrap_answer(guide, text)
        if not self.capabilities.continues and text.startswith(prompt.prefix.strip()):
            return text
        return prompt.prefix + text.lstrip(" ")

    def _follow(self, prompt: Prompt, continuations: Sequence[str], end: str) -> ContinuationSearch:
        """Follows the branches after the prefix, the most likely first, with a request for each."""
        request = _without_trailing_blank(prompt)
        search, start = ContinuationSearch(continuations, end, blank=request != prompt), ""
        for _ in range(_REQUESTS):
            self._read(search, start, request, _BRANCH)
            following = search.next(_UNSEEN)
            if following is None:
                break
            start, request = following, replace(prompt, prefix=prompt.prefix + following.lstrip(" "))
        return self._checked(search, prompt)

    def _search_answer(self, prompt: Prompt, continuations: Sequence[str], end: str) -> ContinuationSearch:
        """The probabilities in the single answer to a prompt that requests the prefix in words."""
        search = ContinuationSearch([prompt.prefix + text for text in continuations], end)
        self._read(search, "", prompt, _SENTENCE)
        return self._checked(search, prompt)

    def _read(self, search: ContinuationSearch, start: str, prompt: Prompt, tokens: int) -> None:
        likely = {"logprobs": True, "top_logprobs": self.capabilities.top}
        search.read(start, places_of(self._reply(prompt, tokens, likely).raw))

    def _checked(self, search: ContinuationSearch, prompt: Prompt) -> ContinuationSearch:
        if not search.mass:
            what = f"the model does not continue {prompt.prefix[-60:]!r} with an expected answer"
            raise ItemError(what, type="unparsed", where=self.client.address)
        return search

    def _reply(self, prompt: Prompt, max_tokens: int, more: Mapping[str, Any]) -> Reply:
        """Sends the prompt; its prefix is an assistant message, or requested in words."""
        options = {"temperature": 0, "seed": 0, "max_tokens": max_tokens, **template_arguments(prompt), **more}
        before = system_messages(prompt)
        if not self.capabilities.continues or not prompt.prefix:
            return self.client.chat([*before, self._message(prompt)], **options)
        turn = {"role": "assistant", "content": prompt.prefix}
        return self.client.chat([*before, self._message(replace(prompt, prefix="")), turn], **options, **CONTINUE)

    def _message(self, prompt: Prompt) -> dict[str, Any]:
        """The user message. The encoded photos of the last prompt are cached."""
        if not prompt.images:
            return user_message(prompt)
        cached = getattr(self._cache, "photos", None)
        if cached is None or [*map(id, cached[0])] != [*map(id, prompt.images)]:
            content = user_message(prompt, image_format=self.image_format)["content"]
            cached = prompt.images, [part for part in content if part["type"] != "text"]
            self._cache.photos = cached
        text = {"type": "text", "text": user_message(replace(prompt, images=()))["content"]}
        return {"role": "user", "content": [text, *cached[1]] if prompt.layout.photo_last else [*cached[1], text]}


def _without_trailing_blank(prompt: Prompt) -> Prompt:
    """The prompt without the blank at the end of its prefix: many tokenizers merge it with the next word."""
    return replace(prompt, prefix=prompt.prefix.rstrip(" "))
