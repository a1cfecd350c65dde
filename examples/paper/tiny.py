"""The data of --tiny: scenes with known attributes, made of photos, split by photo and never by crop.

The scenes are those that realqa-tiny learns from (`examples/realqa-tiny/scenes.py`), small ones only. Knows
photos and labels; runs no command.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tables import read, say, write

EXAMPLES = Path(__file__).resolve().parent.parent
SAMPLES = EXAMPLES / "photos"
AREAS = {50_176: 1.0}  # pixels: 224 x 224, of all scenes
TEST_SHARE = 1 / 3  # of the photos

sys.path.insert(0, str(EXAMPLES / "realqa-tiny"))


@dataclass(frozen=True)
class Data:
    """Two files of labels, as `realqa annotate` and `realqa self-label` write them, with `mos`."""

    train: Path
    test: Path


def data(options: argparse.Namespace) -> Data:
    """The files of --train and --test; with --tiny, made where they are not given."""
    if options.train and options.test:
        return Data(options.train, options.test)
    if not options.tiny:
        sys.exit("give --train and --test, or --tiny")
    return make(options.work / "scenes", options.photos or SAMPLES, options.scenes)


def add_data(parser: argparse.ArgumentParser) -> None:
    """The options that `data` reads."""
    parser.add_argument("--train", type=Path, metavar="LABELS.jsonl", help="labels to train on")
    parser.add_argument("--test", type=Path, metavar="LABELS.jsonl", help="labels to test on")


def make(folder: Path, photos: Path, count: int) -> Data:
    """`count` scenes to train on and a third as many, of other photos, to test on; what is there is kept."""
    import scene_labels

    done = Data(folder / "train" / "labels.jsonl", folder / "test" / "labels.jsonl")
    if done.train.exists() and len(read(done.train)) == count and done.test.exists():
        return done
    train, test = split(photos)
    say(f"making {count} scenes of {len(train)} photos, and {max(6, count // 3)} of {len(test)} others")
    made = {
        file: _scenes(paths, file.parent, number, seed)
        for seed, (file, paths, number) in enumerate(
            [(done.train, train, count), (done.test, test, max(6, count // 3))]
        )
    }
    usual = scene_labels.fit_quantiles(made[done.train])
    for file, facts in made.items():
        scene_labels.write_labels(facts, usual, file)
        with_two_opinions(file, usual)
    return done


def split(folder: Path) -> tuple[list[Path], list[Path]]:
    """(photos to train on, photos to test on), by a hash of their names; a photo's own copies are left out.

    A file that is named like another with an underscore and a word (bee_blurred.jpg) is a copy of it.
    """
    photos = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")}
    own = [p for stem, p in photos.items() if not any(stem.startswith(f"{other}_") for other in photos)]
    own.sort(key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
    first = max(1, round(len(own) * TEST_SHARE))
    if len(own) < 2:
        sys.exit(f"{folder}: two photos are the least, one to train on and one to test on")
    return own[first:], own[:first]


def _scenes(photos: list[Path], folder: Path, count: int, seed: int) -> list[dict[str, Any]]:
    import scenes
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    facts = []
    for number in range(count):
        pixels, scene = scenes.make_scene(photos, number, seed, AREAS)
        Image.fromarray(pixels).save(folder / f"{number:06d}.png", compress_level=1)
        facts.append({"image": f"{number:06d}.png", **scene})
    return facts


def with_two_opinions(file: Path, usual: dict[str, Any]) -> None:
    """Adds to each label `quality`, damage alone, and `aesthetics`, the mean of the two high-level scores.

    They take the place of a data set of quality and one of aesthetics of the same images; `mos` is the composite.
    """
    import scene_labels

    records = read(file)
    for record in records:
        attributes = record["attributes"]
        record["quality"] = 1 + 4 * scene_labels.quality_rank(record, usual["fidelity"])
        record["aesthetics"] = (attributes["composition"]["score"] + attributes["eye_catching"]["score"]) / 2
    write(file, records)


RANGES = {"mos": [1, 5], "quality": [1, 5], "aesthetics": [1, 10]}


def opinion(labels: Path, name: str) -> Path:
    """The labels with another opinion as their `mos`."""
    records = [record | {"mos": record[name], "mos_range": RANGES[name]} for record in read(labels)]
    return write(labels.with_name(f"{labels.stem}-{name}.jsonl"), records)


def damage(labels: Path, kinds: frozenset[str], name: str) -> Path:
    """The labels of images whose damage is of these kinds only, or that have none."""
    records = [record for record in read(labels) if {kind for kind, _ in record["chain"]} <= kinds]
    return write(labels.with_name(f"{labels.stem}-{name}.jsonl"), records)
