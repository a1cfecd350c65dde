"""Resolves how scores are read from a model: method, scale, numerals and pixel bounds, before it is loaded.

The `realqa.json` of the model folder decides; options override it with a warning; defaults are used with a
warning too. A preset contains the settings of a known way of training.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from PIL.Image import Resampling

from realqa_cli.backends.base import PhotoTransform
from realqa_cli.domain.numerals import numerals, short_numerals
from realqa_cli.domain.scales import PAPER_SCALE, Scale
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.media.video import Sampling
from realqa_cli.models.realqa_json import ScorerConfig

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("realqa")


@dataclass(frozen=True)
class Preset:
    """The settings of a way of training for models without a `realqa.json`.

    scale: the scale of the scores.
    shrink: area in pixels to which larger photos are shrunk first, by nearest neighbour.
    shrink_frames, fps: the same for the frames of videos, and the number of frames per second.
    short: numerals are written as Python prints rounded floats ("3.9", not "3.90").
    """

    scale: Scale
    min_pixels: int
    max_pixels: int
    shrink: int | None
    shrink_frames: int | None
    fps: float | None
    short: bool


PRESETS = {
    "realqa-release": Preset(
        scale=PAPER_SCALE,
        min_pixels=200_704,
        max_pixels=401_408,
        shrink=512 * 512,
        shrink_frames=128 * 128,
        fps=2,
        short=True,
    )
}
"""`realqa-release`: the adapters of the paper's authors, trained by a framework that shrinks photos first."""


METHODS_BY_OBJECTIVE = {
    "ntp": ("direct", "cot", "levels"),
    "levels": ("levels",),
    "regression": ("regression",),
}
"""The methods for the models of each objective, the default first."""

_NUMERAL_METHODS = {"direct", "cot"}
"""The methods that score numerals, and therefore depend on the digits."""


class ReadoutOptions(Protocol):
    """The options of the read-out."""

    @property
    def method(self) -> str | None: ...
    @property
    def decode(self) -> str: ...
    @property
    def preset(self) -> str | None: ...
    @property
    def scale(self) -> tuple[float, float] | None: ...
    @property
    def digits(self) -> int | None: ...
    @property
    def form(self) -> str | None: ...
    @property
    def reasons(self) -> bool | None: ...
    @property
    def min_pixels(self) -> int | None: ...
    @property
    def max_pixels(self) -> int | None: ...


@dataclass(frozen=True)
class Readout:
    """The resolved read-out.

    numerals: ascending and within `scale`; () for methods without numerals.
    form: "regular" or "natural" for the method "cot", else None.
    reasons: whether the chain of thought includes reasons.
    level_bounds: the values of the lowest and the highest level on `scale`, for the method "levels", else None.
    """

    method: str
    scale: Scale
    digits: int
    numerals: tuple[str, ...]
    min_pixels: int | None
    max_pixels: int | None
    preset: str | None
    form: str | None = None
    reasons: bool = False
    level_bounds: Scale | None = None

    def photo_transform(self, transform: PhotoTransform | None) -> PhotoTransform | None:
        """The transform of photos for a backend with this `transform`; a preset may shrink them first."""
        limit = PRESETS[self.preset].shrink if self.preset else None
        if limit is None:
            return transform
        return lambda photo: _shrunk(photo, limit) if transform is None else transform(_shrunk(photo, limit))

    def prepare_frame(self, frame: "Image") -> "Image":
        """The frame of a video before the transform of the backend: shrunk if the preset says so."""
        return _shrunk(frame, PRESETS[self.preset].shrink_frames if self.preset else None)

    def sampling(self, frames: int | None, fps: float | None) -> Sampling:
        """Which frames of a video are used: by the options, or by the preset. Raises UsageError."""
        if frames is None and fps is None and self.preset:
            fps = PRESETS[self.preset].fps
        sampling = Sampling(frames, fps)
        sampling.check()
        return sampling

    def settings(self) -> Mapping[str, Any]:
        """For the manifest; the pixel bounds are among the settings of the backend."""
        settings: dict[str, Any] = {"scale": list(self.scale), "digits": self.digits, "preset": self.preset}
        if self.level_bounds is not None:
            settings["level_bounds"] = list(self.level_bounds)
        return settings | ({} if self.form is None else {"form": self.form, "reasons": self.reasons})


def resolve(config: ScorerConfig | None, options: ReadoutOptions) -> Readout:
    """Resolves the read-out from `realqa.json`, the preset and the options.

    Raises ModelError if the model was trained for another method, UsageError for an unknown preset, a scale
    that the digits cannot express, or options that do not fit the method.
    """
    method = _method(config, options)
    if options.preset is not None and options.preset not in PRESETS:
        raise UsageError(
            f"unknown preset {options.preset!r}", where="--preset", remedy=f"use one of: {', '.join(PRESETS)}"
        )
    preset = PRESETS[options.preset] if options.preset else None
    _warn(config, options, method, preset)
    trained = config or ScorerConfig()
    scale = Scale.of(options.scale or (preset.scale if preset else trained.scale))
    digits = options.digits or (3 if preset and preset.short else trained.digits)
    return Readout(
        method=method,
        scale=scale,
        digits=digits,
        numerals=_numerals(scale, digits, preset) if method in _NUMERAL_METHODS else (),
        min_pixels=options.min_pixels or (preset.min_pixels if preset else trained.min_pixels),
        max_pixels=options.max_pixels or (preset.max_pixels if preset else trained.max_pixels),
        preset=options.preset,
        form=_form(config, options, method),
        reasons=_reasons(trained, options, method),
        level_bounds=_level_bounds(trained, scale) if method == "levels" else None,
    )


def _level_bounds(trained: ScorerConfig, scale: Scale) -> Scale:
    """The bounds that the model's levels were trained with, on `scale`; without any the whole scale."""
    if trained.level_bounds is None:
        return scale
    return Scale.of([scale.from_scale(bound, trained.scale) for bound in trained.level_bounds])


def _method(config: ScorerConfig | None, options: ReadoutOptions) -> str:
    """The requested method, or the one that the model was trained for."""
    objective = (config or ScorerConfig()).objective
    method = options.method or METHODS_BY_OBJECTIVE[objective][0]
    if method not in METHODS_BY_OBJECTIVE[objective]:
        what = "was not trained" if objective == "ntp" else f"was trained with the objective {objective!r}, not"
        raise ModelError(
            f"the model {what} for the method {method}",
            where="--method",
            remedy=f"leave it out, or use {' or '.join(METHODS_BY_OBJECTIVE[objective])}",
        )
    if method not in _NUMERAL_METHODS and options.decode == "greedy":
        raise UsageError("applies to --method direct and cot", where="--decode greedy", remedy="use --decode exact")
    return method


def _form(config: ScorerConfig | None, options: ReadoutOptions, method: str) -> str | None:
    """The requested form of the chain of thought, or the one that the model was trained on."""
    if method != "cot":
        for option, value in (("--form", options.form), ("--reasons", options.reasons)):
            if value is not None:
                raise UsageError("applies to --method cot", where=option, remedy="add --method cot")
        return None
    if options.form == "natural" and config is not None and not config.has_natural_cot:
        raise ModelError(
            "the model was not trained on chains of thought in natural language",
            where="--form natural",
            remedy="use --form regular",
        )
    only_natural = config is not None and config.has_natural_cot and config.form is None
    form = options.form or ("natural" if only_natural else "regular")
    if form == "natural" and options.reasons is False:
        raise UsageError("natural language always includes reasons", where="--no-reasons", remedy="use --form regular")
    return form


def _reasons(config: ScorerConfig, options: ReadoutOptions, method: str) -> bool:
    """Whether the answer includes reasons: as requested, or as in training."""
    if method != "cot":
        return False
    return config.has_reasons if options.reasons is None else options.reasons


def _numerals(scale: Scale, digits: int, preset: Preset | None) -> tuple[str, ...]:
    try:
        return tuple(short_numerals(*scale) if preset and preset.short else numerals(digits, *scale))
    except ValueError as error:
        raise UsageError(
            str(error), where="--scale/--digits", remedy="use a scale within 0-10 and 1 to 3 digits"
        ) from error


def _warn(config: ScorerConfig | None, options: ReadoutOptions, method: str, preset: Preset | None) -> None:
    decide = ("scale", "digits") if method in _NUMERAL_METHODS else ("scale",)
    names = (*decide, "min_pixels", "max_pixels")
    chosen = {n: getattr(options, n) or getattr(preset, n, None) for n in names}
    if config is None:
        assumed = [f"{n.replace('_', ' ')} {_plain(getattr(ScorerConfig(), n))}" for n in decide if chosen[n] is None]
        if assumed and preset is None:
            flags = " and ".join(f"--{name}" for name in decide)
            log.warning("the model has no realqa.json: assuming %s; set %s to change it", " and ".join(assumed), flags)
        return
    differing = [
        f"{n.replace('_', ' ')} {_plain(chosen[n])} instead of {_plain(getattr(config, n))}"
        for n in names
        if chosen[n] is not None and getattr(config, n) is not None and chosen[n] != getattr(config, n)
    ]
    if differing:
        log.warning("options contradict what the model was trained with: %s", ", ".join(differing))


def _shrunk(image: "Image", limit: int | None) -> "Image":
    return image if limit is None else shrink_to_area(image, limit, Resampling.NEAREST)


def _plain(value: Any) -> str:
    return str(Scale(*value)) if isinstance(value, tuple) else str(value)
