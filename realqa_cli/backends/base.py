"""The interface of all backends, and the table of those that exist.

A step asks a backend for probabilities, for text, or for the output of a regression head; it knows nothing
of tensors, servers or tokens. Backends are chosen by name and imported on demand.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.media.video import Clip, FrameTransform, VisualInput

if TYPE_CHECKING:
    from PIL.Image import Image

    from realqa_cli.models import ModelSource

log = logging.getLogger("realqa")


PhotoTransform = Callable[["Image"], "Image"]
"""What becomes of a photo, upright and RGB, before it is asked about."""


@dataclass(frozen=True)
class Prompt:
    """One question about some photos or a video, and how the answer is forced to begin.

    images: upright RGB photos, in the order in which the question sees them; may be empty.
    prefix: the answer's first words, written for the model ("The score of this image is ").
    video: for backends that look at videos (`Watches`).
    pattern: a regular expression of all answers that can be read, for servers that hold a model to one.
    """

    question: str
    images: tuple["Image", ...] = ()
    prefix: str = ""
    video: Clip | None = None
    pattern: str = ""

    @classmethod
    def about(cls, sight: VisualInput, question: str, prefix: str = "") -> "Prompt":
        """An ask about one photo or video; texts that are written about an image get the word that fits."""
        subject = subject_of(sight)
        clip = sight if isinstance(sight, Clip) else None
        images = () if isinstance(sight, Clip) else (sight,)
        return cls(prompts.about(question, subject), images, prompts.about(prefix, subject), clip)

    @property
    def seen(self) -> tuple[VisualInput, ...]:
        """All that the question shows, in order."""
        return self.images if self.video is None else (*self.images, self.video)


def subject_of(sight: VisualInput) -> prompts.Subject:
    """What the prompts call it."""
    return "video" if isinstance(sight, Clip) else "image"


@dataclass(frozen=True)
class LoadOptions:
    """How a backend is to load a model; `None` and "auto" leave the choice to the backend.

    min_pixels, max_pixels: bounds of the area in pixels that a photo is resized to.
    """

    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    attention: str = "auto"
    min_pixels: int | None = None
    max_pixels: int | None = None
    trust_remote_code: bool = False

    def bounds(self, low: int, high: int) -> tuple[int, int]:
        """The pixel bounds that were asked for, each completed by the folder's own. Raises ModelError."""
        least, most = int(self.min_pixels or low), int(self.max_pixels or high)
        if self.max_pixels and not self.min_pixels:
            least = min(least, most)
        if self.min_pixels and not self.max_pixels:
            most = max(least, most)
        if least > most:
            raise ModelError(
                f"the lower pixel bound {least} exceeds the upper one {most}",
                where="--min-pixels",
                remedy="give a smaller one",
            )
        return least, most


class UnsupportedModel(ModelError):
    """The backend that starts fast cannot run the model, or not as asked; another may."""


@dataclass(frozen=True)
class ThreadPlan:
    """How a model is run by several threads.

    size: batches that run at the same time.  share: called in a thread before each batch with the number of
    batches that share the machine's processors; 1 if no other batch runs.  end: restores the previous state.
    """

    size: int = 1
    share: Callable[[int], None] = lambda batches: None
    end: Callable[[], None] = lambda: None


SINGLE_THREAD = ThreadPlan()
"""For a model that one thread runs."""


class Backend:
    """A loaded model that answers prompts: the one interface between the steps and any kind of model.

    A backend overrides the capabilities that it has. The defaults describe a model that has none: what the
    caller cannot do without raises `ModelError`, and what is optional returns None.
    """

    def log_probs(self, prompts: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) natural log of P(the answer goes on with continuation v | prompt b and its prefix).

        The probabilities are the model's own, over everything it could write: a row sums to at most 1.
        `end` is the text that follows a continuation in a whole answer.
        """
        raise ModelError("the backend gives no probabilities", remedy="use --backend hf")

    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt, its prefix included, without special tokens.

        An answer may end as soon as it contains `stop`; it may contain a little more text after it.
        """
        raise ModelError("the backend generates no text", remedy="use --backend hf")

    def regression_values(self, prompts: Sequence[Prompt]) -> Floats:
        """(B,) the output of the regression head for each prompt and its prefix, 0 to 1: a share of the scale."""
        raise ModelError("the backend runs no regression head", remedy="use --backend hf")

    def decode_mode(self, requested: str) -> str:
        """How answers are decoded if the user requests "exact" or "greedy".

        A backend that knows only the most likely tokens returns "topk" for "exact".
        """
        return requested

    def prefix_cache(self) -> "Backend":
        """The backend with a key-value cache of its own, for prompts about one batch after another.

        As long as the prompts are about the same photos, each costs only its new text. A backend without
        such a cache returns itself.
        """
        return self

    def frame_transform(self) -> FrameTransform | None:
        """What is done to the frames of a video before they are in a prompt; None if videos are not supported."""
        return None

    def photo_transform(self) -> PhotoTransform | None:
        """What may be done to a photo ahead of time without changing the answers; None for nothing."""
        return None

    def thread_plan(self) -> ThreadPlan:
        """How many threads may call the backend at the same time, and what each does first."""
        return SINGLE_THREAD

    def settings(self) -> Mapping[str, Any]:
        """What determines the answers apart from the prompt: model digest, dtype, pixel bounds, ..."""
        return {}

    def environment(self) -> Mapping[str, Any]:
        """What should not change the answers but is worth recording: device, library versions, ..."""
        return {}


BACKENDS = {
    "onnx": "realqa_cli.backends.onnx.model:OnnxBackend",
    "openvino": "realqa_cli.backends.onnx.model:OpenVinoBackend",
    "hf": "realqa_cli.backends.hf.model:HFBackend",
    "echo": "realqa_cli.backends.echo:EchoBackend",
}
"""Backend name to "module:class"; each class has `load(source, loading)`."""


def load(name: str, source: "ModelSource", loading: LoadOptions) -> Backend:
    """The backend of that name with the model of `source`; "auto" is `onnx` where that can do it, else `hf`.

    Raises UsageError for an unknown name, ModelError where the model cannot be loaded.
    """
    if name == "auto":
        try:
            return load("onnx", source, loading)
        except UnsupportedModel as reason:
            log.debug("not the backend onnx: %s", reason)
            name = "hf"
    if name not in BACKENDS:
        raise UsageError(
            f"unknown backend {name!r}", where="--backend", remedy=f"use one of: auto, {', '.join(BACKENDS)}"
        )
    module, _, cls = BACKENDS[name].partition(":")
    return cast(Backend, getattr(import_module(module), cls).load(source, loading))
