"""Judging on real photographs: people's opinion, use of the scale, intervals, blank frames, a contact sheet.

    python examples/realqa-tiny/evaluate_ratings.py --model MODEL --livec LIVEC [--split dev] [--sheet FILE]

Prints JSON. `split` is `dev` (for choosing and judging) or `train` (to see how far the model has learnt).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from blank_frames import blank
from evaluate import VALUES, Judge, correlations
from livec import Rated, read_ratings
from photos import fit, load
from PIL import Image, ImageDraw

Floats = npt.NDArray[np.float64]
DRAWS = 2000  # of the bootstrap
LEVEL = 0.9  # of the interval
BLANKS = 40
SHOWN, COLUMNS, TILE = 20, 5, 200  # photos at each end of the contact sheet; their width in pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--livec", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--split", default="dev", choices=("dev", "train"))
    parser.add_argument("--sheet", type=Path, help="image file to write: the best and the worst photos")
    arguments = parser.parse_args()
    judge = Judge(arguments.model)
    rated = read_ratings(arguments.livec, arguments.split)
    found = distributions(judge, [one.path for one in rated])
    figures = people(found, np.array([one.score for one in rated]))
    print(json.dumps({arguments.split: figures, "blank": blanks(judge)}, indent=2))
    if arguments.sheet:
        contact_sheet(rated, found @ VALUES.numpy(), arguments.sheet)


def distributions(judge: Judge, paths: list[Path]) -> Floats:
    """Probabilities of 1.00 .. 5.00 for each photo: (N, 401)."""
    images = (np.asarray(fit(load(path), *judge.bounds)) for path in paths)
    return np.stack([judge.distribution(image[None])[0].double().numpy() for image in images])


def people(found: Floats, scores: Floats) -> dict[str, Any]:
    """found: (N, 401).  scores: people's, (N,), on the same scale from 1 to 5."""
    values = VALUES.double().numpy()
    means = found @ values
    ends = [
        quantile(found, (1 - LEVEL) / 2),
        quantile(found, (1 + LEVEL) / 2),
    ]
    samples = np.random.default_rng(0).integers(0, len(scores), (DRAWS, len(scores)))
    drawn = np.array([correlations(means[sample], scores[sample]) for sample in samples])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    srcc, plcc = correlations(means, scores)
    within = (ends[0] - 1e-9 <= scores) & (scores <= ends[1] + 1e-9)
    return {
        "photos": len(scores),
        "srcc": srcc, "srcc_low": float(low[0]), "srcc_high": float(high[0]),
        "plcc": plcc, "plcc_low": float(low[1]), "plcc_high": float(high[1]),
        "mean": float(means.mean()), "deviation": float(means.std()),
        "mean_of_people": float(scores.mean()), "deviation_of_people": float(scores.std()),
        "error": float(np.sqrt(((means - scores) ** 2).mean())),
        "interval_holds": float(within.mean()), "interval_width": float((ends[1] - ends[0]).mean()),
    }  # fmt: skip


def quantile(found: Floats, level: float) -> Floats:
    """The value below or at which `level` of each distribution lies: (N,)."""
    return np.asarray(VALUES.double().numpy()[(found.cumsum(axis=1) >= level - 1e-12).argmax(axis=1)])


def blanks(judge: Judge, random: int = BLANKS) -> dict[str, float]:
    """Scores of frames that show nothing: named ones, and the highest of many random ones."""
    named = {name: np.full((420, 560, 3), colour, np.uint8) for name, colour in COLOURS.items()}
    rng = np.random.default_rng(99)
    cap = rng.normal(12, 6, (420, 560, 3)).clip(0, 255).astype(np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 560)[None, :, None], (420, 560, 3)).astype(np.uint8)
    named |= {"lens cap with noise": cap, "gradient": ramp}
    scores = dict(zip(named, judge.scores(named.values()), strict=True))
    others = judge.scores(blank(392, 504, rng) for _ in range(random))
    return {name: round(score, 3) for name, score in scores.items()} | {
        f"highest of {random} random ones": round(max(others), 3)
    }


COLOURS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128),
    "red": (220, 20, 20), "green": (20, 160, 40), "blue": (30, 60, 200),
}  # fmt: skip


def contact_sheet(rated: list[Rated], means: Floats, file: Path) -> None:
    """The best and the worst photos by the model, best first, each with both scores."""
    order = np.argsort(-means)
    chosen = [*order[:SHOWN], *order[-SHOWN:]]
    rows = (len(chosen) + COLUMNS - 1) // COLUMNS
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + 16)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, index in enumerate(chosen):
        x, y = place % COLUMNS * TILE, place // COLUMNS * (TILE + 16)
        photo = load(rated[index].path)
        photo.thumbnail((TILE - 4, TILE - 4))
        sheet.paste(photo, (x, y))
        text = f"{rated[index].path.stem}: {means[index]:.2f}, people {rated[index].score:.2f}"
        draw.text((x + 2, y + TILE), text, fill="black")
    sheet.save(file)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
