"""LIVE In the Wild: photographs that people rated, and how their ratings become scores from 1 to 5.

Knows the layout of the folder (`labels.csv` with the columns image, mos, std and split; `images/`) and the
scale. Does not know models.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

# The MOS that are scored 1.0 and 5.0; the map between them is linear, and values outside are clipped. People
# use 4 to 93 of the possible 0 to 100, so a map of all of 0 to 100 would leave the ends of 1 to 5 unused.
LOWEST, HIGHEST = 5.0, 89.0


@dataclass(frozen=True)
class Rated:
    """A photograph with the mean and the standard deviation of its ratings, both on 0-100."""

    path: Path
    mos: float
    std: float

    @property
    def score(self) -> float:
        """The MOS on the scale from 1 to 5."""
        return to_score(self.mos)


def to_score(mos: float) -> float:
    """A MOS on 0-100 as a score from 1 to 5."""
    return min(5.0, max(1.0, 1 + 4 * (mos - LOWEST) / (HIGHEST - LOWEST)))


def read_ratings(folder: Path, split: str) -> list[Rated]:
    """The photographs of one split: `train` may be trained on, `dev` is for choosing and judging only."""
    with (folder / "labels.csv").open(newline="") as file:
        return [
            Rated(folder / "images" / row["image"], float(row["mos"]), float(row["std"]))
            for row in csv.DictReader(file)
            if row["split"] == split
        ]
