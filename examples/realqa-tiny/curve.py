"""What it costs in judgement, and saves in work, to look at fewer pixels or within windows.

    python examples/realqa-tiny/curve.py --model START --data SHARDS [--items 200]

START is a Qwen2-VL folder (before `windowed`). Every variant judges the same damaged photos, that were never
trained on, without being trained again; the seconds are the processor's, variants taking turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from evaluate import Judge, correlations
from labels import Record, fit_ranks, read_records, scores
from photos import fit, fitted_size
from PIL import Image
from window_attention import FULL, WINDOW, windowed

VARIANTS: dict[str, tuple[tuple[int, ...], int]] = {
    "whole photo": ((0, 1, 2, 3), 224),
    "336, middle blocks whole": (FULL, WINDOW),
    "224, last block whole": ((3,), 224),
    "224": ((), 224),
    "112, last block whole": ((3,), 112),
    "112": ((), 112),
}
"""Name to the blocks that see the whole photo, and the others' window in pixels."""

BOUNDS = (401_408, 200_704, 100_352, 50_176)  # pixels of a photo at most


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="a Qwen2-VL folder")
    parser.add_argument("--data", type=Path, required=True, help="folder with the shards of `windows`")
    parser.add_argument("--items", type=int, default=200, help="damaged photos to judge (default: 200)")
    arguments = parser.parse_args()
    records = read_records(arguments.data, "held")[: arguments.items]
    quantiles = fit_ranks(read_records(arguments.data, "train"))
    truth = [float(scores(record, quantiles)[0]) for record in records]
    judge = Judge(arguments.model)
    images = [_image(record) for record in records]
    area = np.mean([image.width * image.height for image in images])
    print(f"{len(images)} damaged photos, {area:,.0f} pixels on average")
    print("| vision part | pixels at most | SRCC | PLCC | seconds | GFLOP of the vision part at the bound |")
    print("|---|---|---|---|---|---|")
    for name, (full, window) in VARIANTS.items():
        judge.model = windowed(arguments.model, full=full, window=window)
        for bound in BOUNDS:
            seen = [np.asarray(fit(image, 12_544, bound)) for image in images]
            begun = time.process_time()
            found = judge.scores(seen)
            seconds = time.process_time() - begun
            srcc, plcc = correlations(found, truth)
            work = operations(judge.model.config.vision_config, bound) / 1e9
            print(f"| {name} | {bound:,} | {srcc:.3f} | {plcc:.3f} | {seconds:.1f} | {work:.1f} |", flush=True)


def operations(vision: Any, pixels: int) -> float:
    """Floating-point operations of a Qwen2.5-VL's vision part for a square photo: two a multiplication."""
    width, height = fitted_size(round(pixels**0.5), round(pixels**0.5), 1, pixels)
    patches, size, inner = width * height / 14**2, vision.hidden_size, vision.intermediate_size
    within = min(patches, (vision.window_size / 14) ** 2)
    seen = [patches if block in vision.fullatt_block_indexes else within for block in range(vision.depth)]
    blocks = sum(2 * patches * (4 * size**2 + 3 * size * inner + 2 * size * other) for other in seen)
    merged = 4 * size
    return float(blocks + 2 * patches * size * 3 * 2 * 14**2 + patches / 2 * merged * (merged + vision.out_hidden_size))


def _image(record: Record) -> Image.Image:
    shape = (record.height, record.width, 3)
    return Image.fromarray(np.array(np.memmap(record.shard, np.uint8, "r", record.offset, shape)))


if __name__ == "__main__":
    main()
