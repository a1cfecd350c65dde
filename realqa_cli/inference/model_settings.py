"""The options of every step with a local model, and loading of the model."""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import Backend, Capability, LoadOptions
from realqa_cli.errors import UsageError
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions
from realqa_cli.models import ModelSource
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")


@dataclass(frozen=True)
class ModelSettings:
    """The model, how it is loaded, and its batch size. None leaves the choice to the model folder.

    batch_size: number of photos in a forward pass.
    min_pixels, max_pixels: bounds of the area in pixels that a photo is resized to.
    color_management: whether to convert colors to sRGB; None as in training.
    decode_timeout, decode_memory: seconds and MB that decoding a file may take, beyond the picture itself.
    jpeg_draft: whether to decode JPEGs at a fraction of their size if that leaves enough pixels for the bounds.
    """

    model: str = models.BUNDLED[0]
    adapter: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    backend: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    batch_size: int = 4
    min_pixels: int | None = None
    max_pixels: int | None = None
    jpeg_draft: bool = False
    color_management: bool | None = None
    decode_timeout: float = DEFAULT_DECODING.timeout
    decode_memory: int = DEFAULT_DECODING.memory

    def check(self) -> None:
        """Raises UsageError for a number below 1."""
        for name in ("batch_size", "min_pixels", "max_pixels"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"must be at least 1, not {count}", where=f"--{name.replace('_', '-')}")

    def find(self) -> ModelSource:
        """Finds the model on disk or downloads it. Raises ModelError."""
        return models.find(
            self.model,
            adapter=self.adapter,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
        )

    def load(
        self,
        source: ModelSource,
        *,
        min_pixels: int | None,
        max_pixels: int | None,
        needs: Collection[Capability] = (),
    ) -> Backend:
        """Loads the model with the resolved pixel bounds and the needed capabilities.

        Raises UsageError or ModelError.
        """
        return backends.load(
            self.backend,
            source,
            LoadOptions(
                device=self.device,
                dtype=self.dtype,
                quantize=self.quantize,
                min_pixels=min_pixels,
                max_pixels=max_pixels,
                trust_remote_code=self.trust_remote_code,
            ),
            needs=needs,
        )


def decode_options(settings: ModelSettings, backend: Backend, config: ScorerConfig | None) -> DecodeOptions:
    """How photos are decoded for the model with this `realqa.json`; a contradiction with it is reported.

    Raises UsageError for `--jpeg-draft` without pixel bounds.
    """
    draft_pixels = None
    if settings.jpeg_draft:
        max_pixels = backend.settings().get("max_pixels")
        if max_pixels is None:
            raise UsageError("needs a model with pixel bounds", where="--jpeg-draft", remedy="leave it out")
        draft_pixels = int(max_pixels)
    report_colors(settings, config)
    managed = manages_colors(settings, config)
    return DecodeOptions(draft_pixels, managed, settings.decode_timeout, settings.decode_memory)


def report_colors(settings: ModelSettings, config: ScorerConfig | None) -> None:
    """Logs one line if the option contradicts the training of the model."""
    managed = manages_colors(settings, config)
    if config is not None and managed != config.color_management:
        trained, now = ("without", "with") if managed else ("with", "without")
        log.warning("the model was trained %s color management, and photos are now read %s it", trained, now)


def manages_colors(settings: ModelSettings, config: ScorerConfig | None) -> bool:
    """Whether colors are converted to sRGB: by the option, else as in training, else they are."""
    if settings.color_management is not None:
        return settings.color_management
    return config is None or config.color_management


def decode_setting(settings: ModelSettings, config: ScorerConfig | None) -> dict[str, bool]:
    """For the manifest: the decode options that change pixels and differ from the defaults."""
    draft = {"jpeg_draft": True} if settings.jpeg_draft else {}
    return draft if manages_colors(settings, config) else {**draft, "color_management": False}
