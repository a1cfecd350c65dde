"""The model that a step uses: in this process, or behind a server."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from realqa_cli.backends.base import Backend, Capability
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.models import ModelSource
from realqa_cli.models.realqa_json import ScorerConfig


@dataclass(frozen=True)
class InferenceSettings(ModelSettings):
    """server: the server to use instead of a model in this process."""

    server: ServerSettings | None = None

    def handle(self) -> "ModelHandle":
        """The model, not loaded yet. Raises ModelError."""
        return LocalModel(self, self.find()) if self.server is None else RemoteModel(self.server)


class ModelHandle(Protocol):
    """A model that is not loaded yet."""

    @property
    def config(self) -> ScorerConfig | None:
        """The content of `realqa.json`; None without one."""
        ...

    @property
    def name(self) -> str:
        """The name of the model as requested; "" if it is unknown before loading."""
        ...

    @property
    def folder(self) -> Path | None:
        """The folder of the base weights; None for a model behind a server."""
        ...

    def load(self, *, min_pixels: int | None, max_pixels: int | None, needs: Collection[Capability]) -> Backend:
        """Loads the model with the resolved pixel bounds and the needed capabilities.

        Raises UsageError or ModelError.
        """
        ...

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """For the manifest: the name of the "model" and how it is run."""
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

    @property
    def name(self) -> str:
        """See `ModelHandle`."""
        return self.source.name

    @property
    def folder(self) -> Path | None:
        """See `ModelHandle`."""
        return self.source.base

    def load(self, *, min_pixels: int | None, max_pixels: int | None, needs: Collection[Capability]) -> Backend:
        """See `ModelHandle`."""
        return self.settings.load(self.source, min_pixels=min_pixels, max_pixels=max_pixels, needs=needs)

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """See `ModelHandle`."""
        names = ("model", "adapter", "batch_size")
        return {**{name: getattr(self.settings, name) for name in names}, **backend.environment()}


@dataclass(frozen=True)
class RemoteModel:
    """A model behind a server, without a `realqa.json`."""

    settings: ServerSettings
    config: None = None
    folder: None = None

    @property
    def name(self) -> str:
        """See `ModelHandle`."""
        return self.settings.model or ""

    def load(self, *, min_pixels: int | None, max_pixels: int | None, needs: Collection[Capability]) -> Backend:
        """See `ModelHandle`. The server may support less than `needs`; `Backend.decode_mode` then says so."""
        from realqa_cli.backends.server.model import ImageSizing, ServerBackend

        sizing = ImageSizing(min_pixels, max_pixels)
        return ServerBackend.reach(self.settings, sizing, log_probs="log_probs" in needs)

    def environment(self, backend: Backend) -> Mapping[str, Any]:
        """See `ModelHandle`."""
        return {"model": backend.settings()["model"], **backend.environment()}
