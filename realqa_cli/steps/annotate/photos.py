"""Photos as messages: known by their bytes, reduced, re-encoded the same way each time, and how many tokens.

Nothing is decoded before it is needed: a photo whose reply is in the ledger is only hashed.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from realqa_cli.backends.server.text import data_uri
from realqa_cli.domain import prompts
from realqa_cli.errors import ItemError, MediaError
from realqa_cli.io.sources import Item
from realqa_cli.media.files import content_id_of
from realqa_cli.media.photo import open_photo
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.steps.annotate.prices import ImageTokens
from realqa_cli.steps.annotate.settings import AnnotateSettings

_LETTERS = 4  # of English for a token
OVERHEAD = 20  # tokens around a conversation


@dataclass(frozen=True)
class HashedPhoto:
    """An item and the id of its bytes, as `media.files.content_id`; None with the `error`."""

    item: Item
    content: str | None = None
    error: ItemError | None = None


def hash_photo(item: Item) -> HashedPhoto:
    """The item, with the id of its bytes. Never raises for the item."""
    if item.error is not None or item.path is None:
        return HashedPhoto(item, error=item.error or ItemError("names no file", where=item.name))
    if item.kind == "video":
        what, remedy = "only photos are annotated", "leave videos out"
        return HashedPhoto(item, error=MediaError(what, type="video", where=item.name, remedy=remedy))
    try:
        return HashedPhoto(item, content_id_of(item.path))
    except MediaError as error:
        return HashedPhoto(item, error=error)


class Request:
    """What is sent about one photo. The photo is decoded when it is first needed, which raises MediaError."""

    def __init__(self, known: HashedPhoto, settings: AnnotateSettings) -> None:
        self.known, self.settings = known, settings

    @cached_property
    def _photo(self) -> Image.Image:
        assert self.known.item.path is not None
        photo = open_photo(self.known.item.path, name=self.known.item.name)
        return shrink_to_area(photo, self.settings.max_pixels, Image.Resampling.LANCZOS)

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The question about the photo."""
        uri = data_uri(self._photo, self.settings.image_format)
        question = {"type": "text", "text": prompts.annotation_question(screen=self.settings.screen)}
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}, question]}]

    def mending(self, answer: str, flaws: tuple[str, ...]) -> list[dict[str, Any]]:
        """The question, the answer, and what is wrong with it."""
        said = {"role": "assistant", "content": answer}
        return [*self.messages, said, {"role": "user", "content": prompts.repair_request(flaws)}]

    @property
    def response_format(self) -> dict[str, Any]:
        """The schema of the answer."""
        return prompts.response_format(screen=self.settings.screen)

    def tokens(self, rule: ImageTokens | None, more: str = "") -> int:
        """About how many tokens the question has; `more` is what is said besides."""
        return estimate_tokens(self._photo.size, self.settings, rule) + len(more) // _LETTERS


def estimate_tokens(size: tuple[int, int], settings: AnnotateSettings, rule: ImageTokens | None) -> int:
    """About how many tokens the question about a photo of this size (width, height) has, as it is sent."""
    said = prompts.annotation_question(screen=settings.screen) + json.dumps(
        prompts.response_format(screen=settings.screen)
    )
    return len(said) // _LETTERS + OVERHEAD + (rule or ImageTokens()).of(*size)
