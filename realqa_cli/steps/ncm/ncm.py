"""Measures how well a model understands the numbers that it writes, on labelled conversations (`realqa ncm`).

These are the figures that `realqa train` logs at every step (paper Sec. 3.2), measured without training: the
numerical continuity metric of the direct answers (defined in decoding/continuity.py) and the cross-entropy of all
answers. run_log.py summarises the log of a training run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.decoding.continuity import mean_ncm
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference.model_settings import ModelSettings, manages_colors, report_colors
from realqa_cli.inference.processes import ModelProcesses, settings_by_device, worker_devices
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.inference.teacher_forcing.data_spec import infer_data_spec
from realqa_cli.inference.teacher_forcing.measuring import AnswerMeasures, measure_answers
from realqa_cli.inference.teacher_forcing.rows import processor_on_cpu
from realqa_cli.media.decode import DecodeOptions
from realqa_cli.models import ModelSource
from realqa_cli.models.realqa_json import ScorerConfig


@dataclass(frozen=True)
class NcmSettings(ModelSettings):
    """The model and how it is run. digits: M of the answers; None infers it from the conversations."""

    backend: str = "hf"  # the only one that gives logits
    digits: int | None = None
    max_length: int = 2048


def measure_ncm(
    conversations: Sequence[Conversation],
    settings: NcmSettings,
    *,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """`ncm`, `ncm_star`, `ncm_star_release`, `loss` (nats per token, all answers) and `n` (direct answers).

    `advance` is called after each conversation. Raises UsageError, also if there are no direct answers.
    """
    settings.check()
    if not any(conversation.numeral for conversation in conversations):
        raise UsageError(
            "no conversation has a direct answer", remedy="build them with realqa build-cot --formats direct"
        )
    config = _find_source(settings).config
    spec = infer_data_spec(conversations, config, None, settings.digits)
    load = partial(AnswerMeter, digits=spec.digits)
    report_colors(settings, config)
    decode = DecodeOptions(None, manages_colors(settings, config), settings.decode_timeout, settings.decode_memory)
    conversations = [replace(conversation, decode=decode) for conversation in conversations]
    batches = [
        conversations[start : start + settings.batch_size]
        for start in range(0, len(conversations), settings.batch_size)
    ]
    measures = AnswerMeasures()
    for batch, part in zip(batches, _measured(batches, settings, load), strict=True):
        measures.add(part)
        for _ in batch:
            advance()
    if not measures.values:
        raise ModelError(
            "the metric needs a custom attention mask for a tokenizer that merges digits, and this model's attention"
            " takes none",
            where=settings.model,
        )
    return {**mean_ncm(measures.values), "loss": measures.loss / measures.tokens, "n": len(measures.values)}


class AnswerMeter:
    """A loaded model that measures given answers. digits: M of the answers."""

    def __init__(self, settings: NcmSettings, digits: int) -> None:
        """Loads the model. Raises UsageError."""
        source = _find_source(settings)
        config = source.config or ScorerConfig()
        low = settings.min_pixels or config.min_pixels
        high = settings.max_pixels or config.max_pixels
        backend = settings.load(source, min_pixels=low, max_pixels=high, needs={"logits"})
        assert isinstance(backend, HFBackend), "the only backend with this capability"
        self.model = backend.model
        self.collator = Collator(
            processor_on_cpu(source, LoadOptions(min_pixels=low, max_pixels=high), backend.model),
            digits=digits,
            max_length=settings.max_length,
            takes_mask=backend.takes_mask(),
        )

    def measure(self, batch: Sequence[Conversation]) -> AnswerMeasures:
        """The measures of one batch. Raises ModelError if the model gives NaN."""
        return measure_answers(self.model, self.collator, batch, len(batch))


def _measured(
    batches: Sequence[Sequence[Conversation]], settings: NcmSettings, load: Callable[[NcmSettings], AnswerMeter]
) -> Iterator[AnswerMeasures]:
    """The measures of each batch, in order, by this process or by one for each visible GPU."""
    devices = worker_devices(settings)
    if len(devices) < 2:
        yield from map(load(settings).measure, batches)
        return
    processes = ModelProcesses([partial(load, each) for each in settings_by_device(settings, devices)])
    try:
        yield from in_order(partial(processes.call, AnswerMeter.measure), batches, processes.at_once)
    finally:
        processes.close()


def _find_source(settings: NcmSettings) -> ModelSource:
    source = settings.find()
    if source.config is not None and source.config.objective != "ntp":
        raise ModelError(
            f"the model was trained with the objective {source.config.objective!r}, so it writes no numbers",
            where=settings.model,
            remedy="use a model of realqa train --objective ntp",
        )
    return source
