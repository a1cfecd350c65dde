"""What a model learns from conversations: one module an objective, chosen by name.

An objective says which conversations it learns from, what a batch of them holds, and what a model loses on
it. How a run goes on (steps, log, checkpoints) is the matter of score_trainer.py, alike for all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from torch import Tensor

from realqa_cli.backends.hf.processor import Processor
from realqa_cli.decoding.continuity import NcmValue
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.models import ModelSource


@dataclass(frozen=True)
class ObjectiveSetup:
    """What an objective has to work with.

    max_length: of a row, in tokens.  takes_mask: whether the model's attention takes a mask of our own.
    number_loss: the weight of the loss by which near misses of numbers cost less; 0: without it.
    """

    processor: Processor
    lessons: DataSpec
    max_length: int
    takes_mask: bool
    number_loss: float = 0.0


@dataclass(frozen=True)
class LossOutput:
    """What a model loses on a batch.

    total: scalar, summed over the `count` things that the batch's labels count; minimised is its mean over
    all batches of a step.  more: scalar, a loss that is a mean over its batch, or None.
    cross_entropy, tokens: of the answers, in nats, for the log; 0 and 0 where nothing is written.
    metrics: gives those of the direct answers, for the log; not to be called where the loss is no number.
    """

    total: Tensor
    count: Tensor
    more: Tensor | None = None
    cross_entropy: float = 0.0
    tokens: float = 0.0
    metrics: Callable[[], Sequence[NcmValue]] = tuple


class Objective(Protocol):
    """One thing to learn."""

    told: Mapping[str, Any]
    """What `realqa.json` says of a model that learnt it, beside what it says of every one."""

    def fit(self, model: Any, source: ModelSource, *, afresh: bool) -> Any:
        """The module that is trained, around the model; `afresh` where its weights are new."""
        ...

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """Finds before training what cannot be trained; the tokens of each row, photos counted once.

        Raises UsageError with file and line.
        """
        ...

    def collate(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """A batch on the CPU with `labels`, of which those that are not -100 count. Raises UsageError."""
        ...

    def loss(self, model: Any, batch: Mapping[str, Any]) -> LossOutput:
        """What `model`, as `fit` made it, loses on a batch."""
        ...


OBJECTIVES = {
    "ntp": "realqa_cli.steps.train.objectives.next_token:NextTokenObjective",
    "regression": "realqa_cli.steps.train.objectives.regression_objective:RegressionObjective",
    "levels": "realqa_cli.steps.train.objectives.levels_objective:LevelsObjective",
}
"""Objective name to "module:class"; each class is made of a `ObjectiveSetup`."""


def make_objective(name: str, setup: ObjectiveSetup) -> Objective:
    """The objective of that name, which must be one of `OBJECTIVES`."""
    module, _, cls = OBJECTIVES[name].partition(":")
    return cast(Objective, getattr(import_module(module), cls)(setup))


def conversations_for(name: str, conversations: Sequence[Conversation]) -> list[Conversation]:
    """Those that the objective learns from: all for ntp, for the others the direct answers."""
    return [c for c in conversations if name == "ntp" or c.numeral is not None]
