"""Builds rows of tokens from conversations: opens their photos, and refuses rows that are too long."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.processor import Processor, load_processor
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.errors import MediaError, UsageError
from realqa_cli.inference.teacher_forcing.conversations import MARK, Conversation
from realqa_cli.media.photo import photo_area
from realqa_cli.models import ModelSource


@dataclass(frozen=True)
class _ModelOnCpu:
    """The attributes of a model that a processor reads, with the CPU as device."""

    config: Any
    model: Any
    dtype: torch.dtype
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def processor_on_cpu(source: ModelSource, options: LoadOptions, model: Any) -> Processor:
    """The model's processor with tensors on the CPU, so that the data loader's processes can use it."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return load_processor(source, options, _ModelOnCpu(base.config, base.model, base.dtype))


@dataclass(frozen=True)
class RowBuilder:
    """Makes batches of rows. max_length: tokens per row, those of the photos included."""

    processor: Processor
    max_length: int

    def batch(self, conversations: Sequence[Conversation], texts: Sequence[str]) -> PromptBatch:
        """The rendered texts with the photos of the conversations.

        Raises UsageError, with file and line, for a photo that cannot be opened, a row that is too long, or a
        special token in a text.
        """
        for conversation in conversations:
            self.check_text(conversation)
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
        """Raises UsageError for a row that is too long or has special tokens in its texts.

        length: in tokens, each photo counted as one. Photos are opened only if the row could be too long.
        """
        self.check_text(conversation)
        if length + self._max_visual_tokens * len(conversation.images) > self.max_length:
            self.batch([conversation], [text])

    def check_text(self, conversation: Conversation) -> None:
        """Raises UsageError if a text contains a special token of the tokenizer, such as `<|image_pad|>`.

        The tokenizer would read it as a photo or the end of a turn instead of as text.
        """
        for role, text in conversation.turns:
            written = text.replace(MARK, "") if role == "user" else text
            if found := self._special_tokens.search(written):
                raise UsageError(
                    f"a text of the {role} contains {found[0]!r}, a special token of the model",
                    where=conversation.where,
                    remedy="remove it from the text, or leave the line out",
                )

    @cached_property
    def _special_tokens(self) -> re.Pattern[str]:
        tokenizer = self.processor.tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        tokens = {str(token) for token in added if token.special} | {*map(str, tokenizer.all_special_tokens)}
        return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")

    @property
    def _max_visual_tokens(self) -> int:
        """The largest number of tokens of a photo; 0 for families without pixel bounds."""
        area, images = self.processor.settings().get("max_pixels"), getattr(self.processor, "images", None)
        return int(area) // (images.patch_size * images.merge_size) ** 2 if area and images else 0


def visual_tokens(processor: Processor, photos: Sequence[Path]) -> int:
    """The approximate number of tokens of photos, from their headers; 0 for families without pixel bounds."""
    bounds, images = processor.settings(), getattr(processor, "images", None)
    if not images or not bounds.get("max_pixels"):
        return 0
    low, high = int(bounds["min_pixels"]), int(bounds["max_pixels"])
    area = sum(min(max(photo_area(photo), low), high) for photo in photos)
    return int(area // (images.patch_size * images.merge_size) ** 2)


def _open(conversation: Conversation) -> list[Image]:
    try:
        return conversation.open_photos()
    except MediaError as error:
        raise UsageError(str(error), where=conversation.where) from error
