"""The private methods of `transformers.Trainer` that we override still exist and are still called."""

import inspect

import pytest
from transformers import Trainer

from realqa_cli.steps.train.trainer import PRIVATE_HOOKS, ScoreTrainer

MOVED = "transformers moved or changed Trainer.{}: adapt realqa_cli/steps/train/trainer.py"


@pytest.mark.parametrize("name", PRIVATE_HOOKS)
def test_transformers_still_calls_each_private_hook(name: str) -> None:
    assert hasattr(Trainer, name), MOVED.format(name)
    assert f"self.{name}" in inspect.getsource(Trainer), MOVED.format(name)


@pytest.mark.parametrize("name", PRIVATE_HOOKS)
def test_our_signature_accepts_what_transformers_passes(name: str) -> None:
    theirs = inspect.signature(getattr(Trainer, name)).parameters
    ours = inspect.signature(getattr(ScoreTrainer, name)).parameters
    assert [*ours] == [*theirs], MOVED.format(name)


def test_no_other_private_method_is_overridden() -> None:
    private = {name for name in vars(ScoreTrainer) if name.startswith("_") and not name.startswith("__")}
    assert {name for name in private if hasattr(Trainer, name)} == set(PRIVATE_HOOKS)
