"""The step `realqa self-label`: photos and videos in, one record each with the ten attributes out, in order.

The model that has learnt the attributes labels photos by itself (paper Sec. 3.3, between the two
stages). Classes and integer scores are chosen among their options by exact probability, so a label
is well formed for any photo and any weights; only reasons are generated.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from realqa_cli import __version__
from realqa_cli.backends.base import Prompt
from realqa_cli.decoding.attribute_form import attributes_of, confidence_of, form_of
from realqa_cli.decoding.freeform import generate_forms, missing_slots
from realqa_cli.decoding.slots import FilledForm, fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.grammar import one_of
from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import IsDone, OpenedItem, OpenOptions, identify_items, video_reader
from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.model_settings import decode_options, decode_setting
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.records import LabelRecord, error_line
from realqa_cli.io.sources import Item
from realqa_cli.media.video import Sampling, VisualInput
from realqa_cli.models.realqa_json import ScorerConfig

log = logging.getLogger("realqa")


@dataclass(frozen=True)
class LabelSettings(InferenceSettings):
    """`reasons`: whether free text is generated too, where the model was trained to give it.

    frames, fps: which frames of a video are looked at (video.Sampling).
    """

    reasons: bool = False
    frames: int | None = None
    fps: float | None = None


class SelfLabeler:
    """A loaded model that turns photos into attribute records."""

    def __init__(self, settings: LabelSettings) -> None:
        """Loads the model. Raises UsageError, also where reasons are asked of a model that gives none."""
        settings.check()
        self.settings = settings
        sampling = Sampling(settings.frames, settings.fps)
        sampling.check()
        self._asked = settings.asked()
        scorer = self._asked.config or ScorerConfig()
        self.form = form_of(self._asked.config, reasons=settings.reasons)
        self._backend = self._asked.load(
            min_pixels=settings.min_pixels or scorer.min_pixels,
            max_pixels=settings.max_pixels or scorer.max_pixels,
            weigh=True,
        )
        self.decode = self._backend.decode_mode("exact")
        watch = video_reader(sampling, self._backend.frame_transform(), remedy="use a model of the Qwen-VL families")
        self._opening = OpenOptions(watch, self._backend.photo_transform(), decode_options(settings, self._backend))
        self.manifest = Manifest(
            "self-label",
            {
                "prompt": {"question": prompts.MIX_QUESTION, "form": list(self.form)},
                "video": sampling.settings(),
                **self._backend.settings(),
                **decode_setting(settings),
            },
            {**self._asked.environment(self._backend), "realqa": __version__},
        )

    def records(self, items: Iterable[Item], *, done: IsDone | None = None) -> Iterator[dict[str, Any]]:
        """One JSON-ready record for each item, in order; an item that is `done` yields nothing."""
        found = identify_items(items, done, self._opening)
        for photo, outcome in self._asked.through(self._backend, found, self._ask):
            try:
                if isinstance(outcome, ItemError):
                    raise outcome
                yield self._line(photo, outcome)
            except ItemError as error:
                yield error_line(photo.item, error, content=photo.content, instead_of=LabelRecord)

    def _line(self, photo: OpenedItem, found: FilledForm) -> dict[str, Any]:
        if not found.slots:
            what = f"the answer tells no attribute: {found.text[:120]!r}"
            raise ItemError(what, type="unparsed", where=photo.item.name)
        left_out = missing_slots(found, self.form)
        return LabelRecord.of(
            photo.item,
            attributes=attributes_of(found.slots),
            **({"unparsed": left_out} if left_out else {}),
            annotator={"model": self.manifest.environment["model"]},
            **({} if self.decode == "greedy" else {"confidence": confidence_of(found.slots)}),
            refined=False,
            run=self.manifest.run,
            content=photo.content,
        ).to_line()

    def _ask(self, images: Sequence[VisualInput]) -> list[FilledForm]:
        batch = [Prompt.about(image, prompts.MIX_QUESTION) for image in images]
        if self.decode == "greedy":
            return generate_forms(self._backend, batch, self.form, one_of([prompts.REGULAR_END]))
        return fill_form(self._backend.prefix_cache(), batch, prompts.regular_form(self.form), prompts.REGULAR_END)
