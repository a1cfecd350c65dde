"""Which model a step asks: one in this process, or one behind a server; and how photos go through it.

A model here takes them in batches, as its memory allows. A server takes one photo a request, and many
requests at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from realqa_cli.backends.base import Backend
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import OpenedItem
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.inference.pipeline import run_batches
from realqa_cli.media.video import VisualInput
from realqa_cli.models import ModelSource
from realqa_cli.models.realqa_json import ScorerConfig

Output = TypeVar("Output")
RunBatch = Callable[[Sequence[VisualInput]], Sequence[Output]]
BatchOutputs = Iterator[tuple[OpenedItem, Output | ItemError]]


@dataclass(frozen=True)
class InferenceSettings(ModelSettings):
    """server: what is asked in place of a model in this process."""

    server: ServerSettings | None = None

    def asked(self) -> "ModelHandle":
        """The model, not loaded yet. Raises ModelError."""
        return LocalModel(self, self.find()) if self.server is None else RemoteModel(self.server)


class ModelHandle(Protocol):
    """A model that a step asks."""

    @property
    def config(self) -> ScorerConfig | None:
        """What it says of itself, if anything."""
        ...

    def load(self, *, min_pixels: int | None, max_pixels: int | None, weigh: bool) -> Backend:
        """It, ready to be asked, at the settled pixel bounds; `weigh`: for probabilities, not for text alone.

        Raises UsageError or ModelError.
        """
        ...

    def through(self, backend: Backend, photos: Iterable[OpenedItem], ask: RunBatch[Output]) -> BatchOutputs[Output]:
        """Each photo with what `ask` says of it or with its error, in order."""
        ...

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """For the manifest: the "model" by its name, and how it is run."""
        ...


@dataclass(frozen=True)
class LocalModel:
    """A model in this process."""

    settings: ModelSettings
    source: ModelSource

    @property
    def config(self) -> ScorerConfig | None:
        """See `ModelHandle`."""
        return self.source.config

    def load(self, *, min_pixels: int | None, max_pixels: int | None, weigh: bool) -> Backend:
        """See `ModelHandle`."""
        return self.settings.load(self.source, min_pixels=min_pixels, max_pixels=max_pixels)

    def through(self, backend: Backend, photos: Iterable[OpenedItem], ask: RunBatch[Output]) -> BatchOutputs[Output]:
        """See `ModelHandle`."""
        return run_batches(photos, self.settings.batch_size, ask, backend.thread_plan())

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """See `ModelHandle`."""
        names = ("model", "adapter", "batch_size")
        return {**{name: getattr(self.settings, name) for name in names}, **backend.environment()}


@dataclass(frozen=True)
class RemoteModel:
    """A model behind a server, which says nothing of itself."""

    settings: ServerSettings
    config: None = None

    def load(self, *, min_pixels: int | None, max_pixels: int | None, weigh: bool) -> Backend:
        """See `ModelHandle`."""
        from realqa_cli.backends.server.model import ImageSizing, ServerBackend

        return ServerBackend.reach(self.settings, ImageSizing(min_pixels, max_pixels), weigh=weigh)

    def through(self, backend: Backend, photos: Iterable[OpenedItem], ask: RunBatch[Output]) -> BatchOutputs[Output]:
        """See `ModelHandle`. Each photo is opened and asked about in one of as many threads as requests may fly."""
        from realqa_cli.backends.server.request_pool import in_order

        def one(photo: OpenedItem) -> tuple[OpenedItem, Output | ItemError]:
            opened = photo.opened()
            try:
                return opened, opened.error or ask([opened.image] if opened.image else [])[0]
            except ItemError as error:
                return opened, error
            except ValueError as error:  # probabilities that are none
                return opened, ItemError(f"the server's answer makes no sense: {error}", type="model")

        return in_order(one, photos, self.settings.concurrency)

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """See `ModelHandle`."""
        return {"model": backend.settings()["model"], **backend.environment()}
