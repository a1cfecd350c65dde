"""The interface of all backends, and the registry of those that exist.

A step requests probabilities, text or the output of a regression head from a backend; it does not handle
tensors, servers or tokens. Backends are chosen by name and imported on demand.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats
from realqa_cli.domain.prompts import PLAIN_CHAT, ChatLayout, ScoreQuestion
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.media.video import Clip, FrameTransform, VisualInput

if TYPE_CHECKING:
    from PIL.Image import Image

    from realqa_cli.models import ModelSource

log = logging.getLogger("realqa")


PhotoTransform = Callable[["Image"], "Image"]
"""Transforms an upright RGB photo before it is part of a prompt."""

Capability = Literal["log_probs", "text", "samples", "regression", "logits"]
"""What a command can need of a backend.

samples: random answers.  logits: the torch model itself, for teacher forcing.
"""


@dataclass(frozen=True)
class Prompt:
    """A question about photos or a video, and the text with which the answer is forced to begin.

    images: upright RGB photos, in the order in which the question shows them; may be empty.
    prefix: the first words of the answer, such as "The score of this image is ".
    video: only for backends whose `frame_transform` is not None.
    pattern: a regular expression of all answers that can be parsed, for servers with constrained decoding.
    layout: the parts of the chat other than the question.
    """

    question: str
    images: tuple["Image", ...] = ()
    prefix: str = ""
    video: Clip | None = None
    pattern: str = ""
    layout: ChatLayout = PLAIN_CHAT

    @classmethod
    def about(cls, visual_input: VisualInput, question: str, prefix: str = "") -> "Prompt":
        """A prompt about one photo or video; the word "image" in the texts becomes "video" for a video."""
        subject = subject_of(visual_input)
        clip = visual_input if isinstance(visual_input, Clip) else None
        images = () if isinstance(visual_input, Clip) else (visual_input,)
        return cls(prompts.about(question, subject), images, prompts.about(prefix, subject), clip)

    @classmethod
    def asking(cls, visual_input: VisualInput, question: ScoreQuestion, layout: ChatLayout = PLAIN_CHAT) -> "Prompt":
        """A prompt that asks for the score of one photo or video, with the start of the answer."""
        return replace(cls.about(visual_input, question.text, question.prefix), layout=layout)

    @property
    def visual_inputs(self) -> tuple[VisualInput, ...]:
        """The photos, then the video, that the question shows."""
        return self.images if self.video is None else (*self.images, self.video)


def subject_of(visual_input: VisualInput) -> prompts.Subject:
    """The word that prompts use for it."""
    return "video" if isinstance(visual_input, Clip) else "image"


@dataclass(frozen=True)
class LoadOptions:
    """How a backend loads a model; `None` and "auto" leave the choice to the backend.

    min_pixels, max_pixels: bounds of the area, in pixels, that a photo is resized to.
    """

    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    attention: str = "auto"
    min_pixels: int | None = None
    max_pixels: int | None = None
    trust_remote_code: bool = False

    def bounds(self, low: int, high: int) -> tuple[int, int]:
        """The requested pixel bounds; a bound that was not requested is the model folder's.

        Raises ModelError if the lower bound exceeds the upper one.
        """
        least, most = int(self.min_pixels or low), int(self.max_pixels or high)
        if self.max_pixels and not self.min_pixels:
            least = min(least, most)
        if self.min_pixels and not self.max_pixels:
            most = max(least, most)
        if least > most:
            raise ModelError(
                f"the lower pixel bound {least} exceeds the upper one {most}",
                where="--min-pixels",
                remedy="lower --min-pixels or raise --max-pixels",
            )
        return least, most


@dataclass(frozen=True)
class TextSampling:
    """How random answers are drawn.

    seed: of the answer to each prompt, whatever the other prompts are.
    top_k: number of tokens to draw from; 0 for all.  top_p: share of the probability to draw from.
    """

    seed: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class UnsupportedModel(ModelError):
    """This backend cannot run the model, or not with these options; another backend may."""


@dataclass(frozen=True)
class ThreadPlan:
    """How several threads call a backend.

    size: number of batches that run at the same time.
    share: called in a thread before each batch with the number of batches that share the processors.
    end: restores the previous state.
    requests: whether a call is a request to a server, which takes one item and waits for the network.
    """

    size: int = 1
    share: Callable[[int], None] = lambda batches: None
    end: Callable[[], None] = lambda: None
    requests: bool = False


SINGLE_THREAD = ThreadPlan()
"""For a model that is called by one thread."""


class Backend:
    """A loaded model that answers prompts: the one interface between the steps and any kind of model.

    A backend overrides the methods of the capabilities that it has. The defaults describe a model without
    any: a required capability raises `ModelError`, an optional one returns None.
    """

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) natural log of P(continuation v | prompt b and its prefix).

        The probabilities are not renormalised: the model could also write something else, so a row sums to
        at most 1. `end` is the text that follows a continuation in a complete answer.
        """
        raise ModelError("the backend does not report probabilities")

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt, its prefix included, without special tokens.

        An answer may end as soon as it contains `stop`; it may contain a little more text after it.
        """
        raise ModelError("the backend does not generate text")

    def sample(self, batch: Sequence[Prompt], max_new_tokens: int, sampling: TextSampling) -> list[str]:
        """A random answer to each prompt, its prefix included, without special tokens.

        The answer to a prompt depends on the seed, not on the other prompts of the batch.
        """
        raise ModelError("the backend does not sample answers", remedy="leave out --samples")

    def regression_values(self, batch: Sequence[Prompt]) -> Floats:
        """(B,) the output of the regression head for each prompt and its prefix, 0 to 1: a share of the scale."""
        raise ModelError("the backend does not run regression heads")

    def visual_grid(self, photo: "Image") -> tuple[int, int]:
        """(rows, columns) of the visual tokens of a photo, which cover equal parts of it, row by row."""
        raise ModelError("the backend does not know the visual tokens of a photo")

    def log_probs_hiding(
        self, prompt: Prompt, hidden: Sequence[Sequence[int]], continuations: Sequence[str], end: str
    ) -> Floats:
        """(G, V) as `log_probs`, with the tokens `hidden[g]` of the prompt's only photo hidden from attention.

        Nothing else changes: the photo is encoded once, with all of it, and the other tokens keep their positions.
        """
        raise ModelError("the backend cannot hide visual tokens")

    def takes_photo_pairs(self) -> bool:
        """Whether a prompt may show two photos."""
        return False

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
        """Resizes the frames of a video for a prompt; None if the model does not support videos."""
        return None

    def photo_transform(self) -> PhotoTransform | None:
        """Resizes a photo ahead of time without changing the answers; None if that is not possible."""
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
"""Backend name to "module:class"; each class has `load(source, options)`."""

CAPABILITIES: dict[str, frozenset[Capability]] = {
    "onnx": frozenset({"log_probs", "text"}),
    "openvino": frozenset({"log_probs", "text"}),
    "hf": frozenset({"log_probs", "text", "samples", "regression", "logits"}),
    "echo": frozenset({"log_probs", "text", "regression"}),
}
"""What each backend supports, known without importing it."""

AUTOMATIC = ("onnx", "hf")
"""The backends that "auto" tries, in this order; the last one supports everything."""


def load(name: str, source: "ModelSource", options: LoadOptions, *, needs: Collection[Capability] = ()) -> Backend:
    """Loads the model of `source` with the backend of that name.

    "auto" is the first of `AUTOMATIC` that has the capabilities in `needs` and can run the model. Raises
    UsageError for an unknown backend or one without a needed capability, ModelError if loading fails.
    """
    if name == "auto":
        *fast, name = AUTOMATIC
        for each in fast:
            try:
                return load(each, source, options, needs=needs)
            except (UnsupportedModel, _LacksCapability) as reason:
                log.debug("cannot use the backend %s: %s", each, reason)
    if name not in BACKENDS:
        raise UsageError(
            f"unknown backend {name!r}", where="--backend", remedy=f"use one of: auto, {', '.join(BACKENDS)}"
        )
    if lacking := sorted({*needs} - CAPABILITIES[name]):
        able = [each for each in BACKENDS if CAPABILITIES[each].issuperset(needs)]
        raise _LacksCapability(
            f"the backend {name} does not support {', '.join(lacking)}, which this command needs",
            where="--backend",
            remedy=f"use one of: auto, {', '.join(able)}",
        )
    module, _, cls = BACKENDS[name].partition(":")
    return cast(Backend, getattr(import_module(module), cls).load(source, options))


class _LacksCapability(UsageError):
    """The backend cannot do what the command needs."""
