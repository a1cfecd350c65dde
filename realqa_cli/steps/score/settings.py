"""The settings of `realqa score` and of `Scorer`."""

from dataclasses import dataclass
from typing import Literal

from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.readout import ReadoutSettings

DECODES = ("exact", "greedy")
FORMS = ("regular", "natural")
ENGINES = ("local", "ray")
"""Where models run: on this machine, or on a Ray cluster (inference/ray.py)."""


@dataclass(frozen=True)
class ScoreSettings(ReadoutSettings, InferenceSettings):
    """All settings of scoring; how the model is loaded and asked is described in the base classes.

    seed: of the random thoughts of the method "think".  distribution: whether records contain all
    values with a probability above 1e-6; "all" for those below it, too.
    measured: whether records contain the measurements that `realqa rank` uses.
    frames, fps: which frames of a video are used (`video.Sampling`).  per_frame: whether each is also scored.
    engine: one of `ENGINES`.
    """

    seed: int = 0
    distribution: bool | Literal["all"] = False
    measured: bool = False
    frames: int | None = None
    fps: float | None = None
    per_frame: bool = False
    engine: str = "local"
