"""Resolves how scores are read from a model: method, scale, numerals and pixel bounds, before it is loaded.

The `realqa.json` of the model folder decides; options override it with a warning; defaults are used with a
warning too. A preset contains the settings of a known way of training. asking.py resolves the question.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL.Image import Resampling

from realqa_cli.backends.base import PhotoTransform
from realqa_cli.domain.numerals import free_numerals, numerals, short_numerals
from realqa_cli.domain.prompts import PLAIN_CHAT, ChatLayout, ScoreQuestion
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.asking import AskingSettings, asked_questions, chosen_question, level_words
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.media.video import Sampling
from realqa_cli.models.presets import Preset, all_presets
from realqa_cli.models.realqa_json import ScorerConfig

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("realqa")


METHODS_BY_OBJECTIVE = {
    "ntp": ("direct", "cot", "levels", "think"),
    "levels": ("levels",),
    "regression": ("regression",),
}
"""The methods for the models of each objective, the default first."""

_NUMERAL_METHODS = {"direct", "cot", "think"}
"""The methods that score numerals, and therefore depend on the digits."""


@dataclass(frozen=True)
class ReadoutSettings(AskingSettings, ModelSettings):
    """How scores are read from a model. None leaves the choice to the model folder.

    decode: "exact" or "greedy".  scale, digits: for models without `realqa.json`.
    form: of the chain of thought: "regular" or "natural".  reasons: whether it includes reasons.
    """

    decode: str = "exact"
    scale: tuple[float, float] | None = None
    digits: int | None = None
    form: str | None = None
    reasons: bool | None = None


@dataclass(frozen=True)
class Readout:
    """The resolved read-out.

    numerals: ascending and within `scale`; () for methods without numerals.
    form: "regular" or "natural" for the method "cot", else None.
    reasons: whether the chain of thought includes reasons.
    question: what is asked.  questions: by name, those that `ask` names, the first of which is `question`.
    layout: how the question is laid out as a chat.
    words: for the method "levels", the value on `scale` of each word, best first; else empty.
    """

    method: str
    scale: Scale
    digits: int
    numerals: tuple[str, ...]
    min_pixels: int | None
    max_pixels: int | None
    preset: Preset | None
    question: ScoreQuestion
    layout: ChatLayout
    form: str | None = None
    reasons: bool = False
    words: Mapping[str, float] = field(default_factory=dict)
    questions: Mapping[str, ScoreQuestion] = field(default_factory=dict)

    def photo_transform(self, transform: PhotoTransform | None) -> PhotoTransform | None:
        """The transform of photos for a backend with this `transform`; a preset may shrink them first."""
        limit = self.preset.shrink if self.preset else None
        if limit is None:
            return transform
        return lambda photo: _shrunk(photo, limit) if transform is None else transform(_shrunk(photo, limit))

    def prepare_frame(self, frame: "Image") -> "Image":
        """The frame of a video before the transform of the backend: shrunk if the preset says so."""
        return _shrunk(frame, self.preset.shrink_frames if self.preset else None)

    def sampling(self, frames: int | None, fps: float | None) -> Sampling:
        """Which frames of a video are used: by the options, or by the preset. Raises UsageError."""
        if frames is None and fps is None and self.preset:
            fps = self.preset.fps
        sampling = Sampling(frames, fps)
        sampling.check()
        return sampling

    def settings(self) -> Mapping[str, Any]:
        """For the manifest; the pixel bounds are among the settings of the backend."""
        own = self.preset is not None and self.preset not in all_presets()
        preset = self.preset and (self.preset.model_dump(mode="json") if own else self.preset.name)
        settings: dict[str, Any] = {"scale": list(self.scale), "digits": self.digits, "preset": preset}
        if self.words:
            settings["words"] = dict(self.words)
        if layout := self.layout.settings():
            settings["layout"] = layout
        return settings | ({} if self.form is None else {"form": self.form, "reasons": self.reasons})


def resolve(config: ScorerConfig | None, options: ReadoutSettings, preset: Preset | None = None) -> Readout:
    """Resolves the read-out from `realqa.json`, the preset and the options.

    Raises ModelError if the model was trained for another method, UsageError for a scale that the digits cannot
    express, or options that do not fit the method or the preset.
    """
    method = _method(config, options, preset)
    trained = config or ScorerConfig()
    values = [value for value in (options.levels or {}).values() if value is not None]
    scale = Scale.of(
        options.scale or (preset.scale if preset else (min(values), max(values)) if values else trained.scale)
    )
    if options.digits and preset and preset.numerals != "fixed":
        raise UsageError("the preset decides how numbers are written", where="--digits", remedy="leave it out")
    digits = options.digits or (3 if preset and preset.numerals != "fixed" else trained.digits)
    _warn(config, options, method, preset, by_words=bool(values))
    questions = asked_questions(options, config, preset)
    return Readout(
        method=method,
        scale=scale,
        digits=digits,
        numerals=_numerals(scale, digits, preset) if method in _NUMERAL_METHODS else (),
        min_pixels=options.min_pixels or (preset and preset.min_pixels) or trained.min_pixels,
        max_pixels=options.max_pixels or (preset and preset.max_pixels) or trained.max_pixels,
        preset=preset,
        question=next(iter(questions.values()), None) or chosen_question(options, preset, method),
        layout=preset.layout if preset else PLAIN_CHAT,
        form=_form(config, options, method),
        reasons=_reasons(trained, options, method),
        words=level_words(trained, options, preset, scale) if method == "levels" else {},
        questions=questions,
    )


def _method(config: ScorerConfig | None, options: ReadoutSettings, preset: Preset | None) -> str:
    """The requested method, that of the preset, or the one that the model was trained for."""
    objective = (config or ScorerConfig()).objective
    own = preset.method if preset else None
    if own is not None and options.method not in (None, own):
        raise UsageError(
            f"the preset is read by --method {own}",
            where=f"--method {options.method}",
            remedy="leave out one of the two",
        )
    by_words = "levels" if options.levels is not None else None
    method = options.method or own or by_words or METHODS_BY_OBJECTIVE[objective][0]
    if method not in METHODS_BY_OBJECTIVE[objective]:
        what = "was not trained" if objective == "ntp" else f"was trained with the objective {objective!r}, not"
        raise ModelError(
            f"the model {what} for the method {method}",
            where="--method" if own is None else "--preset",
            remedy=f"leave it out, or use {' or '.join(METHODS_BY_OBJECTIVE[objective])}",
        )
    if method == "think" and own is None:
        raise UsageError(
            "needs a preset, which says what precedes the number", where="--method think", remedy="add --preset NAME"
        )
    for where, given, fitting in (
        ("--decode greedy", options.decode == "greedy", _NUMERAL_METHODS),
        ("--levels", options.levels is not None, {"levels"}),
        ("--samples", options.samples is not None, {"think"}),
    ):
        if given and method not in fitting:
            names = " and ".join(name for name in METHODS_BY_OBJECTIVE["ntp"] if name in fitting)
            raise UsageError(f"applies to --method {names}", where=where, remedy=_LEAVE_OUT.get(where, "leave it out"))
    return method


_LEAVE_OUT = {"--decode greedy": "use --decode exact"}


def _form(config: ScorerConfig | None, options: ReadoutSettings, method: str) -> str | None:
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


def _reasons(config: ScorerConfig, options: ReadoutSettings, method: str) -> bool:
    """Whether the answer includes reasons: as requested, or as in training."""
    if method != "cot":
        return False
    return config.has_reasons if options.reasons is None else options.reasons


def _numerals(scale: Scale, digits: int, preset: Preset | None) -> tuple[str, ...]:
    try:
        if preset is None or preset.numerals == "fixed":
            return tuple(numerals(digits, *scale))
        return tuple(short_numerals(*scale) if preset.numerals == "short" else free_numerals(*scale))
    except ValueError as error:
        raise UsageError(
            str(error), where="--scale/--digits", remedy="use a scale within 0-10 and 1 to 3 digits"
        ) from error


def _warn(
    config: ScorerConfig | None, options: ReadoutSettings, method: str, preset: Preset | None, *, by_words: bool
) -> None:
    decide = ("scale", "digits") if method in _NUMERAL_METHODS else ("scale",)
    names = (*decide, "min_pixels", "max_pixels")
    chosen = {n: getattr(options, n) or getattr(preset, n, None) for n in names}
    if config is None:
        assumed = [f"{n.replace('_', ' ')} {_plain(getattr(ScorerConfig(), n))}" for n in decide if chosen[n] is None]
        if assumed and preset is None and not by_words:
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
