"""The step `realqa self-label`: photos and videos in, one record each with the ten attributes out, in order.

The model that has learnt the attributes labels photos by itself (paper Sec. 3.3, between the two
stages). Classes and integer scores are chosen among their options by exact probability, so a label
is well formed for any photo and any weights; only reasons are generated.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realqa_cli import __version__, prompts
from realqa_cli.backends import Ask, frame_fit
from realqa_cli.batches import Done, open_items, through, watcher
from realqa_cli.decoding.slots import Completed, Filled, complete
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.loading import ModelSettings
from realqa_cli.manifest import Manifest
from realqa_cli.models.realqa_json import RealqaJson
from realqa_cli.records import LabelRecord, error_line
from realqa_cli.sources import Item
from realqa_cli.video import Sampling, Sight

log = logging.getLogger("realqa")


@dataclass(frozen=True)
class LabelSettings(ModelSettings):
    """`reasons`: whether free text is generated too, where the model was trained to give it.

    frames, fps: which frames of a video are looked at (video.Sampling).
    """

    reasons: bool = False
    frames: int | None = None
    fps: float | None = None


class Labeller:
    """A loaded model that turns photos into attribute records."""

    def __init__(self, settings: LabelSettings) -> None:
        """Loads the model. Raises UsageError, also where reasons are asked of a model that gives none."""
        settings.check()
        self.settings = settings
        sampling = Sampling(settings.frames, settings.fps)
        sampling.check()
        source = settings.find()
        scorer = source.scorer or RealqaJson()
        self.form = form_of(source.scorer, reasons=settings.reasons)
        self._backend = settings.load(
            source,
            min_pixels=settings.min_pixels or scorer.min_pixels,
            max_pixels=settings.max_pixels or scorer.max_pixels,
        )
        self._watch = watcher(
            sampling, frame_fit(self._backend), remedy="use a model of the Qwen-VL families"
        )
        self.manifest = Manifest(
            "self-label",
            {
                "prompt": {"question": prompts.MIX_QUESTION, "form": list(self.form)},
                "video": sampling.settings(),
                **self._backend.settings(),
            },
            {
                "model": settings.model,
                "adapter": settings.adapter,
                "batch_size": settings.batch_size,
                **self._backend.environment(),
                "realqa": __version__,
            },
        )

    def records(self, items: Iterable[Item], *, done: Done | None = None) -> Iterator[dict[str, Any]]:
        """One JSON-ready record for each item, in order; an item that is `done` yields nothing."""
        opened = open_items(items, done, watch=self._watch)
        for photo, outcome in through(opened, self.settings.batch_size, self._ask):
            if isinstance(outcome, ItemError):
                yield error_line(photo.item, outcome, content=photo.content, instead_of=LabelRecord)
                continue
            yield LabelRecord.of(
                photo.item,
                attributes=attributes_of(outcome.slots),
                annotator={"model": self.settings.model},
                confidence=confidence_of(outcome.slots),
                refined=False,
                run=self.manifest.run,
                content=photo.content,
            ).to_line()

    def _ask(self, images: Sequence[Sight]) -> list[Completed]:
        asks = [Ask.about(image, prompts.MIX_QUESTION) for image in images]
        return complete(self._backend, asks, prompts.regular_form(self.form), prompts.REGULAR_END)


def form_of(scorer: RealqaJson | None, *, reasons: bool) -> tuple[str, ...]:
    """The slots that the model was trained to fill, in its order; without `reasons` those with options.

    A model that does not say so is asked for everything with options, with a warning. Raises
    UsageError for reasons where the model was not trained to give any.
    """
    trained = scorer.form if scorer is not None else None
    if trained is None:
        log.warning("the model was not trained on attributes: its labels are well formed, but guesses")
        trained = prompts.arrange(prompts.SLOTS)
    elif reasons and not any(prompts.SLOTS[key].free for key in trained):
        raise UsageError(
            "the model was trained without reasons",
            where="--reasons",
            remedy="leave it out or use another model",
        )
    return tuple(key for key in trained if reasons or not prompts.SLOTS[key].free)


def attributes_of(slots: Mapping[str, Filled]) -> dict[str, Any]:
    """The record's `attributes` from filled slots: parts of one attribute are put together."""
    found: dict[str, Any] = {}
    for key, filled in slots.items():
        attribute, _, part = key.partition(".")
        if part:
            found.setdefault(attribute, {})[part] = filled.value
        else:
            found[attribute] = filled.value
    return found


def confidence_of(slots: Mapping[str, Filled]) -> dict[str, float]:
    """How sure the model is of each attribute that was chosen among options, 0 to 1."""
    return {
        prompts.SLOTS[key].attribute.key: filled.confidence
        for key, filled in slots.items()
        if filled.confidence is not None
    }
