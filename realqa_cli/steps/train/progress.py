"""What a training run reports while it works."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainProgress:
    """Callbacks of the main process.

    stage: called with the name of a stage and the number of its items, or None if that is unknown.
    advance: called after each item of a stage.
    on_step: called with every line of the log as it is written, and the number of steps of the run.
    """

    stage: Callable[[str, int | None], None] = lambda name, total: None
    advance: Callable[[], None] = lambda: None
    on_step: Callable[[Mapping[str, Any], int], None] = lambda record, steps: None


SILENT = TrainProgress()
"""Reports nothing."""
