"""The settings of `realqa score` and of `Scorer`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from realqa_cli.inference.model_handle import InferenceSettings

DECODES = ("exact", "greedy")
FORMS = ("regular", "natural")
ENGINES = ("local", "ray")
"""Where models run: on this machine, or on a Ray cluster (inference/ray.py)."""


@dataclass(frozen=True)
class ScoreSettings(InferenceSettings):
    """All settings of scoring. None leaves the choice to the model folder.

    method: "direct" prompts for the score alone, "cot" for the attributes first, "levels" for a word, "think" for a
    thought first; "regression" uses a regression head; None is the method that the model was trained for.
    decode: "exact" or "greedy".
    form: of the chain of thought: "regular" or "natural".  reasons: whether it includes reasons.
    preset, preset_file: how a known model is asked (`models.presets`), or the TOML file of a preset.
    prompt, prefix: replace the question and the start of the answer.
    levels: words and their values, best first, for the method "levels"; None spreads them over the scale.
    samples, seed: number of random thoughts of the method "think"; None for the greedy one.
    scale, digits: for models without `realqa.json`.  distribution: whether records contain all values.
    measured: whether records contain the measurements that `realqa rank` uses.
    frames, fps: which frames of a video are used (`video.Sampling`).  per_frame: whether each is also scored.
    engine: one of `ENGINES`.
    """

    method: str | None = None
    decode: str = "exact"
    preset: str | None = None
    preset_file: Path | None = None
    prompt: str | None = None
    prefix: str | None = None
    levels: Mapping[str, float | None] | None = None
    samples: int | None = None
    seed: int = 0
    scale: tuple[float, float] | None = None
    digits: int | None = None
    form: str | None = None
    reasons: bool | None = None
    distribution: bool = False
    measured: bool = False
    frames: int | None = None
    fps: float | None = None
    per_frame: bool = False
    engine: str = "local"
