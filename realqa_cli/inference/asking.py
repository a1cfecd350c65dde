"""Resolves what a model is asked: the preset, the question, the start of the answer, and the words of levels."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from realqa_cli.domain import levels, prompts
from realqa_cli.domain.prompts import ScoreQuestion
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.models.presets import NO_PRESET, Preset, preset_for, read_preset, read_preset_file
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")

_ASKED = ("direct", "levels", "regression", "think")
"""The methods with a single question, which an option can replace."""


@dataclass(frozen=True)
class AskingSettings:
    """How a model is asked. None leaves the choice to the model folder.

    method: "direct" prompts for the score alone, "cot" for the attributes first, "levels" for a word, "think" for a
    thought first; "regression" uses a regression head; None is the method that the model was trained for.
    preset, preset_file: how a known model is asked (`models.presets`), or the TOML file of a preset.
    prompt, prefix: replace the question and the start of the answer.
    ask: names of the preset's questions to ask, in this order; None for its first one.
    levels: words and their values, best first, for the method "levels"; None spreads them over the scale.
    samples: number of random thoughts of the method "think"; None for the greedy one.
    """

    method: str | None = None
    preset: str | None = None
    preset_file: Path | None = None
    prompt: str | None = None
    prefix: str | None = None
    ask: Sequence[str] | None = None
    levels: Mapping[str, float | None] | None = None
    samples: int | None = None


def chosen_preset(
    options: AskingSettings, config: ScorerConfig | None, model: str, folder: Path | None
) -> Preset | None:
    """The requested preset, or that of a known model without a `realqa.json`, which is said.

    model: the name of the model.  folder: of its weights. Raises UsageError for an unknown or invalid preset.
    """
    if options.preset_file is not None:
        if options.preset is not None:
            what = "--preset and --preset-file are mutually exclusive"
            raise UsageError(what, where="--preset-file", remedy="leave out one of the two")
        return read_preset_file(Path(options.preset_file))
    if options.preset is not None:
        return None if options.preset == NO_PRESET else read_preset(options.preset)
    known = preset_for(model, folder) if config is None else None
    asked_otherwise = options.prompt is not None or options.prefix is not None or options.levels is not None
    if known is None or asked_otherwise or options.method not in (None, known.method):
        return None
    log.warning("%s is asked as by its authors (--preset %s); --preset none asks differently", model, known.name)
    return known


@contextmanager
def explained(model: str) -> Iterator[None]:
    """Adds to the error of a model that cannot be loaded how its authors run it, if a preset knows."""
    try:
        yield
    except ModelError as error:
        known = preset_for(model)
        if known is None or known.run is None:
            raise
        raise ModelError(error.what, where=error.where, remedy=known.run) from error


def asked_questions(
    options: AskingSettings, config: ScorerConfig | None, preset: Preset | None
) -> dict[str, ScoreQuestion]:
    """The questions that `ask` names, in order; {} without it, or where there is a single one, which is said.

    Raises UsageError for a question that the preset does not have, and for a model without a preset.
    """
    if options.ask is None:
        return {}
    for option, text in (("--prompt", options.prompt), ("--prefix", options.prefix)):
        if text is not None:
            what = f"--ask and {option} are mutually exclusive"
            raise UsageError(what, where="--ask", remedy="leave out one of the two")
    if preset is None and config is None:
        remedy = "add --preset NAME; `realqa presets` lists the questions of each"
        raise UsageError("names the questions of a preset, and there is none", where="--ask", remedy=remedy)
    if preset is None or not preset.questions:
        log.warning("the model answers the one question that it has learnt, so --ask changes nothing")
        return {}
    for name in options.ask:
        if name not in preset.questions:
            what = f"the preset {preset.name} has no question {name!r}"
            raise UsageError(what, where="--ask", remedy=f"use some of: {', '.join(preset.questions)}")
    if not options.ask:
        raise UsageError("names no question", where="--ask", remedy=f"use some of: {', '.join(preset.questions)}")
    return {name: preset.question(name) for name in options.ask}


def chosen_question(options: AskingSettings, preset: Preset | None, method: str) -> ScoreQuestion:
    """The question: the preset's or realqa's own for the method, with what the options replace in it.

    Raises UsageError for options that do not fit the method.
    """
    if preset is not None and preset.questions:
        question = preset.question(next(iter(preset.questions)))
    elif method == "levels":
        question = ScoreQuestion(prompts.DIRECT_QUESTION, prompts.LEVEL_PREFIX, prompts.LEVEL_END)
    else:
        question = ScoreQuestion(prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX, prompts.DIRECT_END)
    for option, text in (("--prompt", options.prompt), ("--prefix", options.prefix)):
        if text is not None and method not in _ASKED:
            raise UsageError(f"applies to --method {', '.join(_ASKED)}", where=option, remedy="leave it out")
        if option == "--prompt" and text is not None and not text.strip():
            raise UsageError("is empty", where=option, remedy="give the question")
    if options.prefix is not None and method in ("regression", "think"):
        raise UsageError(f"does not apply to --method {method}", where="--prefix", remedy="leave it out")
    text = question.text if options.prompt is None else options.prompt
    prefix = question.prefix if options.prefix is None else options.prefix
    return ScoreQuestion(text, prefix, question.end)


def level_words(
    trained: ScorerConfig, options: AskingSettings, preset: Preset | None, scale: Scale
) -> dict[str, float]:
    """The value on `scale` of each word, best first: by --levels, the preset, or the model's training.

    Words without values are spread evenly over the scale. Raises UsageError for a value outside the scale.
    """
    if options.levels is not None:
        return _given_words(options.levels, scale)
    if preset is not None and preset.words:
        return {word: scale.from_scale(value, preset.scale) for word, value in preset.words.items()}
    bounds = scale
    if trained.level_bounds is not None:
        bounds = Scale.of([scale.from_scale(bound, trained.scale) for bound in trained.level_bounds])
    return dict(zip(levels.WORDS, levels.level_values(bounds), strict=True))


def _given_words(words: Mapping[str, float | None], scale: Scale) -> dict[str, float]:
    last = len(words) - 1
    found = {}
    for index, (word, value) in enumerate(words.items()):
        found[word] = scale.at((last - index) / last) if value is None else float(value)
        if not scale.low <= found[word] <= scale.high:
            raise UsageError(
                f"the value {found[word]:g} of {word!r} is not on the scale {scale}",
                where="--levels",
                remedy="set --scale",
            )
    return found
