"""Photos a second from a folder of 1080p JPEGs: the usual ways against `realqa score`, at several bounds."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from transformers import AutoConfig

from benchmarks import machine, operations, samples
from benchmarks.plain import Plain
from benchmarks.timing import Timed, side_by_side, table
from realqa_cli import models
from realqa_cli.backends.onnx.graphs import ungated
from realqa_cli.errors import RealqaError
from realqa_cli.io.sources import read_sources
from realqa_cli.media.resize import smart_resize
from realqa_cli.steps.score.score import Scorer

LOOP, BATCHED = "`generate`, photo by photo", "`generate`, batches of 8"
PEAKS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WAYS: dict[str, dict[str, Any]] = {
    "tree, hf": {"backend": "hf"},
    "tree, hf, `--jpeg-draft`": {"backend": "hf", "jpeg_draft": True},
    "tree, hf, bfloat16": {"backend": "hf", "dtype": "bfloat16"},
    "tree, hf, bfloat16, `--jpeg-draft`": {"backend": "hf", "dtype": "bfloat16", "jpeg_draft": True},
    "tree, onnx": {"backend": "onnx"},
    "tree, openvino, bfloat16": {"backend": "openvino", "dtype": "bfloat16"},
    "tree, openvino, bfloat16, `--jpeg-draft`": {
        "backend": "openvino",
        "dtype": "bfloat16",
        "jpeg_draft": True,
    },
}


@dataclass(frozen=True)
class Size:
    """One bound of the pixels, and what a 1080p photo within it costs."""

    name: str
    max_pixels: int
    pixels: int
    operations: float

    @classmethod
    def within(cls, name: str, max_pixels: int) -> "Size":
        config: Any = AutoConfig.from_pretrained(models.path("realqa-tiny"))
        side = config.vision_config.patch_size * config.vision_config.spatial_merge_size
        rows, columns = smart_resize(1080, 1920, factor=side, min_pixels=1, max_pixels=max_pixels)
        patches = rows * columns // config.vision_config.patch_size**2
        tokens = patches // config.vision_config.spatial_merge_size**2 + 80  # words and tree
        gates = not ungated(load_file(models.path("realqa-tiny") / "model.safetensors"))
        cost = operations.vision(config, patches, gates=gates) + operations.language(config, tokens, 61)
        return cls(name, max_pixels, rows * columns, cost)


def measure(rounds: int, photos: int, bounds: list[int]) -> str:
    """The section as Markdown; `bounds` in pixels, in addition to the bundled model's own."""
    config = json.loads((models.path("realqa-tiny") / "realqa.json").read_text(encoding="utf-8"))
    sizes = [Size.within("the model's own", config["max_pixels"])]
    sizes += [Size.within(f"{bound // 1000}k", bound) for bound in bounds]
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(samples.large(Path(folder) / "photos", photos).glob("*.jpg"))
        plain = Plain(models.path("realqa-tiny"))
        found = [(size, _of_size(size, plain, files, rounds)) for size in sizes]
    return "\n\n".join([_ratios(found), _shares(found, len(files))])


def _of_size(size: Size, plain: Plain, files: list[Path], rounds: int) -> Timed:
    contestants: dict[str, Callable[[], object]] = {
        LOOP: lambda: plain.generate(files, max_pixels=size.max_pixels),
        BATCHED: lambda: plain.generate(files, max_pixels=size.max_pixels, batch=8),
    }
    for name, options in WAYS.items():
        try:
            scorer = Scorer(max_pixels=size.max_pixels, **options)
        except RealqaError as error:
            print(f"left out: {name}: {error}")
            continue
        contestants[name] = partial(_scored, scorer, files)
    for name, dtype in PEAKS.items():
        contestants[name] = machine.product("cpu", dtype)
    return side_by_side(contestants, rounds, f"throughput, {size.name}")


def _scored(scorer: Scorer, files: list[Path]) -> None:
    records = list(scorer.records(read_sources([str(file) for file in files])))
    assert all("score" in record for record in records), records


def _ratios(found: list[tuple[Size, Timed]]) -> str:
    names = [name for name in found[0][1].seconds if name not in PEAKS]
    rows = []
    for size, timed in found:
        cells = [f"{timed.ratio(LOOP, name):.2f}" for name in names]
        rows.append([size.name, f"{size.pixels:,}", *cells])
    intro = "Photos a second as multiples of the first column's (medians of the rounds' ratios):"
    return f"{intro}\n\n" + table(["bound", "pixels of a photo", *names], rows)


def _shares(found: list[tuple[Size, Timed]], photos: int) -> str:
    names = [name for name in found[0][1].seconds if name not in PEAKS]
    rows = []
    for size, timed in found:
        cells = []
        for name in names:
            peak = "bfloat16" if "bfloat16" in name else "float32"
            share = timed.ratio(peak, name, photos * size.operations / machine.PRODUCT)
            cells.append(f"{share:.0%}")
        rows.append([size.name, f"{size.operations / 1e9:.1f}", *cells])
    intro = (
        "Operations of one photo's forward pass with the tree (vision and language, 10⁹), and the speed at"
        " which they are done, from file to score, as a share of a matrix product's in the same round and"
        " dtype. Counted for all alike: what `onnx` leaves out in the last layer too, what `generate` adds by"
        " decoding and by gates that do nothing not:"
    )
    return f"{intro}\n\n" + table(["bound", "10⁹ operations", *names], rows)
