"""From a scorer that only knows damage to one that reasons over the attributes, by realqa's own commands.

    python examples/realqa-tiny/train_attributes.py --photos PHOTOS --start FOLDER --data SHARDS --output MODEL

The paper's two stages, on scenes whose attributes are known (`scenes`): `realqa build-cot --stage attributes`
and `realqa train` (stage 1, with some direct scores, so that they are not forgotten); `realqa self-label` of scenes
that stage 1 has not seen; `realqa build-cot` and `realqa train` on direct scores and chains of thought
(stage 2). Then the vision part is given windows (`windowed`), and a last phase is on all of it and on ladders
of damage, `together`. What a step leaves in WORK is kept and not done twice; training goes on from its last
checkpoint.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from evaluate import correlations, known_attributes
from labels import fit_ranks, read_records, scores
from photos import split
from PIL import Image
from scene_labels import fit_quantiles, is_clear_cut, write_labels
from scenes import AREAS, write_scenes
from train_mixture import Settings, finish

Line = dict[str, Any]

# For stage 1; for self-labelling and stage 2; for the second part of stage 1.
SCENES = {"seen": (6_500, AREAS), "fresh": (3_500, AREAS), "small": (5_500, {50_176: 0.85, 112_896: 0.15})}
HELD_OUT = 500
WINDOWS = {112: 3_000, 224: 3_500, 448: 1_500}  # of the damaged regions of `windows`, by their side in pixels
SMALL, MIDDLE, LARGE = 60_000, 130_000, 300_000  # pixels of a scene; the largest ones are only scored

# Stage 1: labels asked for all attributes at once, for one level, for one attribute; direct conversations.
MIX_LARGE, LEVELS, SINGLE, REHEARSED = 500, 250, 70, 2_500
# Its second part: small scenes, for more steps in the same time.
MORE_LEVELS, MORE_SINGLE, MORE_REHEARSED = 300, 100, 2_500
# Stage 2: self-labelled scenes, with both chains of thought; known ones, with the regular one; windows.
SELF_LABELLED, MIDDLING, SCORED_WINDOWS = 1_300, 800, 5_500

# The start's vision part holds what the attributes need (a linear probe of its means finds them); trained on,
# it forgets quality before the language part has learnt to read it.
TRAIN = ["--tuning", "full", "--freeze-vision", "--number-loss", "--accumulate", "1", "--group-by-length"]
TRAIN += ["--min-pixels", "12544", "--dtype", "bfloat16", "--weight-decay", "0.05", "--adam-beta2", "0.98"]
STAGES = {
    "stage-1": "--batch-size 16 --epochs 1.5 --learning-rate 1e-3 --warmup 0.05 --number-weight 0.1",
    "stage-1-more": "--batch-size 8 --epochs 3.25 --learning-rate 1e-3 --warmup 0.03 --number-weight 0.1",
    "stage-2": "--batch-size 16 --epochs 1 --learning-rate 7e-4 --warmup 0.03 --number-weight 0.5",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of sharp, well-made photographs")
    parser.add_argument("--start", type=Path, required=True, help="model folder to start from")
    parser.add_argument("--data", type=Path, required=True, help="folder with the shards of `windows`")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    parser.add_argument("--work", type=Path, help="folder for scenes and stages (default: OUTPUT-work)")
    parser.add_argument("--share", type=float, default=1.0, help="of all scenes and windows (default: 1)")
    arguments = parser.parse_args()
    work = arguments.work or arguments.output.parent / f"{arguments.output.name}-work"
    teach(arguments.photos, arguments.start, arguments.data, arguments.output, work, arguments.share)


def teach(photos: Path, start: Path, data: Path, output: Path, work: Path, share: float = 1.0) -> None:
    """Writes `output`. share: of the usual number of scenes and windows, for a quick trial."""
    labels = _label_scenes(photos, data, work, share)
    conversations = _Conversations(work, share)
    windows, seen = _Scenes(_export_windows(data, work / "windows", share)), _Scenes(labels["seen"])

    ordinary, large = seen.between(0, MIDDLE), seen.between(MIDDLE, LARGE)
    narrow = [line for line in windows.lines if line["side"] < max(WINDOWS)]
    conversations.attributes(seen, "mix", ordinary + conversations.some(large, MIX_LARGE))
    conversations.attributes(seen, "levels", conversations.some(ordinary, LEVELS))
    conversations.attributes(seen, "attributes", conversations.some(ordinary[::-1], SINGLE))
    conversations.rehearse(windows, conversations.some(narrow, REHEARSED))
    begun = conversations.train("stage-1", start)

    small, more = seen.between(0, SMALL), _Scenes(labels["small"])
    conversations.attributes(seen, "mix", small)
    conversations.attributes(more, "mix", more.lines)
    conversations.attributes(more, "levels", conversations.some(more.lines, MORE_LEVELS))
    conversations.attributes(more, "attributes", conversations.some(more.lines[::-1], MORE_SINGLE))
    conversations.rehearse(windows, conversations.some(narrow, MORE_REHEARSED))
    stage_1 = conversations.train("stage-1-more", begun)

    fresh = _Scenes(labels["fresh"])
    asked = fresh.write("asked", conversations.some(fresh.between(0, SMALL), SELF_LABELLED))
    self_labels = work / "self-labels.jsonl"
    _realqa("self-label", asked, "--model", stage_1, "--batch-size", 16, "-o", self_labels)
    conversations.build(self_labels, "--formats", "cot,cot-regular")
    conversations.scores(seen, "cot-regular", small)
    conversations.scores(seen, "cot-regular", conversations.some(seen.between(SMALL, LARGE), MIDDLING))
    conversations.scores(fresh, "direct", fresh.between(0, LARGE))
    conversations.rehearse(windows, conversations.some(windows.lines[::-1], SCORED_WINDOWS))
    stage_2 = conversations.train("stage-2", stage_1)
    phase = replace(Settings(), minutes=Settings.minutes * share)
    finish(stage_2, output, split(photos)["train"], data, conversations.of_scenes, phase, work / "last-phase.pt")


def judge_scenes(model: Path, work: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the scenes of unseen photos: how the attributes fare, and (SRCC, PLCC) of both ways to score."""
    known, found = work / "held" / "labels.jsonl", work / "held-scores.jsonl"
    _realqa("score", known, "--model", model, "--method", "cot", "--batch-size", 8, "-o", found)
    lines = [line for line in _read_lines(found) if line.get("error") is None]
    truth = [line["mos"] for line in lines]
    ways = {"direct": "score_direct", "by the chain of thought": "score"}
    scores = {way: correlations([line[field] for line in lines], truth) for way, field in ways.items()}
    return known_attributes(found, known), scores


class _Scenes:
    """A folder of images with `labels.jsonl`; files that are written there name the images as it does."""

    def __init__(self, labels: Path) -> None:
        self.folder, self.lines = labels.parent, _read_lines(labels)

    def between(self, low: int, high: int) -> list[Line]:
        """Those of `low` to `high` pixels."""
        return [line for line in self.lines if low <= _area(self.folder / line["image"]) < high]

    def write(self, name: str, lines: list[Line]) -> Path:
        file = self.folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return file


class _Conversations:
    """The conversations of one stage after the other. share: of the usual number.

    files: what was built since the last stage.  of_scenes: all that was built, but of windows.
    """

    def __init__(self, work: Path, share: float) -> None:
        self.work, self.share = work, share
        self.files: list[Path] = []
        self.of_scenes: list[Path] = []
        self.made = 0

    def some(self, lines: list[Line], count: int) -> list[Line]:
        return lines[: max(1, int(count * self.share))]

    def attributes(self, scenes: _Scenes, granularity: str, lines: list[Line]) -> None:
        """Conversations of stage 1."""
        chosen = scenes.write(f"conversations-{self.made + 1}", lines)
        self.build(chosen, "--stage", "attributes", "--granularity", granularity)

    def scores(self, scenes: _Scenes, formats: str, lines: list[Line]) -> None:
        """Conversations of stage 2."""
        self.build(scenes.write(f"conversations-{self.made + 1}", lines), "--formats", formats)

    def rehearse(self, windows: _Scenes, lines: list[Line]) -> None:
        """Direct scores, so that they are not forgotten."""
        self.files.append(self._built(windows.write(f"conversations-{self.made + 1}", lines), "--formats", "direct"))

    def build(self, labels: Path, *options: str) -> None:
        made = self._built(labels, *options)
        self.files.append(made)
        self.of_scenes.append(made)

    def _built(self, labels: Path, *options: str) -> Path:
        self.made += 1
        file = self.work / f"conversations-{self.made}.jsonl"
        if not file.exists():
            _realqa("build-cot", labels, *options, "-o", file)
        return file

    def train(self, stage: str, start: Path) -> Path:
        """The folder that training on what was built since the last stage makes."""
        folder, files, self.files = self.work / stage, self.files, []
        options = ["--model", start, "--output", folder, "--resume", *TRAIN, *STAGES[stage].split()]
        _realqa("train", *files, *options)
        return folder


def _label_scenes(photos: Path, data: Path, work: Path, share: float) -> dict[str, Path]:
    """The label files of all scenes, by set; `held` is of photos that are never trained on."""
    sets = split(photos)
    made = {
        name: write_scenes(sets["train"], work / name, int(count * share), seed=seed, areas=areas)
        for seed, (name, (count, areas)) in enumerate(SCENES.items(), start=1)
    }
    made["held"] = write_scenes(sets["held_out"], work / "held", int(HELD_OUT * share), seed=9)
    quantiles = fit_quantiles(made["seen"]) | {"fidelity": fit_ranks(read_records(data, "train"))}
    files = {name: work / name / "labels.jsonl" for name in made}
    for name, scenes in made.items():
        write_labels([scene for scene in scenes if is_clear_cut(scene, quantiles)], quantiles, files[name])
    return files


def _export_windows(data: Path, folder: Path, share: float) -> Path:
    """One window of each of many damaged regions as an image, with its score."""
    file = folder / "labels.jsonl"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        records = read_records(data, "train")
        quantiles, rng = fit_ranks(records), np.random.default_rng(5)
        left = {side: int(count * share) for side, count in WINDOWS.items()}
        lines: list[Line] = []
        for index in rng.permutation(len(records)):
            record = records[index]
            sides = [w[2] if w[2] == w[3] else 0 for w in record.windows]
            wanted = [j for j, side in enumerate(sides) if left.get(side, 0) > 0]
            if wanted:
                chosen = max(wanted, key=lambda j: left[sides[j]] / WINDOWS[sides[j]] + 0.01 * rng.random())
                left[sides[chosen]] -= 1
                flat = np.memmap(record.shard, np.uint8, "r", record.offset, (record.height, record.width, 3))
                y, x, height, width = record.windows[chosen]
                name = f"{len(lines):05d}.png"
                window = np.ascontiguousarray(flat[y : y + height, x : x + width])
                Image.fromarray(window).save(folder / name, compress_level=1)
                mos = round(float(scores(record, quantiles)[chosen]), 3)
                lines.append({"image": name, "mos": mos, "mos_range": [1, 5], "side": sides[chosen]})
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def _area(image: Path) -> int:
    with Image.open(image) as opened:
        return opened.width * opened.height


def _realqa(*words: object) -> None:
    print("realqa", *words, flush=True)
    subprocess.run([sys.executable, "-m", "realqa_cli", *map(str, words)], check=True)


def _read_lines(file: Path) -> list[Line]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main()
