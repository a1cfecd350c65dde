"""Chooses the photographs of LIVE In the Wild that ship as `examples/livec-sample`.

    python examples/realqa-tiny/livec_sample.py --livec LIVEC --output examples/livec-sample [--count 40]

The choice is a function of the ratings of the split `dev` only: its photographs are sorted by MOS and every
n-th one is taken, so that the sample covers the whole range. No photograph of `dev` is in any training set.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from livec import Rated, read_ratings


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--livec", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=40, help="photographs to take (default: 40)")
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    chosen = evenly(read_ratings(arguments.livec, "dev"), arguments.count)
    lines = []
    for rated in chosen:
        shutil.copyfile(rated.path, output / rated.path.name)
        line = {"image": rated.path.name, "mos": round(rated.mos, 2), "mos_range": [0, 100]}
        lines.append(json.dumps(line) + "\n")
    (output / "mos.jsonl").write_text("".join(lines))


def evenly(rated: list[Rated], count: int) -> list[Rated]:
    """`count` of the photographs, evenly spaced in the order of their MOS, the lowest first."""
    ordered = sorted(rated, key=lambda one: (one.mos, one.path.name))
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


if __name__ == "__main__":
    main()
