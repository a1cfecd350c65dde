"""Scores held-out photos during training: SRCC, PLCC and NCM in the log, and the choice of the best weights.

The photos are scored as `realqa score --decode exact` does it. Processes of a distributed run share them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from realqa_cli.backends.base import Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.decoding.continuity import mean_ncm
from realqa_cli.domain import levels, metrics, prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.score_target import ScoreTarget
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.collator import Collator, label_on_scale
from realqa_cli.inference.teacher_forcing.conversations import MARK, Conversation, read_conversations
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.inference.teacher_forcing.measuring import measure_answers
from realqa_cli.io.labels import LabelRow, read_label_rows
from realqa_cli.steps.train.objectives.objective import Objective

_BATCH_SIZE = 4


def read_validation(file: Path, spec: DataSpec) -> list[Conversation]:
    """Conversations with direct answers, or records with `image` and `mos` as direct conversations.

    Raises UsageError, with file and line, for records without a MOS and for fewer than two photos.
    """
    rows = [row for row in read_label_rows(str(file)) if not row.failed]
    if any("messages" in row.record or "conversations" in row.record for row in rows):
        conversations = [one for one in read_conversations([file]) if one.numeral is not None]
        if not conversations:
            what = "no conversation has a direct answer"
            raise UsageError(what, where=str(file), remedy="build them with realqa build-cot --formats direct")
    else:
        conversations = [_conversation(row, spec) for row in rows]
    if len(conversations) < 2:
        raise UsageError("need at least 2 labelled photos for --validation, found 1", where=str(file))
    return conversations


def _conversation(row: LabelRow, spec: DataSpec) -> Conversation:
    if row.error is not None:
        raise UsageError(row.error.what, where=row.where, remedy="correct the line")
    mos, bounds = row.record.get("mos"), row.record.get("mos_range")
    if not isinstance(mos, int | float) or row.path is None:
        remedy = "add it, or leave the line out"
        raise UsageError(
            "the record has no mos" if row.path else "the record has no image", where=row.where, remedy=remedy
        )
    if not Path(row.path).is_file():
        raise UsageError(f"image not found: {row.path}", where=row.where, remedy="correct its path")
    try:
        target = ScoreTarget.of(float(mos), bounds or spec.scale, spec.scale, spec.digits)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error), where=row.where, remedy="state the range as mos_range") from error
    turns = (("user", MARK + prompts.DIRECT_QUESTION), ("assistant", prompts.direct_answer(target.numeral)))
    return Conversation(
        turns, (Path(row.path),), row.where, format="direct", mos=target.mos, mos_range=target.mos_range
    )


@dataclass(frozen=True)
class Validator:
    """Scores the validation photos with the model that is being trained.

    collator: for the numerical continuity metric; None for objectives that write no numbers.
    """

    conversations: Sequence[Conversation]
    backend: HFBackend
    model: Any
    objective_name: str
    objective: Objective
    spec: DataSpec
    collator: Collator | None = None

    def measure(self, process: int = 0, processes: int = 1, *, sharded: bool = False) -> dict[str, float | int | None]:
        """`srcc`, `plcc`, `ncm`, `ncm_star`, `ncm_star_release` and `n`. Called by all processes together.

        sharded: whether the weights are distributed (FSDP2). Every forward pass then gathers weights from all
        processes, so all of them make the same number of passes of the same kind.
        """
        own = list(self.conversations[process::processes])
        filling = 0
        if sharded and len({one.turns[:-1] for one in self.conversations}) > 1:
            own, processes = list(self.conversations), 1  # different questions may need different passes
        elif sharded:
            filling = math.ceil(len(self.conversations) / processes) - len(own)
            own += [self.conversations[0]] * filling
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                pairs, values = self._pairs(own), self._ncm_values(own)
        finally:
            self.model.train(training)
        pairs, values = pairs[: len(own) - filling], values[: max(0, len(values) - filling)]
        if processes > 1:
            from accelerate.utils import gather_object

            pairs, values = gather_object(pairs), gather_object(values)
        scores, labels = zip(*pairs, strict=True)
        return {
            "srcc": _or_none(metrics.srcc, scores, labels),
            "plcc": _or_none(metrics.plcc, scores, labels),
            **mean_ncm(values),
            "n": len(pairs),
        }

    def _pairs(self, conversations: Sequence[Conversation]) -> list[tuple[float, float]]:
        """(score, label) on the model's scale."""
        pairs: list[tuple[float, float]] = []
        for start in range(0, len(conversations), _BATCH_SIZE):
            part = conversations[start : start + _BATCH_SIZE]
            _gather_weights(self.model)
            scores_B = self._scores(part)
            labels_B = [label_on_scale(one, one.numeral or "", self.spec.scale) for one in part]
            pairs += zip(map(float, scores_B), labels_B, strict=True)
        return pairs

    def _scores(self, conversations: Sequence[Conversation]) -> Any:
        """(B,) the expected score of each photo."""
        scale = self.spec.scale
        if self.objective_name == "regression":
            batch = self.objective.collate(conversations)
            inputs = {k: _to(v, self.backend.model.device) for k, v in batch.items() if k != "labels"}
            return scale.at(np.asarray(self.model(**inputs).double().cpu()))
        if self.objective_name == "levels":
            texts, prefix, end = list(levels.WORDS), prompts.LEVEL_PREFIX, prompts.LEVEL_END
            values_V = np.array(levels.level_values(scale))
        else:
            texts, prefix, end = numerals(self.spec.digits, *scale), prompts.DIRECT_PREFIX, prompts.DIRECT_END
            values_V = np.array([float(text) for text in texts])
        batch_prompts = [
            Prompt(one.turns[-2][1].replace(MARK, "").strip(), tuple(one.open_photos()), prefix)
            for one in conversations
        ]
        logs_B_V = self.backend.log_probs(batch_prompts, texts, end)
        shares_B_V = np.exp(logs_B_V - np.logaddexp.reduce(logs_B_V, axis=1, keepdims=True))
        return shares_B_V @ values_V

    def _ncm_values(self, conversations: Sequence[Conversation]) -> list[Any]:
        values: list[Any] = []
        for start in range(0, len(conversations) if self.collator else 0, _BATCH_SIZE):
            part = conversations[start : start + _BATCH_SIZE]
            _gather_weights(self.model)
            assert self.collator is not None
            values += measure_answers(self.backend.model, self.collator, part, _BATCH_SIZE).values
        return values


def _gather_weights(model: Any) -> None:
    """Gathers those weights of a model sharded by FSDP2 that its blocks do not gather themselves.

    Scoring calls parts of the model, such as the vision tower, and FSDP2 does it for calls of the whole only.
    """
    if hasattr(model, "unshard"):
        model.unshard()


def _to(value: Any, device: Any) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _or_none(metric: metrics.Metric, scores: Sequence[float], labels: Sequence[float]) -> float | None:
    """None if the metric has no value, such as for constant scores."""
    try:
        return metric(scores, labels)
    except ValueError:
        return None
