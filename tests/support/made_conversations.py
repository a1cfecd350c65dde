"""Conversations over photos of noise, written as `realqa build-cot` writes them, for the tests of training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.domain import prompts

SIZES = [(60, 90), (120, 70), (90, 64), (64, 64)]


def photo(folder: Path, index: int) -> str:
    """Writes photo `index`, the brighter the higher it is, and returns its name."""
    rng = np.random.default_rng(index)
    height, width = SIZES[index % len(SIZES)]
    noise = rng.integers(0, 128, (height, width, 3)) + min(10 * index, 127)
    Image.fromarray(noise.astype(np.uint8)).save(folder / f"{index}.png")
    return f"{index}.png"


def line(image: str, question: str, answer: str, **more: object) -> dict[str, Any]:
    """One conversation of a question about an image and its answer."""
    turns = [{"role": "user", "content": f"<image>{question}"}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "images": [image], **more}


def direct(image: str, numeral: str, **more: object) -> dict[str, Any]:
    """Q1 and R1."""
    label = {"format": "direct", "mos": float(numeral), "mos_range": [1, 5]}
    return line(image, prompts.DIRECT_QUESTION, prompts.direct_answer(numeral), **{**label, **more})


def cot(image: str, numeral: str) -> dict[str, Any]:
    """Q3 and R3, of two attributes."""
    keys = prompts.arrange(["image_clarity", "composition.score"])
    form = prompts.fill(prompts.regular_form(keys), {"image_clarity": "very clear", "composition.score": "7"})
    answer = form + prompts.REGULAR_JOINT + prompts.final_sentence(numeral)
    return line(image, prompts.COT_REGULAR_QUESTION, answer, format="cot-regular", mos_range=[1, 5])


def write_lines(file: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """The lines as JSON Lines."""
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return file


def write_direct(folder: Path, count: int = 12) -> Path:
    """A file of `count` direct conversations, the brighter the photo the higher the score."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [direct(photo(folder, i), f"{1 + 3.9 * i / max(count - 1, 1):.2f}") for i in range(count)]
    return write_lines(folder / "direct.jsonl", lines)


def load(folder: Path) -> HFBackend:
    """A model folder as the backend that scores with it."""
    found = backends.load("hf", models.find(str(folder)), LoadOptions(device="cpu"))
    assert isinstance(found, HFBackend)
    return found
