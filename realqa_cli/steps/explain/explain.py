"""The step `realqa explain`: measures of the photo, attribute flips, and the occlusion map, as one record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from realqa_cli import __version__
from realqa_cli.decoding.attribute_form import form_of
from realqa_cli.errors import ItemError, ModelError, UsageError, one_line
from realqa_cli.inference.inputs import OpenOptions, identify_item
from realqa_cli.inference.model_settings import decode_options, decode_setting
from realqa_cli.inference.readout import ReadoutSettings, resolve
from realqa_cli.io.explain_record import ExplainRecord
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.records import error_line
from realqa_cli.io.sources import Item
from realqa_cli.media.measures import PhotoMeasures, measure_photo_values
from realqa_cli.media.video import Clip
from realqa_cli.models.presets import NO_PRESET, read_preset
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.explain.flips import FlippedForm, flip_attributes
from realqa_cli.steps.explain.occlusion import GROUPS, OcclusionMap, occlusion_map


@dataclass(frozen=True)
class ExplainSettings(ReadoutSettings):
    """groups: about as many groups of visual tokens the photo is divided into."""

    method: str | None = "direct"
    groups: int = GROUPS


@dataclass(frozen=True)
class Explanation:
    """What moved the score of one photo.

    record: the JSON-ready record.  photo: upright RGB, at most as large as the model sees it; None for a failed one.
    flipped: None for a model without attributes.
    """

    record: dict[str, Any]
    photo: Image | None = None
    occlusion: OcclusionMap | None = None
    flipped: FlippedForm | None = None


class Explainer:
    """A loaded model that explains scores. It needs the backend `hf`."""

    def __init__(self, settings: ExplainSettings) -> None:
        """Loads the model. Raises UsageError, also for models that cannot hide visual tokens."""
        settings.check()
        source = settings.find()
        self.settings, self.config = settings, source.config or ScorerConfig()
        preset = read_preset(settings.preset) if settings.preset and settings.preset != NO_PRESET else None
        if preset is not None and preset.questions:
            what = "only realqa's own question can be explained"
            raise UsageError(what, where=f"--preset {preset.name}", remedy="leave it out")
        self.readout = resolve(source.config, settings, preset)
        bounds = {"min_pixels": self.readout.min_pixels, "max_pixels": self.readout.max_pixels}
        self.backend = settings.load(source, needs=("log_probs", "logits"), **bounds)
        has_form = self.config.form is not None
        self.slots = form_of(source.config, reasons=self.config.has_reasons) if has_form else ()
        self.unknown = self.config.unreliable(self.config.attributes or ())
        settings_of_run = {
            **self.readout.settings(),
            **self.backend.settings(),
            **decode_setting(settings, source.config),
        }
        self._decode = decode_options(settings, self.backend, source.config)
        environment = {"model": settings.model, **self.backend.environment(), "realqa": __version__}
        chosen = {"groups": settings.groups, "form": list(self.slots), "not_used": self.unknown}
        self.manifest = Manifest("explain", {**settings_of_run, **chosen}, environment)

    def explain(self, item: Item) -> Explanation:
        """The explanation of one photo; one with an error record if it cannot be opened or scored."""
        measured: list[PhotoMeasures] = []

        def prepare(photo: Image) -> Image:
            measured.append(measure_photo_values(photo))  # at the full size
            transform = self.readout.photo_transform(self.backend.photo_transform())
            return photo if transform is None else transform(photo)

        opened = identify_item(item, OpenOptions(transform=prepare, decode=self._decode)).opened()
        try:
            if opened.error is not None:
                raise opened.error
            assert opened.image is not None
            assert not isinstance(opened.image, Clip), "videos are refused"
            return self._explained(item, opened.image, measured[0], content=opened.content, flags=[*opened.flags])
        except ItemError as error:
            return Explanation(error_line(item, error, content=opened.content, instead_of=ExplainRecord))

    def _explained(self, item: Item, photo: Image, measures: PhotoMeasures, **fields: Any) -> Explanation:
        try:
            occlusion = occlusion_map(self.backend, photo, self.readout.numerals, self.settings.groups)
            flipped = None
            if self.slots:
                flipped = flip_attributes(self.backend, photo, self.slots, self.readout.numerals, self.unknown)
        except ModelError:
            raise
        except (RuntimeError, ValueError, MemoryError) as error:
            raise ItemError(f"the model failed on this photo: {one_line(error)}", type="model") from error
        scores = occlusion.distribution
        record = ExplainRecord.of(
            item,
            score=scores.mean,
            std=scores.std,
            interval=scores.interval(),
            mass=scores.mass,
            scale=self.readout.scale,
            measures=dict(measures) | {"pixels": [*measures["pixels"]]},
            attributes=None if flipped is None else dict(flipped.attributes),
            score_cot=None if flipped is None else flipped.score,
            flips=None if flipped is None else [vars(flip) for flip in flipped.flips],
            not_used=self.unknown if self.slots else [],
            occlusion=_occlusion_field(occlusion),
            run=self.manifest.run,
            **fields,
        )
        return Explanation(record.to_line(), photo, occlusion, flipped)


def _occlusion_field(found: OcclusionMap) -> Mapping[str, Any]:
    return {
        "tokens": [*found.tokens],
        "rows": [*found.rows],
        "columns": [*found.columns],
        "contributions": found.contributions_R_C.tolist(),
    }
