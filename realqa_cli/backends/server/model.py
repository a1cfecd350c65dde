"""A model behind an OpenAI-compatible server as a whole backend: as much of one as its server allows.

With likely tokens it weighs continuations, among the k likeliest tokens of each place; never exactly. Where
the server goes on from an assistant's words, an ask's prefix is forced and every branch can be followed;
where it does not, the prefix is asked for in words, and what one answer tells is all there is. Without
likely tokens it answers, held to the ask's pattern where the server can do that.
"""

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from PIL.Image import Image, Resampling

from realqa_cli.backends.base import PhotoTransform, Prompt
from realqa_cli.backends.server.capabilities import GO_ON, GUIDES, ServerCapabilities, answered
from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.replies import Reply
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.backends.server.text import ServerTextBackend, user_message
from realqa_cli.backends.server.topk import ContinuationSearch, places_of
from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import ItemError, ModelError
from realqa_cli.media.resize import resize_within_bounds, shrink_to_area

log = logging.getLogger("realqa")

SENT_PIXELS = 2**20
"""Area of a photo that is sent, at most, where nobody says; the server resizes it then as it likes."""
FACTOR = 28  # sides that servers of the Qwen2-VL family need not resize again

_UNSEEN = 0.02
"""Branches are followed until those that are left come to less than this share of what is known."""
_REQUESTS = 40  # for one distribution, at most
_BRANCH = 8  # tokens of a branch, in one request
_SENTENCE = 64  # tokens of an answer whose beginning cannot be forced


@dataclass(frozen=True)
class ImageSizing:
    """How large photos are sent: area in pixels, at least and at most; None leaves it to `SENT_PIXELS`."""

    min_pixels: int | None = None
    max_pixels: int | None = None

    def fit(self, image: Image) -> Image:
        """The photo as it is sent."""
        if self.min_pixels is None and self.max_pixels is None:
            return shrink_to_area(image, SENT_PIXELS, Resampling.BICUBIC)
        most = self.max_pixels or max(SENT_PIXELS, self.min_pixels or 0)
        return resize_within_bounds(image, factor=FACTOR, min_pixels=self.min_pixels or 1, max_pixels=most)


class ServerBackend(ServerTextBackend):
    """Implements `Backend`, `Limited` and `Fits`; several threads may ask at once."""

    def __init__(self, client: ServerClient, abilities: ServerCapabilities, sending: ImageSizing) -> None:
        super().__init__(client)
        self.abilities, self.sending = abilities, sending
        self._kept = threading.local()  # each thread asks many times about one photo
        weakref.finalize(self, client.__exit__)  # a scorer has no end of its own

    @classmethod
    def reach(cls, settings: ServerSettings, sending: ImageSizing, *, weigh: bool = True) -> Self:
        """The model, when its server has been asked what it can do, which is said. Raises UsageError.

        weigh: whether probabilities are wanted, where there are any.
        """
        client = ServerClient(settings)
        client.reach()
        abilities = ServerCapabilities.of(client, weigh=weigh)
        log.warning("%s %s", client.model, abilities)
        return cls(client, abilities, sending)

    def decode_mode(self, requested: str) -> str:
        """See `Backend`: "topk" where the server reports likely tokens, else "greedy"."""
        return self.abilities.decode if requested == "exact" else requested

    def photo_transform(self) -> PhotoTransform:
        """See `Backend`."""
        return self.sending.fit

    def log_probs(self, asks: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """See `Backend`: -inf for continuations beyond the likeliest tokens.

        Raises ItemError where an answer has none of them, ModelError where the server tells no probabilities.
        """
        if not self.abilities.top:
            raise ModelError("tells no probabilities", where=self.client.address)
        follow = self._follow if self.abilities.continues else self._ask_once
        return np.stack([follow(ask, continuations, end).known for ask in asks])

    def regression_values(self, asks: Sequence[Prompt]) -> Floats:
        """Raises ModelError: no server tells what a head says."""
        raise ModelError("serves no regression head", where=self.client.address)

    def settings(self) -> Mapping[str, Any]:
        """How the model is asked, and what its server honours."""
        return {**super().settings(), **asdict(self.sending), "honours": asdict(self.abilities)}

    def _one(self, ask: Prompt, max_new_tokens: int, stop: str | None) -> str:
        guide = self.abilities.guide if ask.pattern else None
        more = GUIDES[guide](ask.pattern) if guide else {}
        if stop is not None:
            more["stop"] = [stop]
        text = self._reply(_open(ask), max_new_tokens, more).text
        if guide:
            return answered(guide, text)
        if not self.abilities.continues and text.startswith(ask.prefix.strip()):
            return text
        return ask.prefix + text.lstrip(" ")

    def _follow(self, ask: Prompt, continuations: Sequence[str], end: str) -> ContinuationSearch:
        """Follows the branches that go on from the prefix, the likeliest first, a request for each."""
        said = _open(ask)
        walk, start = ContinuationSearch(continuations, end, blank=said != ask), ""
        for _ in range(_REQUESTS):
            self._read(walk, start, said, _BRANCH)
            following = walk.next(_UNSEEN)
            if following is None:
                break
            start, said = following, replace(ask, prefix=ask.prefix + following.lstrip(" "))
        return self._found(walk, ask)

    def _ask_once(self, ask: Prompt, continuations: Sequence[str], end: str) -> ContinuationSearch:
        """What is known from the one answer that the model gives to a request for the prefix."""
        walk = ContinuationSearch([ask.prefix + text for text in continuations], end)
        self._read(walk, "", ask, _SENTENCE)
        return self._found(walk, ask)

    def _read(self, walk: ContinuationSearch, start: str, ask: Prompt, tokens: int) -> None:
        likely = {"logprobs": True, "top_logprobs": self.abilities.top}
        walk.read(start, places_of(self._reply(ask, tokens, likely).raw))

    def _found(self, walk: ContinuationSearch, ask: Prompt) -> ContinuationSearch:
        if not walk.mass:
            what = f"the model does not go on from {ask.prefix[-60:]!r} as it should"
            raise ItemError(what, type="unparsed", where=self.client.address)
        return walk

    def _reply(self, ask: Prompt, max_tokens: int, more: Mapping[str, Any]) -> Reply:
        """To the ask; its prefix stands as the assistant's words, or as a request for them."""
        options = {"temperature": 0, "seed": 0, "max_tokens": max_tokens, **more}
        if not self.abilities.continues or not ask.prefix:
            return self.client.chat([self._asked(ask)], **options)
        turn = {"role": "assistant", "content": ask.prefix}
        return self.client.chat([self._asked(replace(ask, prefix="")), turn], **options, **GO_ON)

    def _asked(self, ask: Prompt) -> dict[str, Any]:
        """The user's message. Photos, as they are sent, are kept for as long as they are asked about."""
        if not ask.images:
            return user_message(ask)
        kept = getattr(self._kept, "photos", None)
        if kept is None or [*map(id, kept[0])] != [*map(id, ask.images)]:
            kept = ask.images, user_message(ask, image_format=self.image_format)["content"][:-1]
            self._kept.photos = kept
        text = user_message(replace(ask, images=()))["content"]
        return {"role": "user", "content": [*kept[1], {"type": "text", "text": text}]}


def _open(ask: Prompt) -> Prompt:
    """The ask without the blank at its prefix's end: many tokenizers write it with what follows."""
    return replace(ask, prefix=ask.prefix.rstrip(" "))
