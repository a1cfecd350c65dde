"""What the facts of a scene are worth: its MOS and nine attributes, as `realqa build-cot` reads them.

Tilt, exposure, saturation and integrity are what was done. Clarity is the rank of what blur, scale and
compression left of the detail, noise counted half; `is_clear_cut` tells whether anybody could name its class.
Clutter, composition and eye-catching are ranks of image statistics (`saliency`), less what the damage
costs them. The MOS is the rank of the fidelity less a fixed price for what no full-reference metric prices.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from degrade import BLURRING, DISPLACED, GRAINS, NOISES

Facts = dict[str, Any]
Quantiles = dict[str, npt.NDArray[np.float64]]
KNOTS = 201
CLARITY = {"very blurry": 0.0, "moderately blurry": 0.25, "moderately clear": 0.5, "very clear": 0.75}
BORDER = 0.05  # scenes whose rank is this near to another class are left out
CUT = {"fully complete": 0, "partially complete": 1, "incomplete": 3}  # points that composition loses
CLUTTER = ("uncluttered", "moderately cluttered", "cluttered")
PENALTY = {
    "overexposed": 1.6,
    "underexposed": 1.6,
    "slightly overexposed": 0.4,
    "slightly underexposed": 0.4,
    "ultra-low": 0.5,
    "ultra-high": 1.2,
    "low": 0.15,
    "high": 0.25,
    "no": 0.15,
    "partially complete": 0.2,
    "incomplete": 0.6,
}
"""Points of the 1-5 scale; an estimate, as no full-reference metric prices these."""


def quality_rank(scene: Facts, quantiles: npt.NDArray[np.float64]) -> float:
    """0 for the worst damage, 1 for none; see `labels`. quantiles: (KNOTS, 3) of the metrics."""
    ranks = _ranks(scene["fidelity"], quantiles)
    names = {name for name, _ in scene["chain"]}
    if not names:
        return 1.0
    if names <= DISPLACED:
        return float(1 - 0.9 * max(severity for _, severity in scene["chain"]))
    return float(np.mean(ranks[1:] if names & NOISES else ranks))


def clarity(scene: Facts, quantiles: npt.NDArray[np.float64]) -> float:
    """0 for the most blurred scene, 1 for a sharp one. quantiles: (KNOTS, 3) of the metrics."""
    clear = float(np.mean(_ranks(scene["detail"], quantiles))) if _blurred(scene) else 1.0
    grain = max((severity for name, severity in scene["chain"] if name in GRAINS), default=0.0)
    return min(clear, 1 - grain / 2)


def _ranks(values: list[float], quantiles: npt.NDArray[np.float64]) -> list[float]:
    """Of each metric's value among what is usual, 0 to 1."""
    levels = np.linspace(0, 1, len(quantiles))
    return [float(np.interp(value, quantiles[:, m], levels)) for m, value in enumerate(values)]


def _blurred(scene: Facts) -> bool:
    return any(name in BLURRING for name, _ in scene["chain"])


def is_clear_cut(scene: Facts, quantiles: Quantiles) -> bool:
    """Whether its clarity is not near the border between two classes."""
    clear = clarity(scene, quantiles["detail"])
    return all(abs(clear - border) >= BORDER for border in [*CLARITY.values()][1:])


def label(scene: Facts, quantiles: Quantiles) -> dict[str, Any]:
    """Its MOS and all attributes but the texts. quantiles: see `fit_quantiles`."""
    rank = quality_rank(scene, quantiles["fidelity"])
    place = {
        name: float(np.interp(value, quantiles[name], np.linspace(0, 1, KNOTS)))
        for name, value in scene["statistics"].items()
    }
    known = scene["attributes"]
    penalty = sum(PENALTY.get(option, 0.0) for option in known.values())
    clear = clarity(scene, quantiles["detail"])
    wrong = (known["level_shot"] == "no") + CUT[known["subject_integrity"]]
    attributes = {
        "composition": {"score": int(np.clip(round(3 + 6 * place["composition"] - wrong), 1, 10))},
        "eye_catching": {"score": int(np.clip(round(4 * place["eye_catching"] + 5.5 * rank - penalty / 2), 1, 10))},
        "subject_clutter": CLUTTER[min(2, int(3 * place["subject_clutter"]))],
        "background_clutter": CLUTTER[min(2, int(3 * place["background_clutter"]))],
        "image_clarity": [option for option, least in CLARITY.items() if clear >= least][-1],
    }
    return {
        "mos": round(float(np.clip(1.1 + 3.8 * rank - penalty, 1.0, 5.0)), 3),
        "mos_range": [1, 5],
        "attributes": attributes | known,
    }


def fit_quantiles(scenes: list[Facts]) -> Quantiles:
    """What is usual: quantiles of damaged scenes' fidelity, of blurred ones' detail, of every statistic."""
    levels = np.linspace(0, 1, KNOTS)
    damaged = np.array([scene["fidelity"] for scene in scenes if scene["chain"]])
    blurred = np.array([scene["detail"] for scene in scenes if _blurred(scene)])
    found = {
        "fidelity": np.quantile(damaged, levels, axis=0),
        "detail": np.quantile(blurred, levels, axis=0),
    }
    for name in scenes[0]["statistics"]:
        found[name] = np.quantile([scene["statistics"][name] for scene in scenes], levels)
    return found


def write_labels(scenes: list[Facts], quantiles: Quantiles, file: Path) -> None:
    """One label record a scene."""
    file.write_text("".join(json.dumps(scene | label(scene, quantiles)) + "\n" for scene in scenes))
