"""Judging a model folder: exact scores of images, the held-out damage, the ladders of damage, human opinion.

A score here is the mean of the exact distribution over 1.00 .. 5.00 that the model gives after
"The score of this image is ", from one forward pass over a tree of numerals.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from inputs import Conversation, mask, patches, positions
from labels import Record, scores
from photos import fit, load
from PIL import Image, ImageFilter
from scipy import stats
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES

VALUES = torch.arange(100, 501) / 100


class Judge:
    """A model folder that gives exact scores; images are fitted to the folder's pixel bounds first."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.talk = Conversation(self.tokenizer)
        settings = json.loads((folder / "realqa.json").read_text())
        self.bounds = settings["min_pixels"], settings["max_pixels"]
        self.tree = self.talk.full_tree()

    def distribution(self, images: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Probabilities of 1.00 .. 5.00, shape (B, 401).

        images: of one size on the 28-pixel grid, (B, height, width, 3).
        """
        batch, height, width, _ = images.shape
        prompt = self.talk.prompt(height, width)
        length = len(prompt.ids)
        with torch.inference_mode():
            hidden = self.model.model(
                input_ids=torch.tensor([[*prompt.ids, *self.tree.ids]]).repeat(batch, 1),
                pixel_values=patches(images),
                image_grid_thw=torch.tensor([prompt.grid]).repeat(batch, 1),
                attention_mask=mask(length, self.tree).expand(batch, 1, -1, -1),
                position_ids=positions(self.model, prompt, self.tree)[:, None].expand(-1, batch, -1),
                use_cache=False,
            ).last_hidden_state[:, length - 1 :]
            logs = self.model.lm_head(hidden).float().log_softmax(-1)
        first, point, second, third = logs[:, 0], logs[:, 1:6], logs[:, 6:11], logs[:, 11:61]
        digits = torch.tensor(self.talk.digits)
        joint = (
            (first[:, digits[1:6]] + point[:, :, self.talk.point])[:, :, None, None]
            + second[:, :, digits][:, :, :, None]
            + third[:, :, digits].reshape(batch, 5, 10, 10)
        )
        probabilities: torch.Tensor = joint.reshape(batch, 500)[:, :401].softmax(-1)
        return probabilities

    def score(self, image: Image.Image) -> float:
        return self.scores([np.asarray(fit(image, *self.bounds))])[0]

    def scores(self, images: Iterable[npt.NDArray[np.uint8]]) -> list[float]:
        """Mean scores of fitted images or windows of any sizes, one forward pass each."""
        return [float(self.distribution(image[None])[0] @ VALUES) for image in images]

    def write(self, image: Image.Image, tokens: int = 24) -> str:
        """What plain greedy generation answers for a whole photo."""
        features = self.processor(images=image, return_tensors="pt")
        asked = {"type": "text", "text": prompts.DIRECT_QUESTION}
        message: Any = {"role": "user", "content": [{"type": "image"}, asked]}
        text: Any = self.tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        pads = int(features["image_grid_thw"][0].prod()) // 4
        ids = self.tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * pads), return_tensors="pt")
        kinds = (ids["input_ids"] == self.talk.image_pad).int()
        output = self.model.generate(**ids, **features, mm_token_type_ids=kinds, max_new_tokens=tokens)
        return str(self.tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))


def correlations(predicted: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[float, float]:
    """(SRCC, PLCC)."""
    return float(stats.spearmanr(predicted, truth)[0]), float(stats.pearsonr(predicted, truth)[0])


def held_out(
    judge: Judge, records: list[Record], quantiles: npt.NDArray[np.float64]
) -> dict[str, tuple[float, float, int]]:
    """(SRCC, PLCC, number) on whole images of photos never trained on: all, and by first damage."""
    rows: list[tuple[str, float, float]] = []
    maps = {shard: np.memmap(shard, np.uint8, "r") for shard in {record.shard for record in records}}
    for record in records:
        flat = maps[record.shard][record.offset : record.offset + record.height * record.width * 3]
        image = flat.reshape(record.height, record.width, 3)
        name = record.chain[0][0] if record.chain else "none"
        rows.append((name, judge.scores([image])[0], float(scores(record, quantiles)[0])))
    result = {}
    for name in ["all", *sorted({row[0] for row in rows})]:
        chosen = [row for row in rows if name in ("all", row[0])]
        if len(chosen) >= 8:
            result[name] = (*correlations([r[1] for r in chosen], [r[2] for r in chosen]), len(chosen))
    return result


def known_attributes(found: Path, truth: Path) -> dict[str, dict[str, float]]:
    """Self-labels against the scenes' known attributes.

    For each attribute the share that is exact, that is within one class, and that the most usual answer would
    have right; the mean share over the classes, the lower end of its 95 % interval by a bootstrap over the
    scenes, and what chance would give; SRCC of the codes.
    """
    known = {scene["image"]: scene for scene in map(json.loads, truth.read_text().splitlines())}
    pairs = [
        (line["attributes"], known[Path(line["image"]).name]["attributes"])
        for line in map(json.loads, found.read_text().splitlines())
        if line.get("error") is None
    ]
    table = {}
    for key, attribute in ATTRIBUTES.items():
        if not attribute.scored:
            continue
        said, true = np.array([[attribute.code(part[key]) for part in pair] for pair in pairs]).T
        classes = sorted(set(true.tolist()))
        table[key] = {
            "exact": float((said == true).mean()),
            "within_one": float((abs(said - true) <= 1).mean()),
            "usual": max(float((true == code).mean()) for code in classes),
            "mean_of_classes": _mean_of_classes(said, true),
            "mean_of_classes_low": _low(said, true),
            "chance": 1 / len(classes),
            "srcc": correlations(said, true)[0] if len(set(said.tolist())) > 1 else 0.0,
            "scenes": len(true),
        }
    return table


def _mean_of_classes(said: npt.NDArray[np.floating], true: npt.NDArray[np.floating]) -> float:
    """The share that is right of each class that occurs, averaged over the classes."""
    return float(np.mean([(said[true == code] == code).mean() for code in sorted(set(true.tolist()))]))


def _low(said: npt.NDArray[np.floating], true: npt.NDArray[np.floating], draws: int = 1000) -> float:
    """The lower end of the 95 % interval of `_mean_of_classes`."""
    samples = np.random.default_rng(0).integers(0, len(true), (draws, len(true)))
    return float(np.percentile([_mean_of_classes(said[chosen], true[chosen]) for chosen in samples], 2.5))


def knowledge(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float | bool]]:
    """What `realqa.json` says of each attribute, from what `known_attributes` found.

    agreement: the share that is right of each class, averaged over the classes.  chance: what a random answer
    would have.  known: whether the lower end of the agreement's 95 % interval is above chance.
    """
    return {
        key: {
            "agreement": round(row["mean_of_classes"], 3),
            "chance": round(row["chance"], 3),
            "known": row["mean_of_classes_low"] > row["chance"],
        }
        for key, row in table.items()
    }


def _blurred(photo: Image.Image, radius: float) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(radius))


def _compressed(photo: Image.Image, quality: float) -> Image.Image:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=int(quality))
    return Image.open(buffer).convert("RGB")


def _noisy(photo: Image.Image, sigma: float) -> Image.Image:
    grain = np.random.default_rng(0).standard_normal((photo.height, photo.width, 3))
    return Image.fromarray(np.clip(np.rint(np.asarray(photo) + sigma * grain), 0, 255).astype(np.uint8))


LADDERS: dict[str, tuple[Callable[[Image.Image, float], Image.Image], tuple[float, ...]]] = {
    "blur": (_blurred, (0, 1, 2, 4, 8)),  # radius in pixels
    "jpeg": (_compressed, (95, 50, 25, 10, 5)),  # quality
    "noise": (_noisy, (0, 10, 25, 50)),  # sigma of 255
}


def ladders(judge: Judge, paths: list[Path], fitted: bool) -> dict[str, dict[str, list[float]]]:
    """Scores of every photo down every ladder of growing damage.

    fitted: damage the photo at the size at which the model sees it; otherwise at its own, before it is
    fitted.
    """
    table = {}
    for path in paths:
        photo = fit(load(path)) if fitted else load(path)
        table[path.name] = {
            name: [judge.score(damage(photo, level)) for level in levels] for name, (damage, levels) in LADDERS.items()
        }
    return table


def falls(values: list[float]) -> bool:
    """Strictly monotonic."""
    return all(a > b for a, b in itertools.pairwise(values))


def human(judge: Judge, folder: Path, draws: int = 2000) -> dict[str, float]:
    """SRCC and PLCC with human opinion, and 95 % intervals from a bootstrap over sources.

    folder: `labels.csv` with the columns image, mos and source, and `images/`.
    """
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    predicted = np.array([judge.score(load(folder / "images" / row["image"])) for row in rows])
    opinion = np.array([float(row["mos"]) for row in rows])
    source = np.array([row["source"] for row in rows])
    groups = [np.flatnonzero(source == name) for name in sorted(set(source))]
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(draws):
        index = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        samples.append(correlations(predicted[index], opinion[index]))
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    srcc, plcc = correlations(predicted, opinion)
    return {
        "images": len(rows), "sources": len(groups),
        "srcc": srcc, "srcc_low": float(low[0]), "srcc_high": float(high[0]),
        "plcc": plcc, "plcc_low": float(low[1]), "plcc_high": float(high[1]),
    }  # fmt: skip
