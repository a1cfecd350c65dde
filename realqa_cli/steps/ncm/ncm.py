"""The step `realqa ncm`: how well a model understands the numbers that it writes, on labelled conversations.

The figures that `realqa train` logs at every step (paper Sec. 3.2), measured without training: the numerical
continuity metric of the direct answers (continuity.py has the definition) and the cross-entropy of all.
What a run's log tells is the matter of training/ncm_log.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.decoding.continuity import NcmValue, mean
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.inference.teacher_forcing.answer_logits import IGNORED, answer_logits
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.data_spec import infer_data_spec
from realqa_cli.inference.teacher_forcing.rows import processor_on_cpu
from realqa_cli.models import ModelSource


@dataclass(frozen=True)
class NcmSettings(ModelSettings):
    """Which model is measured. digits: M of the answers; None leaves it to the conversations."""

    digits: int | None = None
    max_length: int = 2048


def measure_ncm(
    data: Sequence[Conversation],
    settings: NcmSettings,
    *,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """`ncm`, `ncm_star`, `ncm_star_release`, `loss` (nats a token, all answers) and `n` (direct answers).

    `advance` is called for each conversation that is through. Raises UsageError, also for no direct answers.
    """
    settings.check()
    if not any(conversation.numeral for conversation in data):
        raise UsageError("no conversation has a direct answer", remedy="build them with --formats direct")
    source = _find(settings)
    lessons = infer_data_spec(data, source.config, None, settings.digits)
    told = source.config
    low = settings.min_pixels or (told.min_pixels if told else None)
    high = settings.max_pixels or (told.max_pixels if told else None)
    backend = settings.load(source, min_pixels=low, max_pixels=high)
    if not isinstance(backend, HFBackend):
        raise UsageError("needs the model's logits", where="--backend", remedy="use hf")
    collator = Collator(
        processor_on_cpu(source, LoadOptions(min_pixels=low, max_pixels=high), backend.model),
        digits=lessons.digits,
        max_length=settings.max_length,
        takes_mask=backend.takes_mask(),
    )
    found: list[NcmValue] = []
    losses, tokens = 0.0, 0
    for start in range(0, len(data), settings.batch_size):
        part = data[start : start + settings.batch_size]
        metrics, loss, count = _measure(backend.model, collator(part))
        found, losses, tokens = found + metrics, losses + loss, tokens + count
        for _ in part:
            advance()
    if not found:
        raise ModelError(
            "its attention cannot weigh numerals whose digits are merged into one token", where=settings.model
        )
    return {**mean(found), "loss": losses / tokens, "n": len(found)}


def _find(settings: NcmSettings) -> ModelSource:
    source = settings.find()
    if source.config is not None and source.config.objective != "ntp":
        raise ModelError(
            f"the model was trained with the objective {source.config.objective!r}: it writes no numbers",
            where=settings.model,
            remedy="measure one that was trained to write them",
        )
    return source


@torch.inference_mode()
def _measure(model: Any, batch: dict[str, Any]) -> tuple[list[NcmValue], float, int]:
    moved = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    logits = answer_logits(model, moved)
    loss = float(logits.token_losses(moved["labels"]).sum())
    if loss != loss:
        raise ModelError("the model gave no probabilities (NaN)", remedy="try --dtype float32")
    return logits.metrics(batch["spots"]), loss, int((batch["labels"] != IGNORED).sum())
