"""Training on real photographs: people's ratings, pseudo-labels by a teacher, and the teacher's features.

    python examples/realqa-tiny/train_on_ratings.py --photos PHOTOS --livec LIVEC --start MODEL --output MODEL
    [--more PHOTOS] [--damage-judge MODEL] [--share-of-start SHARE] [--minutes N N] [--work FOLDER]

Steps: scenes with known attributes (`attribute_rehearsal`); views of all photographs with the teacher's features
(`views`, `teacher`) and their pseudo-labels (`pseudo_labels`); part 1, feature distillation (`distill_features`);
part 2, the language part on cached states (`train_language`); the mean of the result with the model that it
started from, which keeps a part of what the training would forget. A run that was cut off continues where it
stopped: run the same command again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import distill_features
import numpy as np
import torch
import train_language
from attribute_rehearsal import SCENES, label_scenes, remind
from distill_features import distill_features as distill
from export import settle, write_settings
from livec import read_ratings
from photos import split
from pseudo_labels import PseudoLabels
from teacher import fit_summary
from transformers import AutoModelForImageTextToText, AutoTokenizer
from views import View, plan, write_views

CHANGED_VIEWS = 480


@dataclass(frozen=True)
class Recipe:
    """Sizes and settings of all steps. share_of_start: of the weights that the training started from."""

    distill: distill_features.Settings
    language: train_language.Settings
    changed_views: int = CHANGED_VIEWS
    scenes: int = SCENES
    share_of_start: float = 0.0
    processes: int = 2


def train_on_ratings(
    photos: Path,
    livec: Path,
    start: Path,
    output: Path,
    work: Path,
    recipe: Recipe,
    *,
    more: Path | None = None,
    damage_judge: Path | None = None,
    conversations: list[Path] | None = None,
) -> None:
    """Writes the model folder `output`.

    photos, more: folders of photographs without ratings.  start: model folder.  damage_judge: the model folder
    whose scores tell what damage costs (default: `start`).  conversations: conversations about attributes, if made.
    """
    work.mkdir(parents=True, exist_ok=True)
    if conversations is None:
        labels = label_scenes(photos, work, scenes=recipe.scenes, items=recipe.scenes // 3, processes=recipe.processes)
        conversations = remind(labels, work)
    paths = split(photos)["train"]
    if more:
        paths += sorted(p for p in more.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    rated = [(one.path, round(one.score, 4)) for one in read_ratings(livec, "train")]
    tasks = plan(rated, paths, recipe.changed_views)
    views = write_views(tasks, work / "views", damage_judge or start, processes=recipe.processes)
    labels_of_views = PseudoLabels(views)
    agreement = f"penalty {labels_of_views.penalty:g}, PLCC on left-out photos {labels_of_views.agreement:.3f}"
    print(f"teacher: {agreement}", flush=True)
    people = [view for view in views if view.score is not None]
    summary = fit_summary([view.cells() for view in people], np.array([view.score for view in people], float))
    first, second = work / "distilled.pt", work / "language.pt"
    distill(views, labels_of_views, summary, start, first, recipe.distill)
    data = train_language.Data(views, labels_of_views, paths, conversations)
    train_language.train_language(data, start, first, second, recipe.language)
    weights = torch.load(second, weights_only=True)["mean"]
    write_model(weights, start, output, recipe.share_of_start, _trained_on(views))


def _trained_on(views: list[View]) -> str:
    people = len({view.photo for view in views if view.score is not None})
    others = len({view.photo for view in views if view.score is None})
    text = f"people's ratings of {people} photographs (LIVE In the Wild)"
    return f"{text}; {others} other photographs, damage and scenes without ratings"


def write_model(
    weights: dict[str, torch.Tensor], start: Path, output: Path, share_of_start: float, trained_on: str
) -> None:
    """The folder `output`: the architecture and settings of `start`, and a mean of its weights and others.

    share_of_start: of the weights of `start` in the mean, from 0 to 1.
    """
    model = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32)
    before = model.state_dict()
    model.load_state_dict({name: value.lerp(before[name], share_of_start) for name, value in weights.items()})
    for part in (model.config.text_config, model.config.vision_config):
        part.dtype = None  # that of the whole counts
    settle(model, AutoTokenizer.from_pretrained(start), output)
    file: dict[str, Any] = json.loads((start / "realqa.json").read_text())
    write_settings(output, file | {"trained_on": trained_on, "started_from": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of sharp, well-made photographs")
    parser.add_argument("--livec", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--start", type=Path, required=True, help="model folder to start from")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    parser.add_argument("--more", type=Path, help="folder of more photographs")
    parser.add_argument("--work", type=Path, help="folder for data and checkpoints (default: OUTPUT-work)")
    parser.add_argument("--damage-judge", type=Path, help="model folder that tells what damage costs (default: START)")
    parser.add_argument("--share-of-start", type=float, default=0.0, help="of START's weights in the result (0 to 1)")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs=2,
        default=(distill_features.Settings.minutes, train_language.Settings.minutes),
        help="training time of the two parts on the clock",
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--changed-views", type=int, default=CHANGED_VIEWS)
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes whose attributes are asked for")
    arguments = parser.parse_args()
    distilling, language = arguments.minutes
    recipe = Recipe(
        replace(distill_features.Settings(), minutes=distilling, processes=arguments.processes),
        replace(train_language.Settings(), minutes=language, processes=arguments.processes),
        arguments.changed_views,
        arguments.scenes,
        arguments.share_of_start,
        arguments.processes,
    )
    train_on_ratings(
        arguments.photos,
        arguments.livec,
        arguments.start,
        arguments.output,
        arguments.work or arguments.output.parent / f"{arguments.output.name}-work",
        recipe,
        more=arguments.more,
        damage_judge=arguments.damage_judge,
    )


if __name__ == "__main__":
    main()
