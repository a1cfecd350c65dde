"""The shipped fake: answers from the photo's mean brightness, without a model.

It proves how small a backend is, and drives tests and documentation of everything around one.
A dark photo scores low, a bright one high; nothing about it is a judgement of quality.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL.Image import Resampling

from realqa_cli.backends.base import Backend, LoadOptions, Prompt
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats, write
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.media.video import FrameTransform
from realqa_cli.models import ModelSource

_SPREAD = 0.3
_FRAME = 128 * 128  # area of a video's frame in pixels


class EchoBackend(Backend):
    """A backend whose belief is a bell curve around 1 + 4 x brightness."""

    @classmethod
    def load(cls, source: ModelSource, loading: LoadOptions) -> "EchoBackend":
        """Loads nothing, whatever `source` is."""
        return cls()

    def log_probs(self, asks: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """Bell-shaped over numerals; equal shares where the continuations are words."""
        try:
            values_V = np.array([float(text) for text in continuations])
        except ValueError:
            return np.full((len(asks), len(continuations)), -np.log(len(continuations)))
        centres_B = np.array([_belief(ask) for ask in asks])
        logits_B_V = -0.5 * ((values_V[None] - centres_B[:, None]) / _SPREAD) ** 2
        return np.asarray(logits_B_V - np.log(np.exp(logits_B_V).sum(axis=1, keepdims=True)))

    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The direct answer with the rounded belief, after the prefix."""
        return [
            ask.prefix + prompts.direct_answer(write(_belief(ask), 3), "video" if ask.video else "image")
            for ask in asks
        ]

    def regression_values(self, asks: Sequence[Prompt]) -> Floats:
        """The brightness itself."""
        return np.array([(_belief(ask) - 1) / 4 for ask in asks])

    def frame_transform(self) -> FrameTransform:
        """Small frames do for their brightness."""
        return lambda frame, frames: shrink_to_area(frame, _FRAME, Resampling.BOX)

    def settings(self) -> Mapping[str, Any]:
        """The fake has one setting: that it is the fake."""
        return {"backend": "echo"}

    def environment(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}


def _belief(ask: Prompt) -> float:
    images = ask.images + (ask.video.frames if ask.video else ())
    brightness = [float(np.asarray(image.convert("L"), dtype=np.float64).mean()) / 255 for image in images]
    return 1 + 4 * (sum(brightness) / len(brightness) if brightness else 0.5)
