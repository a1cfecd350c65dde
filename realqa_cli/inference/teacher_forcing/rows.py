"""From conversations and their rendered texts to rows of tokens: photos opened, none too long, none cut.

Knows the preparer of a model family; knows no model, and nothing of what is learnt from a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.processor import Processor, load_processor
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.errors import MediaError, UsageError
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.media.photo import open_photo, photo_area
from realqa_cli.models import ModelSource


@dataclass(frozen=True)
class _Shape:
    """What a preparer asks of a model, with a device of its own."""

    config: Any
    model: Any
    dtype: torch.dtype
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def processor_on_cpu(source: ModelSource, loading: LoadOptions, model: Any) -> Processor:
    """The model's preparer with tensors that stay on the CPU, so that other processes can make batches."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return load_processor(source, loading, _Shape(base.config, base.model, base.dtype))


@dataclass(frozen=True)
class RowBuilder:
    """Makes batches of rows. max_length: of a row, in tokens, those of the photos included."""

    processor: Processor
    max_length: int

    def batch(self, conversations: Sequence[Conversation], texts: Sequence[str]) -> PromptBatch:
        """The texts with the conversations' photos.

        Raises UsageError, with file and line, for a photo that cannot be opened or a row that is too long.
        """
        photos = [_open(conversation) for conversation in conversations]
        prompt = self.processor.batch(texts, photos)
        for conversation, length in zip(conversations, prompt.mask_B_T.sum(dim=1).tolist(), strict=True):
            if length > self.max_length:
                raise UsageError(
                    f"the conversation has {length:,} tokens, over the limit of {self.max_length:,}",
                    where=conversation.where,
                    remedy="raise --max-length, lower --max-pixels or shorten the answer",
                )
        return prompt

    def check(self, conversation: Conversation, text: str, length: int) -> None:
        """Raises UsageError for a row that is too long; `length` in tokens, each photo counted once.

        The photos are opened only where it could be.
        """
        if length + self._most_visual_tokens * len(conversation.images) > self.max_length:
            self.batch([conversation], [text])

    @property
    def _most_visual_tokens(self) -> int:
        """The tokens that a photo takes at most, 0 where the family does not tell."""
        area, images = self.processor.settings().get("max_pixels"), getattr(self.processor, "images", None)
        return int(area) // (images.patch_size * images.merge_size) ** 2 if area and images else 0


def visual_tokens(prepares: Processor, photos: Sequence[Path]) -> int:
    """About how many tokens the photos take, by their headers; 0 where the family does not tell."""
    bounds, images = prepares.settings(), getattr(prepares, "images", None)
    if not images or not bounds.get("max_pixels"):
        return 0
    low, high = int(bounds["min_pixels"]), int(bounds["max_pixels"])
    area = sum(min(max(photo_area(photo), low), high) for photo in photos)
    return int(area // (images.patch_size * images.merge_size) ** 2)


def _open(conversation: Conversation) -> list[Image]:
    try:
        return [open_photo(path) for path in conversation.images]
    except MediaError as error:
        raise UsageError(str(error), where=conversation.where) from error
