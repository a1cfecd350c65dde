"""Training objectives: the interface, and the table of those that exist.

An objective selects the conversations that it trains on, collates them, and computes the loss of a model on a
batch. The training loop (steps, log, checkpoints) in trainer.py is the same for all.
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
    """What an objective is constructed from.

    max_length: tokens per row.  takes_mask: whether the model's attention takes a custom mask.
    number_loss: weight of the number-aware loss, 0 to train without it.
    """

    processor: Processor
    spec: DataSpec
    max_length: int
    takes_mask: bool
    number_loss: float = 0.0


@dataclass(frozen=True)
class LossOutput:
    """The loss of a model on a batch.

    total: scalar, summed over the `count` trained labels of the batch; the optimiser minimises the mean over all
    batches of a step.  batch_loss: scalar, a loss that is already a mean over its batch, or None.
    cross_entropy, tokens: summed over the answers, in nats, for the log; 0 and 0 if no answer is written.
    ncm_values: computes the metric of the direct answers, for the log; not valid if the loss is not finite.
    """

    total: Tensor
    count: Tensor
    batch_loss: Tensor | None = None
    cross_entropy: float = 0.0
    tokens: float = 0.0
    ncm_values: Callable[[], Sequence[NcmValue]] = tuple


class Objective(Protocol):
    """What a model is trained for."""

    config_fields: Mapping[str, Any]
    """Fields of `realqa.json` that depend on the objective."""

    def fit(self, model: Any, source: ModelSource, *, new_weights: bool) -> Any:
        """The module that is trained, around the model. new_weights: whether the model starts from scratch."""
        ...

    def check(self, conversations: Sequence[Conversation]) -> list[int]:
        """Validate conversations before training; the tokens of each row, every photo counted as one.

        Raises UsageError with file and line.
        """
        ...

    def collate(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """A batch on the CPU with `labels`, of which -100 is not trained. Raises UsageError."""
        ...

    def loss(self, model: Any, batch: Mapping[str, Any]) -> LossOutput:
        """The loss of `model`, as returned by `fit`, on a batch."""
        ...


OBJECTIVES = {
    "ntp": "realqa_cli.steps.train.objectives.next_token:NextTokenObjective",
    "regression": "realqa_cli.steps.train.objectives.regression_objective:RegressionObjective",
    "levels": "realqa_cli.steps.train.objectives.levels_objective:LevelsObjective",
}
"""Objective name to "module:class"; each class is constructed from an `ObjectiveSetup`."""


def make_objective(name: str, setup: ObjectiveSetup) -> Objective:
    """The objective with that name, one of `OBJECTIVES`."""
    module, _, cls = OBJECTIVES[name].partition(":")
    return cast(Objective, getattr(import_module(module), cls)(setup))


def conversations_for(name: str, conversations: Sequence[Conversation]) -> list[Conversation]:
    """The conversations that the objective trains on: all for ntp, direct answers for the others."""
    return [c for c in conversations if name == "ntp" or c.numeral is not None]
