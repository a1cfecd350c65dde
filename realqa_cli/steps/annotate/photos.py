"""Photos as messages: identified by their bytes, reduced and encoded deterministically, with their tokens.

A photo is decoded only when it is sent: one whose reply is in the ledger is only hashed.
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
from realqa_cli.media.files import content_id, content_id_of
from realqa_cli.media.photo import open_photo
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.steps.annotate.prices import ImageTokens
from realqa_cli.steps.annotate.settings import AnnotateSettings

_LETTERS = 4  # per token of English text
OVERHEAD = 20  # tokens of a conversation in addition to its texts


@dataclass(frozen=True)
class HashedPhoto:
    """An item and the id of its bytes, as `media.files.content_id`, or the error that prevented it."""

    item: Item
    content: str | None = None
    error: ItemError | None = None


def hash_photo(item: Item) -> HashedPhoto:
    """The item with the id of its bytes. Errors of the item are returned, not raised."""
    if item.error is not None or (item.path is None and item.stored is None):
        return HashedPhoto(item, error=item.error or ItemError("names no file", where=item.name))
    if item.kind == "video":
        what, remedy = "only photos are annotated", "leave videos out"
        return HashedPhoto(item, error=MediaError(what, type="video", where=item.name, remedy=remedy))
    try:
        if item.path is None:
            assert item.stored is not None
            return HashedPhoto(item, content_id(item.stored.read()))
        return HashedPhoto(item, content_id_of(item.path))
    except MediaError as error:
        return HashedPhoto(item, error=error)


class Request:
    """The request for one photo, which is decoded on first use; that raises `MediaError`."""

    def __init__(self, photo: HashedPhoto, settings: AnnotateSettings) -> None:
        self.photo, self.settings = photo, settings

    @cached_property
    def _pixels(self) -> Image.Image:
        item = self.photo.item
        source = item.path if item.stored is None else item.stored.read()
        assert source is not None
        photo = open_photo(source, name=item.name, options=self.settings.decoding)
        return shrink_to_area(photo, self.settings.max_pixels, Image.Resampling.LANCZOS)

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The prompt about the photo."""
        uri = data_uri(self._pixels, self.settings.image_format)
        prompt = {"type": "text", "text": prompts.annotation_question(screen=self.settings.screen)}
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}, prompt]}]

    def repair_messages(self, answer: str, flaws: tuple[str, ...]) -> list[dict[str, Any]]:
        """The prompt, the answer, and what is wrong with it."""
        reply = {"role": "assistant", "content": answer}
        return [*self.messages, reply, {"role": "user", "content": prompts.repair_request(flaws)}]

    @property
    def response_format(self) -> dict[str, Any]:
        """The JSON schema of the answer."""
        return prompts.response_format(screen=self.settings.screen)

    def tokens(self, rule: ImageTokens | None, more: str = "") -> int:
        """An estimate of the tokens of the prompt and of the text `more`."""
        return estimate_tokens(self._pixels.size, self.settings, rule) + len(more) // _LETTERS


def estimate_tokens(size: tuple[int, int], settings: AnnotateSettings, rule: ImageTokens | None) -> int:
    """An estimate of the tokens of a prompt with a photo of this size (width, height) as it is sent."""
    text = prompts.annotation_question(screen=settings.screen) + json.dumps(
        prompts.response_format(screen=settings.screen)
    )
    return len(text) // _LETTERS + OVERHEAD + (rule or ImageTokens()).of(*size)
