"""How a model's scores are read out: method, scale, numerals, pixel bounds. Settled once, before loading.

The model folder's `realqa.json` decides; options win over it with a warning; what neither says
is assumed, with a warning too. A preset stands for a known way of training.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from PIL.Image import Resampling

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
    """A way of training that is not written in a `realqa.json`.

    scale: of the scores.  shrink: photos of a larger area (pixels) are first shrunk to it, by nearest neighbour.
    shrink_frames, fps: the same for the frames of videos, and how many a second are looked at.
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
"""`realqa-release`: the adapters of the paper's authors, trained by a framework that shrinks first."""


METHODS_BY_OBJECTIVE = {
    "ntp": ("direct", "cot", "levels"),
    "levels": ("levels",),
    "regression": ("regression",),
}
"""By which methods a model of each objective can be read out; its own one comes first."""

_OF_NUMERALS = {"direct", "cot"}
"""The methods that weigh numerals, and so have digits."""


class ReadoutOptions(Protocol):
    """The options that concern the read-out."""

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
    def min_pixels(self) -> int | None: ...
    @property
    def max_pixels(self) -> int | None: ...


@dataclass(frozen=True)
class Readout:
    """The settled read-out; `numerals` ascend and lie within `scale`, () for methods without them."""

    method: str
    scale: Scale
    digits: int
    numerals: tuple[str, ...]
    min_pixels: int | None
    max_pixels: int | None
    preset: str | None

    def prepare(self, image: "Image") -> "Image":
        """The photo as the backend gets it: unchanged, but for a preset that shrinks first."""
        return _shrunk(image, PRESETS[self.preset].shrink if self.preset else None)

    def prepare_frame(self, frame: "Image") -> "Image":
        """The same for a frame of a video."""
        return _shrunk(frame, PRESETS[self.preset].shrink_frames if self.preset else None)

    def sampling(self, frames: int | None, fps: float | None) -> Sampling:
        """Which frames of a video are looked at: as asked, or by the preset. Raises UsageError."""
        if frames is None and fps is None and self.preset:
            fps = PRESETS[self.preset].fps
        sampling = Sampling(frames, fps)
        sampling.check()
        return sampling

    def settings(self) -> Mapping[str, Any]:
        """For the manifest; the pixel bounds are the backend's to tell."""
        return {"scale": list(self.scale), "digits": self.digits, "preset": self.preset}


def resolve(scorer: ScorerConfig | None, asked: ReadoutOptions) -> Readout:
    """Settles the read-out from the folder's `realqa.json`, the preset and the options.

    Raises ModelError where the model was trained for another method, UsageError for an unknown preset, a
    scale that the digits cannot write, or options that do not go with the method.
    """
    method = _method(scorer, asked)
    if asked.preset is not None and asked.preset not in PRESETS:
        raise UsageError(f"unknown preset {asked.preset!r}", where="--preset", remedy=f"known: {', '.join(PRESETS)}")
    preset = PRESETS[asked.preset] if asked.preset else None
    _warn(scorer, asked, method, preset)
    told = scorer or ScorerConfig()
    scale = Scale.of(asked.scale or (preset.scale if preset else told.scale))
    digits = asked.digits or (3 if preset and preset.short else told.digits)
    return Readout(
        method=method,
        scale=scale,
        digits=digits,
        numerals=_numerals(scale, digits, preset) if method in _OF_NUMERALS else (),
        min_pixels=asked.min_pixels or (preset.min_pixels if preset else told.min_pixels),
        max_pixels=asked.max_pixels or (preset.max_pixels if preset else told.max_pixels),
        preset=asked.preset,
    )


def _method(scorer: ScorerConfig | None, asked: ReadoutOptions) -> str:
    """The method that was asked for, or the model's own."""
    objective = (scorer or ScorerConfig()).objective
    method = asked.method or METHODS_BY_OBJECTIVE[objective][0]
    if method not in METHODS_BY_OBJECTIVE[objective]:
        what = "was not trained" if objective == "ntp" else f"was trained with the objective {objective!r}, not"
        raise ModelError(
            f"the model {what} for the method {method}",
            where="--method",
            remedy=f"leave it out, or use {' or '.join(METHODS_BY_OBJECTIVE[objective])}",
        )
    if method != "direct" and asked.decode == "greedy":
        raise UsageError("goes with --method direct only", where="--decode greedy", remedy="use --decode exact")
    return method


def _numerals(scale: Scale, digits: int, preset: Preset | None) -> tuple[str, ...]:
    try:
        return tuple(short_numerals(*scale) if preset and preset.short else numerals(digits, *scale))
    except ValueError as error:
        raise UsageError(
            str(error), where="--scale/--digits", remedy="use a scale within 0-10 and 1 to 3 digits"
        ) from error


def _warn(scorer: ScorerConfig | None, asked: ReadoutOptions, method: str, preset: Preset | None) -> None:
    decide = ("scale", "digits") if method in _OF_NUMERALS else ("scale",)
    names = (*decide, "min_pixels", "max_pixels")
    chosen = {n: getattr(asked, n) or getattr(preset, n, None) for n in names}
    if scorer is None:
        assumed = [f"{n.replace('_', ' ')} {_plain(getattr(ScorerConfig(), n))}" for n in decide if chosen[n] is None]
        if assumed and preset is None:
            options = ", ".join(f"--{name}" for name in decide)
            log.warning("the model has no realqa.json: assuming %s (see %s)", " and ".join(assumed), options)
        return
    differing = [
        f"{n.replace('_', ' ')} {_plain(chosen[n])} instead of {_plain(getattr(scorer, n))}"
        for n in names
        if chosen[n] is not None and getattr(scorer, n) is not None and chosen[n] != getattr(scorer, n)
    ]
    if differing:
        log.warning("options contradict what the model was trained with: %s", ", ".join(differing))


def _shrunk(image: "Image", limit: int | None) -> "Image":
    return image if limit is None else shrink_to_area(image, limit, Resampling.NEAREST)


def _plain(value: Any) -> str:
    return str(Scale(*value)) if isinstance(value, tuple) else str(value)
