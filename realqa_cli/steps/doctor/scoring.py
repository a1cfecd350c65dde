"""A loaded model as the checks need it: the scores of photos, alone or in a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from PIL import Image, ImageFilter

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.inference.asking import chosen_preset
from realqa_cli.inference.readout import Readout, ReadoutSettings, resolve
from realqa_cli.media.photo import open_photo
from realqa_cli.models import ModelSource


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to score photos."""

    settings: ReadoutSettings
    source: ModelSource
    readout: Readout
    backend: Backend

    @classmethod
    def load(cls, settings: ReadoutSettings, source: ModelSource) -> "LoadedModel":
        """Raises UsageError or ModelError."""
        preset = chosen_preset(settings, source.config, source.name, source.base)
        readout = resolve(source.config, settings, preset)
        needs = {"regression"} if readout.method == "regression" else {"log_probs"}
        bounds = {"min_pixels": readout.min_pixels, "max_pixels": readout.max_pixels}
        return cls(settings, source, readout, settings.load(source, needs=needs, **bounds))  # type: ignore[arg-type]

    def on(self, *, device: str, backend: str) -> "LoadedModel":
        """The same model on another device or backend. Raises UsageError or ModelError."""
        return LoadedModel.load(replace(self.settings, device=device, backend=backend), self.source)

    @property
    def is_float32(self) -> bool:
        """Whether the model computes in single precision, without quantization."""
        return self.settings.quantize is None and self.backend.settings().get("dtype", "float32") == "float32"

    def scores(self, photos: Sequence[Image.Image]) -> list[float]:
        """The scores of the photos, in one batch. Raises ValueError if the model output is NaN."""
        if self.readout.method == "regression":
            text = self.readout.question.text
            prepared = [Prompt.about(self._prepared(photo), text) for photo in photos]
            return [self.readout.scale.at(float(share)) for share in self.backend.regression_values(prepared)]
        return [each.mean for each in self.distributions(photos)]

    def distributions(self, photos: Sequence[Image.Image]) -> list[ScoreDistribution]:
        """The distributions over the numerals or words, in one batch; not for regression heads."""
        words, question = self.readout.words, self.readout.question
        texts = tuple(words) or self.readout.numerals
        values = tuple(words.values()) or None
        batch = [Prompt.asking(self._prepared(photo), question, self.readout.layout) for photo in photos]
        rows = self.backend.log_probs(batch, texts, question.end)
        return [ScoreDistribution.from_log_probs(texts, row, values) for row in rows]

    def _prepared(self, photo: Image.Image) -> Image.Image:
        transform = self.readout.photo_transform(self.backend.photo_transform())
        return photo if transform is None else transform(photo)


def sample_photos() -> list[Image.Image]:
    """Three photographs of different shapes: a bee, the same out of focus, and the upper half of a dandelion."""
    folder = files("realqa_cli.steps.doctor") / "samples"
    bee, dandelion = (open_photo((folder / name).read_bytes(), name=name) for name in ("bee.jpg", "dandelion.jpg"))
    blurred = bee.filter(ImageFilter.GaussianBlur(4))
    return [bee, blurred, dandelion.crop((0, 0, dandelion.width, dandelion.height // 2))]
