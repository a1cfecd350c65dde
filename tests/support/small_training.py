"""Training runs of a small model that take seconds: settings, log, and one thread for all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from realqa_cli.steps.train.settings import TrainSettings

SMALL = {"min_pixels": 56 * 56, "max_pixels": 84 * 84, "device": "cpu", "batch_size": 2, "accumulate": 2}
"""Settings under which the small model makes a step in some 20 ms."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(base: Path, **more: Any) -> TrainSettings:
    return TrainSettings(model=str(base), **{**SMALL, **more})


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
