"""Conversations about attributes, so that the training on real photographs does not unlearn them.

They are those of `teach`, about scenes whose attributes are known. Only the scores at the end of the chains
of thought differ: there, an undamaged scene was worth 4.9 whatever it shows, and people do not rate
photographs like that. So the scale of the scenes' MOS is drawn together towards 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labels import fit_ranks, read_records
from photos import split
from PIL import Image
from scene_labels import fit_quantiles, is_clear_cut, write_labels
from scenes import write_scenes
from windows import write_shards

Line = dict[str, Any]
SCENES, ITEMS = 2_500, 800  # scenes to make; damaged images that say what fidelity is usual
WORTH = 0.75  # points that a point of a scene's MOS above 1 is worth
MIDDLE, LARGE = 130_000, 300_000  # pixels of a scene; larger ones are left out
LEVELS, SINGLE = 300, 100  # scenes that are asked about level by level, and attribute by attribute
KINDS: dict[str, tuple[Callable[[list[Line], list[Line]], list[Line]], str]] = {
    "mix": (lambda small, all_: all_, "--stage attributes --granularity mix"),
    "levels": (lambda small, all_: small[:LEVELS], "--stage attributes --granularity levels"),
    "attributes": (lambda small, all_: small[-SINGLE:], "--stage attributes --granularity attributes"),
    "scores": (lambda small, all_: all_, "--formats cot,cot-regular"),
}


def label_scenes(photos: Path, work: Path, *, scenes: int = SCENES, items: int = ITEMS, processes: int = 2) -> Path:
    """The label file of scenes of the training photos."""
    paths, folder = split(photos)["train"], work / "scenes"
    write_shards(paths, work / "data", items, processes=processes)
    facts = write_scenes(paths, folder, scenes, seed=1, processes=processes)
    quantiles = fit_quantiles(facts) | {"fidelity": fit_ranks(read_records(work / "data", "train"))}
    file = folder / "labels.jsonl"
    write_labels([scene for scene in facts if is_clear_cut(scene, quantiles)], quantiles, file)
    return file


def remind(labels: Path, work: Path) -> list[Path]:
    """The files of conversations about the scenes of a label file; existing ones are not made again."""
    work.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in labels.read_text().splitlines()]
    for line in lines:
        line["mos"] = round(1 + WORTH * (line["mos"] - 1), 3)
    areas = {line["image"]: _area(labels.parent / line["image"]) for line in lines}
    small = [line for line in lines if areas[line["image"]] < MIDDLE]
    middling = [line for line in lines if MIDDLE <= areas[line["image"]] < LARGE]
    files = []
    for kind, (choose, options) in KINDS.items():
        file = work / f"reminder-{kind}.jsonl"
        files.append(file)
        if not file.exists():
            asked = labels.parent / f"asked-{kind}.jsonl"
            chosen = choose(small, small + middling)
            asked.write_text("".join(json.dumps(line) + "\n" for line in chosen))
            words = ["build-cot", str(asked), *options.split(), "-o", str(file)]
            subprocess.run([sys.executable, "-m", "realqa_cli", *words], check=True)
    return files


def _area(image: Path) -> int:
    with Image.open(image) as opened:
        return opened.width * opened.height
