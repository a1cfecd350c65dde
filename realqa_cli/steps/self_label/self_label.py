"""The step `realqa self-label`: photos and videos in, one record each with the ten attributes out, in order.

A model that was trained on attributes labels photos (paper Sec. 3.3, between the two stages). Classes and
integer scores are the most probable of their options, so labels are always well-formed; only reasons are
generated.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from realqa_cli import __version__
from realqa_cli.backends.base import Prompt
from realqa_cli.decoding.attribute_form import AttributeQuestion, attributes_of, confidence_of, form_of, questions_of
from realqa_cli.decoding.freeform import generate_forms, missing_slots
from realqa_cli.decoding.slots import FilledForm, fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import one_of
from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import Finished, OpenedItem, OpenOptions, identify_items, video_reader
from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.model_settings import decode_options, decode_setting
from realqa_cli.inference.pipeline import run_batches
from realqa_cli.inference.processes import open_source
from realqa_cli.inference.ray import RecordSource
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.records import LabelRecord, error_line
from realqa_cli.io.sources import Item
from realqa_cli.media.video import Sampling, VisualInput
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")


def open_labeler(settings: "LabelSettings") -> RecordSource:
    """Loads the model, in one process for each GPU. Raises UsageError."""
    return open_source(settings, SelfLabeler)


@dataclass(frozen=True)
class LabelSettings(InferenceSettings):
    """reasons: whether to generate reasons too, which the model must have been trained to give.

    frames, fps: which frames of a video are used (`video.Sampling`).
    """

    reasons: bool = False
    frames: int | None = None
    fps: float | None = None


class SelfLabeler:
    """A loaded model that turns photos into attribute records."""

    def __init__(self, settings: LabelSettings) -> None:
        """Loads the model. Raises UsageError, also for reasons if the model was trained without them."""
        settings.check()
        self.settings = settings
        sampling = Sampling(settings.frames, settings.fps)
        sampling.check()
        self._handle = settings.handle()
        self._config = config = self._handle.config or ScorerConfig()
        self.form = form_of(self._handle.config, reasons=settings.reasons)
        self._questions = questions_of(self._handle.config, self.form)
        self._backend = self._handle.load(
            min_pixels=settings.min_pixels or config.min_pixels,
            max_pixels=settings.max_pixels or config.max_pixels,
            needs={"log_probs"},
        )
        self.decode = self._backend.decode_mode("exact")
        decoding = decode_options(settings, self._backend, self._handle.config)
        remedy = "use a model of the Qwen-VL families"
        reader = video_reader(sampling, self._backend.frame_transform(), remedy=remedy, options=decoding)
        self._opening = OpenOptions(reader, self._backend.photo_transform(), decoding)
        self.manifest = Manifest(
            "self-label",
            {
                "prompt": {"question": _joined(self._questions), "form": list(self.form)},
                "video": sampling.settings(),
                **self._backend.settings(),
                **decode_setting(settings, self._handle.config),
            },
            {**self._handle.environment(self._backend), "realqa": __version__},
        )

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        """Yields one JSON-ready record for each item, in order; an item that is `done` yields nothing."""
        opened = identify_items(items, done, self._opening)
        plan = self._backend.thread_plan()
        for item, answer in run_batches(opened, self.settings.batch_size, self._predict, plan):
            try:
                if isinstance(answer, ItemError):
                    raise answer
                yield self._record(item, answer)
            except ItemError as error:
                optional = () if self.decode == "greedy" else ("confidence",)
                yield error_line(item.item, error, content=item.content, instead_of=LabelRecord, optional=optional)

    def _record(self, item: OpenedItem, answer: FilledForm) -> dict[str, Any]:
        if not answer.slots:
            what = f"the answer contains no attribute: {answer.text[:120]!r}"
            raise ItemError(what, type="unparsed", where=item.item.name)
        missing = missing_slots(answer, self.form)
        attributes = attributes_of(answer.slots)
        unreliable = self._config.unreliable(attributes)
        return LabelRecord.of(
            item.item,
            attributes=attributes,
            **({"unparsed": missing} if missing else {}),
            **({"unreliable": unreliable} if unreliable else {}),
            annotator={"model": self.manifest.environment["model"]},
            **({} if self.decode == "greedy" else {"confidence": confidence_of(answer.slots)}),
            refined=False,
            run=self.manifest.run,
            content=item.content,
        ).to_line()

    def _predict(self, visual_inputs: Sequence[VisualInput]) -> list[FilledForm]:
        answers = [self._answers(visual_inputs, question) for question in self._questions]
        return [
            FilledForm(
                "\n".join(one.text for one in parts), {k: slot for one in parts for k, slot in one.slots.items()}
            )
            for parts in zip(*answers, strict=True)
        ]

    def _answers(self, visual_inputs: Sequence[VisualInput], question: AttributeQuestion) -> list[FilledForm]:
        batch = [Prompt.about(each, question.text) for each in visual_inputs]
        if self.decode == "greedy":
            return generate_forms(self._backend, batch, question.keys, one_of([prompts.REGULAR_END]))
        return fill_form(self._backend.prefix_cache(), batch, question.form, prompts.REGULAR_END)


def _joined(questions: Sequence[AttributeQuestion]) -> str | list[str]:
    """The text of a single question, or of each."""
    return questions[0].text if len(questions) == 1 else [question.text for question in questions]
