"""Which model a step asks: one in this process, or one behind a server; and how photos go through it.

A model here takes them in batches, as its memory allows. A server takes one photo a request, and many
requests at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from realqa_cli.backends.base import Backend, crew
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.errors import ItemError
from realqa_cli.inference.batches import Photo, through
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.media.video import Sight
from realqa_cli.models import ModelSource
from realqa_cli.models.realqa_json import RealqaJson

Answer = TypeVar("Answer")
Ask = Callable[[Sequence[Sight]], Sequence[Answer]]
Answered = Iterator[tuple[Photo, Answer | ItemError]]


@dataclass(frozen=True)
class AskSettings(ModelSettings):
    """server: what is asked in place of a model in this process."""

    server: ServerSettings | None = None

    def asked(self) -> "Asked":
        """The model, not loaded yet. Raises ModelError."""
        return Here(self, self.find()) if self.server is None else Served(self.server)


class Asked(Protocol):
    """A model that a step asks."""

    @property
    def scorer(self) -> RealqaJson | None:
        """What it says of itself, if anything."""
        ...

    def load(self, *, min_pixels: int | None, max_pixels: int | None, weigh: bool) -> Backend:
        """It, ready to be asked, at the settled pixel bounds; `weigh`: for probabilities, not for text alone.

        Raises UsageError or ModelError.
        """
        ...

    def through(self, backend: Backend, photos: Iterable[Photo], ask: Ask[Answer]) -> Answered[Answer]:
        """Each photo with what `ask` says of it or with its error, in order."""
        ...

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """For the manifest: the "model" by its name, and how it is run."""
        ...


@dataclass(frozen=True)
class Here:
    """A model in this process."""

    settings: ModelSettings
    source: ModelSource

    @property
    def scorer(self) -> RealqaJson | None:
        """See `Asked`."""
        return self.source.scorer

    def load(self, *, min_pixels: int | None, max_pixels: int | None, weigh: bool) -> Backend:
        """See `Asked`."""
        return self.settings.load(self.source, min_pixels=min_pixels, max_pixels=max_pixels)

    def through(self, backend: Backend, photos: Iterable[Photo], ask: Ask[Answer]) -> Answered[Answer]:
        """See `Asked`."""
        return through(photos, self.settings.batch_size, ask, crew(backend))

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """See `Asked`."""
        names = ("model", "adapter", "batch_size")
        return {**{name: getattr(self.settings, name) for name in names}, **backend.environment()}


@dataclass(frozen=True)
class Served:
    """A model behind a server, which says nothing of itself."""

    settings: ServerSettings
    scorer: None = None

    def load(self, *, min_pixels: int | None, max_pixels: int | None, weigh: bool) -> Backend:
        """See `Asked`."""
        from realqa_cli.backends.server.model import Sending, ServedModel

        return ServedModel.reach(self.settings, Sending(min_pixels, max_pixels), weigh=weigh)

    def through(self, backend: Backend, photos: Iterable[Photo], ask: Ask[Answer]) -> Answered[Answer]:
        """See `Asked`. Each photo is opened and asked about in one of as many threads as requests may fly."""
        from realqa_cli.backends.server.request_pool import in_order

        def one(photo: Photo) -> tuple[Photo, Answer | ItemError]:
            opened = photo.opened()
            try:
                return opened, opened.error or ask([opened.image] if opened.image else [])[0]
            except ItemError as error:
                return opened, error
            except ValueError as error:  # probabilities that are none
                return opened, ItemError(f"the server's answer makes no sense: {error}", type="model")

        return in_order(one, photos, self.settings.concurrency)

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """See `Asked`."""
        return {"model": backend.settings()["model"], **backend.environment()}
