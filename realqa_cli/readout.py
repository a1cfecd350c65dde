"""How a model's scores are read out: scale, numerals, pixel bounds. Settled once, before loading.

The model folder's `realqa.json` decides; options win over it with a warning; what neither says
is assumed, with a warning too. A preset stands for a known way of training.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from realqa_cli.errors import ModelError, UsageError
from realqa_cli.models.realqa_json import RealqaJson
from realqa_cli.numerals import numerals, short_numerals

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("realqa")


@dataclass(frozen=True)
class Preset:
    """A way of training that is not written in a `realqa.json`.

    shrink: photos of a larger area (pixels) are first shrunk to it, by nearest neighbour.
    short: numerals are written as Python prints rounded floats ("3.9", not "3.90").
    """

    min_pixels: int
    max_pixels: int
    shrink: int | None
    short: bool


PRESETS = {"realqa-release": Preset(min_pixels=200_704, max_pixels=401_408, shrink=512 * 512, short=True)}
"""`realqa-release`: the adapters of the paper's authors, trained by a framework that shrinks first."""


class Asked(Protocol):
    """The options that concern the read-out."""

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
    """The settled read-out; `numerals` ascend and lie within `scale`."""

    scale: tuple[float, float]
    digits: int
    numerals: tuple[str, ...]
    min_pixels: int | None
    max_pixels: int | None
    preset: str | None

    def prepare(self, image: "Image") -> "Image":
        """The photo as the backend gets it: unchanged, but for a preset that shrinks first."""
        limit = PRESETS[self.preset].shrink if self.preset else None
        if limit is None or image.width * image.height <= limit:
            return image
        from PIL import Image as pillow

        factor = math.sqrt(limit / (image.width * image.height))
        size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
        return image.resize(size, pillow.Resampling.NEAREST)

    def settings(self) -> Mapping[str, Any]:
        """For the manifest; the pixel bounds are the backend's to tell."""
        return {"scale": list(self.scale), "digits": self.digits, "preset": self.preset}


def resolve(scorer: RealqaJson | None, asked: Asked) -> Readout:
    """Settles the read-out from the folder's `realqa.json`, the preset and the options.

    Raises ModelError where the model was trained for another objective, UsageError for an unknown
    preset or a scale that the digits cannot write.
    """
    if scorer is not None and scorer.objective != "ntp":
        raise ModelError(
            f"the model was trained with the objective {scorer.objective!r}, not to write scores",
            where="realqa.json",
            remedy="score with a model of the objective ntp",
        )
    if asked.preset is not None and asked.preset not in PRESETS:
        raise UsageError(
            f"unknown preset {asked.preset!r}", where="--preset", remedy=f"known: {', '.join(PRESETS)}"
        )
    preset = PRESETS[asked.preset] if asked.preset else None
    _warn(scorer, asked)
    told = scorer or RealqaJson()
    scale, digits = asked.scale or told.scale, asked.digits or told.digits
    try:
        texts = short_numerals(*scale) if preset and preset.short else numerals(digits, *scale)
    except ValueError as error:
        raise UsageError(
            str(error), where="--scale/--digits", remedy="use a scale within 0-10 and 1 to 3 digits"
        ) from error
    return Readout(
        scale=scale,
        digits=digits,
        numerals=tuple(texts),
        min_pixels=asked.min_pixels or (preset.min_pixels if preset else told.min_pixels),
        max_pixels=asked.max_pixels or (preset.max_pixels if preset else told.max_pixels),
        preset=asked.preset,
    )


def _warn(scorer: RealqaJson | None, asked: Asked) -> None:
    names = ("scale", "digits", "min_pixels", "max_pixels")
    if scorer is None:
        assumed = [
            f"{n.replace('_', ' ')} {_plain(getattr(RealqaJson(), n))}"
            for n in names[:2]
            if getattr(asked, n) is None
        ]
        if assumed:
            log.warning(
                "the model has no realqa.json: assuming %s (see --scale, --digits)", " and ".join(assumed)
            )
        return
    differing = [
        f"{n.replace('_', ' ')} {_plain(getattr(asked, n))} instead of {_plain(getattr(scorer, n))}"
        for n in names
        if getattr(asked, n) is not None
        and getattr(scorer, n) is not None
        and getattr(asked, n) != getattr(scorer, n)
    ]
    if differing:
        log.warning("options contradict what the model was trained with: %s", ", ".join(differing))


def _plain(value: Any) -> str:
    return f"{value[0]:g}-{value[1]:g}" if isinstance(value, tuple) else str(value)
