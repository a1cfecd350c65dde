"""The same model by ONNX Runtime and by transformers, for comparison."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
from made_videos import pan
from PIL import Image
from process import PHOTOS, ROOT, environment
from safetensors.numpy import load_file, save_file

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.onnx.model import OnnxBackend
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.media.video import Clip

TINY = models.path("realqa-tiny")


NUMERALS = numerals(3, 1, 5)
Both = tuple[OnnxBackend, HFBackend]
Weights = dict[str, Any]


def load(folder: Path | str, **loading: Any) -> Both:
    source = models.find(str(folder))
    onnx, hf = (backends.load(name, source, LoadOptions(**loading)) for name in ("onnx", "hf"))
    assert isinstance(onnx, OnnxBackend)
    assert isinstance(hf, HFBackend)
    return onnx, hf


def export(folder: Path) -> Path:
    """By the command that a person would use."""
    script = ROOT / "examples" / "realqa-tiny" / "export_graph.py"
    command = [sys.executable, str(script), str(folder)]
    subprocess.run(command, check=True, env=environment(), capture_output=True, text=True)
    return folder


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl", "qwen2_vl-merging"])
def random_both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """A model with random weights of each family, and one whose tokenizer merges digits."""
    family, _, merging = request.param.partition("-")
    folder = tmp_path_factory.mktemp("models") / request.param
    return load(export(small_models.write(folder, family, merges_digits=bool(merging))))


def crops(count: int = 20) -> list[Image.Image]:
    """Pieces of the sample photos of 60 to 320 pixels a side."""
    files = sorted(PHOTOS.glob("*.jpg"))
    rng = np.random.default_rng(3)
    found = []
    for index in range(count):
        photo = Image.open(files[index % len(files)]).convert("RGB")
        width, height = rng.integers(60, 320, 2).tolist()
        left, top = (int(rng.integers(0, max(1, side))) for side in (photo.width - width, photo.height - height))
        found.append(photo.crop((left, top, left + width, top + height)))
    return found


def direct_prompts(images: list[Image.Image]) -> list[Prompt]:
    return [Prompt.about(image, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX) for image in images]


def film(count: int) -> Clip:
    frames = tuple(frame.resize((112, 84)) for frame in pan(count))
    return Clip(frames, tuple(1.4 * i for i in range(count)), 1.4 * count, count)


def copied(folder: Path, change: Callable[[Weights], Weights] = dict) -> None:
    """The bundled model without its graphs, with other weights."""
    shutil.copytree(TINY, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("onnx"))
    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
