"""The `echo` backend: a fake for tests and documentation that answers from the mean brightness of a photo.

It loads no model. A dark photo scores low and a bright one high; the score does not measure quality.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL.Image import Resampling

from realqa_cli.backends.base import Backend, LoadOptions, PhotoTransform, Prompt
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats, write
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.media.video import FrameTransform
from realqa_cli.models import ModelSource

_SPREAD = 0.3
_FRAME = 128 * 128  # area of a video's frame in pixels
_PHOTO = 16_000_000  # area of a photo


class EchoBackend(Backend):
    """A backend whose score distribution is a bell curve around 1 + 4 * brightness, on a scale of 1-5."""

    @classmethod
    def load(cls, source: ModelSource, options: LoadOptions) -> "EchoBackend":
        """Returns the fake; neither argument is used."""
        return cls()

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """A bell curve over numerals; equal probabilities if the continuations are words."""
        try:
            values_V = np.array([float(text) for text in continuations])
        except ValueError:
            return np.full((len(batch), len(continuations)), -np.log(len(continuations)))
        centres_B = np.array([_score(prompt) for prompt in batch])
        logits_B_V = -0.5 * ((values_V[None] - centres_B[:, None]) / _SPREAD) ** 2
        return np.asarray(logits_B_V - np.log(np.exp(logits_B_V).sum(axis=1, keepdims=True)))

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The prefix, then the direct answer with the rounded score."""
        return [
            prompt.prefix + prompts.direct_answer(write(_score(prompt), 3), "video" if prompt.video else "image")
            for prompt in batch
        ]

    def regression_values(self, batch: Sequence[Prompt]) -> Floats:
        """(B,) the mean brightness, 0 to 1."""
        return np.array([(_score(prompt) - 1) / 4 for prompt in batch])

    def frame_transform(self) -> FrameTransform:
        """See `Backend`: frames are shrunk, since only their brightness counts."""
        return lambda frame, frames: shrink_to_area(frame, _FRAME, Resampling.BOX)

    def photo_transform(self) -> PhotoTransform:
        """See `Backend`: very large photos are shrunk, so that waiting ones take little memory."""
        return lambda photo: shrink_to_area(photo, _PHOTO, Resampling.BOX)

    def settings(self) -> Mapping[str, Any]:
        """The name of the backend; there are no other settings."""
        return {"backend": "echo"}

    def environment(self) -> Mapping[str, Any]:
        """See `Backend`."""
        return {}


def _score(prompt: Prompt) -> float:
    images = prompt.images + (prompt.video.frames if prompt.video else ())
    brightness = [float(np.asarray(image.convert("L")).mean()) / 255 for image in images]
    return 1 + 4 * (sum(brightness) / len(brightness) if brightness else 0.5)
