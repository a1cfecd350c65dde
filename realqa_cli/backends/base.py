"""Where answers come from: three small protocols, and the table of what implements them.

A step asks a backend for probabilities (`Weighs`), for text (`Answers`) or for the value of a
regression head (`Regresses`) and knows nothing of tensors, servers or tokens. Backends are chosen by
name and imported on demand.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.pipeline import SINGLE_THREAD, ThreadPlan
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


class Weighs(Protocol):
    """A backend that knows the probability of everything the model could have said."""

    def log_probs(self, asks: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) natural log of P(the answer goes on with continuation v | ask b and its prefix).

        The probabilities are the model's own, over everything it could say: those of a row sum to
        at most 1. `end` is the text that follows a continuation in a whole answer.
        """
        ...


class Answers(Protocol):
    """A backend that writes text."""

    def answer(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each ask, its prefix included, without special tokens.

        An answer may end as soon as `stop` was written; it may hold it and a little more.
        """
        ...


class Tells(Weighs, Answers, Protocol):
    """A backend that does both: what it takes to fill a form."""


@runtime_checkable
class Limited(Protocol):
    """A backend that does not know all probabilities."""

    def decode(self) -> str:
        """Either "topk", where it weighs the likeliest tokens, or "greedy", where it only answers."""
        ...


def decode_of(backend: object, asked: str) -> str:
    """How the backend's answers are decoded: as asked, or as well as it can."""
    return backend.decode() if isinstance(backend, Limited) and asked == "exact" else asked


@runtime_checkable
class Remembers(Protocol):
    """A backend that can keep what it computed while more is asked about the same photos."""

    def prefix_cache(self) -> Tells:
        """The backend, as it answers alone, for asks about one batch after the other.

        As long as the asks are about the same photos, each costs only the text that is new in it.
        """
        ...


def remembering(backend: Tells) -> Tells:
    """The backend with a memory of its own for as long as the result lives; itself where it has none."""
    return backend.prefix_cache() if isinstance(backend, Remembers) else backend


class Regresses(Protocol):
    """A backend whose model has a regression head."""

    def values(self, asks: Sequence[Prompt]) -> Floats:
        """(B,) what the head makes of each ask and its prefix, 0 to 1: a share of the scale."""
        ...


@runtime_checkable
class Watches(Protocol):
    """A backend that looks at videos, where its model can."""

    def frame_transform(self) -> FrameTransform | None:
        """What is to become of a video's frames before they are asked about; None for a model of photos."""
        ...


def frame_fit(backend: object) -> FrameTransform | None:
    """The backend's, None where it knows nothing of videos."""
    return backend.frame_transform() if isinstance(backend, Watches) else None


@runtime_checkable
class Fits(Protocol):
    """A backend that tells in which size it sees photos, so that they can be made so ahead."""

    def photo_transform(self) -> PhotoTransform | None:
        """What becomes of a photo; asked about the result, the backend answers as about the photo."""
        ...


@runtime_checkable
class Parallel(Protocol):
    """A backend that can be asked by several threads at once."""

    def thread_plan(self) -> ThreadPlan:
        """By how many, and what each has to do first."""
        ...


def photo_fit(backend: object) -> PhotoTransform | None:
    """The backend's, None where photos are to be left as they are."""
    return backend.photo_transform() if isinstance(backend, Fits) else None


def crew(backend: object) -> ThreadPlan:
    """The backend's, one thread where it says nothing."""
    return backend.thread_plan() if isinstance(backend, Parallel) else SINGLE_THREAD


class Backend(Weighs, Answers, Regresses, Protocol):
    """What `score` needs: all three, and an account of itself for the manifest."""

    def settings(self) -> Mapping[str, Any]:
        """What decides the answers beside the question: model digest, dtype, pixel bounds, ..."""
        ...

    def environment(self) -> Mapping[str, Any]:
        """What ought not to decide them but is worth knowing: device, library versions, ..."""
        ...


BACKENDS = {
    "onnx": "realqa_cli.backends.onnx.model:OnnxBackend",
    "openvino": "realqa_cli.backends.onnx.model:OpenVinoBackend",
    "hf": "realqa_cli.backends.hf.model:HFBackend",
    "echo": "realqa_cli.backends.base.echo:EchoBackend",
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
