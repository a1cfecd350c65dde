"""Labels: full-reference fidelities -> a score on the 1-5 scale.

Each metric is replaced by its rank among all training windows, so that metrics and families of damage share
one scale. DSS, MDSI and HaarPSI are averaged where detail is lost; DSS is left out where structure is added
(noise, banding, oversharpening), which it judges poorly. Changes of tone have no full-reference price; they
cost a fixed penalty.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from degrade import NOISES

KNOTS = 201
LOWEST, HIGHEST = 1.1, 4.9  # scores of the worst and of the best window
LOCAL = 0.7  # share of a window's own fidelity in its label; the rest is that of the whole image


@dataclass(frozen=True)
class Record:
    """One line of a shard's index; `shard` is the file that holds its pixels."""

    shard: Path
    photo: str
    whole: bool
    offset: int
    height: int
    width: int
    chain: list[tuple[str, float]]
    penalty: float
    windows: list[tuple[int, int, int, int]]
    fidelities: list[list[float]]


def read_records(folder: Path, name: str) -> list[Record]:
    """All items of the shards `name-*`."""
    records = []
    for lines in sorted(folder.glob(f"{name}-*.jsonl")):
        for line in lines.read_text().splitlines():
            fields = json.loads(line)
            del fields["number"]
            records.append(Record(shard=lines.with_suffix(".bin"), **fields))
    return records


def fit_ranks(records: list[Record]) -> npt.NDArray[np.float64]:
    """Quantiles of every metric over all windows, shape (KNOTS, 3)."""
    values = np.concatenate([np.asarray(record.fidelities) for record in records])
    return np.asarray(np.quantile(values, np.linspace(0, 1, KNOTS), axis=0))


def scores(record: Record, quantiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The label of every window, 1.1 to 4.9."""
    fidelities = np.asarray(record.fidelities)
    levels = np.linspace(0, 1, len(quantiles))
    ranks = np.stack([np.interp(fidelities[:, m], quantiles[:, m], levels) for m in range(3)], axis=1)
    adds_structure = any(name in NOISES for name, _ in record.chain)
    rank = ranks[:, 1:].mean(axis=1) if adds_structure else ranks.mean(axis=1)
    rank = LOCAL * rank + (1 - LOCAL) * rank[0]
    score = LOWEST + (HIGHEST - LOWEST) * rank - record.penalty
    return np.asarray(np.clip(score, LOWEST, HIGHEST), np.float32)
