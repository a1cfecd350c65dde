"""The progress of a training run counts every step, also those between two lines of the log."""

from types import SimpleNamespace
from typing import Any

import pytest

from realqa_cli.steps.train.progress import TrainProgress
from realqa_cli.steps.train.trainer import StepProgress


@pytest.mark.parametrize("done", [0, 3])
def test_the_stage_begins_before_the_first_step_and_each_step_counts(done: int) -> None:
    seen: list[Any] = []
    callback = StepProgress(TrainProgress(lambda name, total: seen.append((name, total)), lambda: seen.append("step")))
    state = SimpleNamespace(max_steps=5, global_step=done)
    callback.on_train_begin(None, state, None)
    assert seen == [("training", 5), *["step"] * done]
    callback.on_step_end(None, state, None)
    assert seen[-1] == "step"
    assert len(seen) == done + 2
