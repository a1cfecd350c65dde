"""realqa-tiny from photos to model folder, in one command that can be interrupted and started again.

    python examples/realqa-tiny/make.py --photos PHOTOS --output MODEL [--work WORK] [--minutes N N]
    [--livec FOLDER] [--more PHOTOS] [--human-mos FOLDER]

Steps: damage the photos and measure each window (photos, degrade, fidelity, windows), turn measurements into
labels (labels), make the tokenizer and the initial weights (words, initialise), train a start that sees
damage (train, export); teach it the attributes and chains of thought by realqa's own commands (teach); train
on photographs that people rated, where there are any (photographs); judge what came of it (evaluate, card).
What a step leaves in WORK is kept and not done twice.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import distill_features
import evaluate
import numpy as np
import train
import train_language
from attribute_rehearsal import remind
from card import card
from export import export, write_settings
from initialise import initialise
from inputs import Conversation
from labels import fit_ranks, read_records
from photos import load, reference, region, split
from tokenizer import save_tokenizer
from train_attributes import judge_scenes, teach
from train_on_ratings import Recipe, train_on_ratings
from windows import SIDE, write_shards

PHOTOS_FOR_START = 60  # whose patches set the strength of the first patterns


def main() -> None:
    arguments = _arguments()
    work: Path = arguments.work or arguments.output.parent / f"{arguments.output.name}-work"
    data, photos = work / "data", split(arguments.photos)
    if not photos["train"]:
        raise SystemExit(f"{arguments.photos} holds no photos to train on")

    write_shards(photos["held_out"], data, arguments.held_out_items, name="held", processes=arguments.threads, seed=1)
    write_shards(photos["train"], data, arguments.items, name="train", processes=arguments.threads)
    records = read_records(data, "train")
    quantiles = fit_ranks(records)

    tokenizer = save_tokenizer(work / "tokenizer")
    model = initialise(tokenizer, _starting_images(photos["train"]))
    windows = train.Windows(records, quantiles)
    effort = {"steps": 0.0, "windows": 0.0, "minutes": 0.0}
    for number, (phase, minutes) in enumerate(zip(train.PHASES, arguments.minutes, strict=True), start=1):
        settings = replace(phase, minutes=minutes, threads=arguments.threads)
        checkpoint = work / f"checkpoint-{number}.pt"
        done = train.train(model, Conversation(tokenizer), windows, photos["train"], settings, checkpoint)
        effort = {name: effort[name] + done[name] for name in effort}
    export(model, tokenizer, work / "start", len(photos["train"]))
    taught = work / "taught" if arguments.livec else arguments.output
    teach(arguments.photos, work / "start", data, taught, work / "conversations", arguments.share)
    if arguments.livec:
        train_on_ratings(
            arguments.photos,
            arguments.livec,
            taught,
            arguments.output,
            work / "ratings",
            Recipe(distill_features.Settings(), train_language.Settings()),
            more=arguments.more,
            conversations=remind(work / "conversations" / "seen" / "labels.jsonl", work / "ratings"),
        )

    figures = _judge(arguments.output, photos, data, quantiles, arguments.human_mos)
    figures["attributes"], figures["scenes"] = judge_scenes(arguments.output, work / "conversations")
    settings = json.loads((arguments.output / "realqa.json").read_text())
    write_settings(arguments.output, settings | {"attributes": evaluate.knowledge(figures["attributes"])})
    figures["training"] = {"photos": len(photos["train"]), "held_photos": len(photos["held_out"])}
    figures["training"] |= {"items": len(records), **effort}
    (work / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (arguments.output / "README.md").write_text(card(figures))
    print(json.dumps({name: figures[name] for name in ("held_out", "ladders_that_fall", "human")}, indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train realqa-tiny from a folder of good photos.")
    parser.add_argument("--photos", type=Path, required=True, help="folder of sharp, well-made photographs")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    parser.add_argument("--work", type=Path, help="folder for data and checkpoints (default: OUTPUT-work)")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs=len(train.PHASES),
        default=[phase.minutes for phase in train.PHASES],
        help="training time of each phase on the clock (default: as for the shipped model)",
    )
    parser.add_argument("--items", type=int, default=15_400, help="degraded images to train on (default: 15400)")
    parser.add_argument("--held-out-items", type=int, default=400, help="degraded images to test on (default: 400)")
    parser.add_argument("--share", type=float, default=1.0, help="of the scenes of `teach` (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="processes for data, threads for training")
    parser.add_argument("--livec", type=Path, help="folder with labels.csv and images/ that people rated")
    parser.add_argument("--more", type=Path, help="folder of more photographs, for the phase on real ones")
    parser.add_argument("--human-mos", type=Path, help="folder with labels.csv and images/, for judging only")
    return parser.parse_args()


def _starting_images(paths: list[Path]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [np.asarray(region(reference(load(path), rng), SIDE, rng)) for path in paths[:PHOTOS_FOR_START]]


def _judge(
    folder: Path, photos: dict[str, list[Path]], data: Path, quantiles: Any, human_mos: Path | None
) -> dict[str, Any]:
    """Every figure of the model card."""
    judge = evaluate.Judge(folder)
    unseen = photos["shipped"] + photos["held_out"]
    figures: dict[str, Any] = {
        "parameters": sum(p.numel() for p in judge.model.parameters()),
        "held_out": evaluate.held_out(judge, read_records(data, "held"), quantiles),
        "sentences": {path.name: judge.write(load(path)) for path in unseen},
        "human": evaluate.human(judge, human_mos) if human_mos else None,
    }
    for name, fitted in (("fitted", True), ("own_size", False)):
        figures[f"ladders_{name}"] = evaluate.ladders(judge, unseen, fitted)
    figures["ladders_that_fall"] = {
        f"{size}, {group}": {
            ladder: [
                sum(evaluate.falls(figures[f"ladders_{size}"][path.name][ladder]) for path in photos[group]),
                len(photos[group]),
            ]
            for ladder in evaluate.LADDERS
        }
        for size in ("fitted", "own_size")
        for group in ("shipped", "held_out")
    }
    return figures


if __name__ == "__main__":
    main()
