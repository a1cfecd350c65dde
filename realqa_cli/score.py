"""The step `realqa score`: photos in, one score record each out, in order.

Exact decoding asks the model for the probability of every numeral of its scale and reports the
distribution; greedy decoding reads the number out of the text that plain generation writes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli import __version__, prompts
from realqa_cli.backends import Ask
from realqa_cli.batches import Done, Photo, open_item, open_items, through
from realqa_cli.decoding.slots import Completed, complete
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.loading import ModelSettings
from realqa_cli.manifest import Manifest
from realqa_cli.media import content_id
from realqa_cli.numerals import ScoreDistribution
from realqa_cli.readout import Readout, resolve
from realqa_cli.records import CotRecord, ScoreRecord, error_line
from realqa_cli.self_label import attributes_of, form_of
from realqa_cli.sources import Item

if TYPE_CHECKING:
    from PIL.Image import Image

METHODS = ("direct", "cot")
DECODES = ("exact", "greedy")

_GREEDY_TOKENS = 64
_GREEDY_NUMBER = re.compile(r"score of this (?:image|video) is\s*<?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


@dataclass(frozen=True)
class ScoreSettings(ModelSettings):
    """Everything that decides how photos are scored. None leaves the choice to the model's folder.

    method: "direct" asks for the score alone, "cot" for the attributes first.  decode: "exact" or "greedy".
    scale, digits: for models without `realqa.json`.  distribution: whether records carry all values.
    """

    method: str = "direct"
    decode: str = "exact"
    preset: str | None = None
    scale: tuple[float, float] | None = None
    digits: int | None = None
    distribution: bool = False


@dataclass(frozen=True)
class _Thought:
    """What the chain of thought comes to: the attributes, the score after them, and the one without."""

    answer: Completed
    score: ScoreDistribution
    direct: ScoreDistribution


Outcome = ScoreDistribution | _Thought | str
"""What the model says of a photo; a text is a greedy answer."""


class Scorer:
    """A loaded model that turns photos into score records.

    `Scorer("realqa-tiny").score(["a.jpg", image])` gives the records that the command prints.
    """

    def __init__(self, model: str = ScoreSettings.model, **settings: Any) -> None:
        """Loads the model; `settings` are the fields of `ScoreSettings`. Raises UsageError."""
        self.settings = ScoreSettings(model=model, **settings)
        _check(self.settings)
        source = self.settings.find()
        self.readout: Readout = resolve(source.scorer, self.settings)
        self._form = form_of(source.scorer, reasons=False) if self.settings.method == "cot" else ()
        self._backend = self.settings.load(
            source, min_pixels=self.readout.min_pixels, max_pixels=self.readout.max_pixels
        )
        self.manifest = self._manifest()

    @classmethod
    def from_settings(cls, settings: ScoreSettings) -> "Scorer":
        """The same, from settings that were put together elsewhere."""
        return cls(**vars(settings))

    def score(self, sources: Sequence["str | Path | Image"]) -> list[dict[str, Any]]:
        """One record for each photo, given by path or as an image of Pillow, in order.

        A photo that cannot be scored gives a record with `error`; nothing is raised for it.
        """
        return list(self._lines(_given(index, source) for index, source in enumerate(sources)))

    def records(self, items: Iterable[Item], *, done: Done | None = None) -> Iterator[dict[str, Any]]:
        """One JSON-ready record for each item, in order, as soon as its batch is through.

        An item for which `done(name, content)` is true yields nothing.
        """
        return self._lines(open_items(items, done))

    def _lines(self, photos: Iterable[Photo]) -> Iterator[dict[str, Any]]:
        for photo, outcome in through(photos, self.settings.batch_size, self._ask):
            try:
                if isinstance(outcome, ItemError):
                    raise outcome
                yield self._line(photo, outcome)
            except ItemError as error:
                yield error_line(photo.item, error, content=photo.content, instead_of=ScoreRecord)

    def _ask(self, images: Sequence["Image"]) -> list[Outcome]:
        photos = [self.readout.prepare(image) for image in images]
        direct = [Ask(prompts.DIRECT_QUESTION, (photo,), prompts.DIRECT_PREFIX) for photo in photos]
        if self.settings.decode == "greedy":
            return [*self._backend.answer([replace(ask, prefix="") for ask in direct], _GREEDY_TOKENS)]
        scores = self._distributions(direct, prompts.DIRECT_END)
        if self.settings.method == "direct":
            return [*scores]
        asks = [Ask(prompts.COT_REGULAR_QUESTION, (photo,)) for photo in photos]
        closing = prompts.REGULAR_JOINT + prompts.FINAL_PREFIX
        answers = complete(self._backend, asks, prompts.regular_form(self._form), closing)
        asks = [replace(ask, prefix=a.text + closing) for ask, a in zip(asks, answers, strict=True)]
        finals = self._distributions(asks, prompts.FINAL_END)
        return [_Thought(*parts) for parts in zip(answers, finals, scores, strict=True)]

    def _distributions(self, asks: Sequence[Ask], end: str) -> list[ScoreDistribution]:
        texts = self.readout.numerals
        log_probs_B_V = self._backend.log_probs(asks, texts, end)
        return [ScoreDistribution.from_log_probs(texts, log_probs_V) for log_probs_V in log_probs_B_V]

    def _line(self, photo: Photo, outcome: Outcome) -> dict[str, Any]:
        record = CotRecord if isinstance(outcome, _Thought) else ScoreRecord
        return record.of(
            photo.item,
            **self._found(outcome),
            scale=self.readout.scale,
            method=self.settings.method,
            decode=self.settings.decode,
            run=self.manifest.run,
            content=photo.content,
        ).to_line()

    def _found(self, outcome: Outcome) -> dict[str, Any]:
        if isinstance(outcome, str):
            return self._greedy_fields(outcome)
        if isinstance(outcome, ScoreDistribution):
            return self._exact_fields(outcome, prompts.direct_answer(outcome.mode_text))
        final = prompts.REGULAR_JOINT + prompts.final_sentence(outcome.score.mode_text)
        return self._exact_fields(outcome.score, outcome.answer.text + final) | {
            "attributes": attributes_of(outcome.answer.slots),
            "score_direct": outcome.direct.mean,
        }

    def _exact_fields(self, distribution: ScoreDistribution, text: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "score": distribution.mean,
            "mode": distribution.mode,
            "std": distribution.std,
            "interval": distribution.interval(),
            "mass": distribution.mass,
            "text": text,
        }
        return found | ({"distribution": distribution.pairs()} if self.settings.distribution else {})

    def _greedy_fields(self, text: str) -> dict[str, Any]:
        match = _GREEDY_NUMBER.search(text)
        if match is None:
            raise ItemError(
                f"the answer holds no score: {text[:120]!r}", type="unparsed", remedy="use --decode exact"
            )
        value, (low, high) = float(match[1]), self.readout.scale
        if not low <= value <= high:
            raise ItemError(
                f"the answer's score is outside {low:g}-{high:g}: {text[:120]!r}", type="unparsed"
            )
        return {"score": value, "mode": value, "std": None, "interval": None, "mass": None, "text": text}

    def _prompt(self) -> dict[str, Any]:
        asked = {"question": prompts.DIRECT_QUESTION, "prefix": prompts.DIRECT_PREFIX}
        if self.settings.method == "direct":
            return asked
        return {"question": prompts.COT_REGULAR_QUESTION, "form": list(self._form), "direct": asked}

    def _manifest(self) -> Manifest:
        settings = {
            "method": self.settings.method,
            "decode": self.settings.decode,
            "prompt": self._prompt(),
            **self.readout.settings(),
            **self._backend.settings(),
        }
        environment = {
            "model": self.settings.model,
            "adapter": self.settings.adapter,
            "batch_size": self.settings.batch_size,
            **self._backend.environment(),
            "realqa": __version__,
        }
        return Manifest("score", settings, environment)


def _check(settings: ScoreSettings) -> None:
    settings.check()
    for option, value, known in (
        ("--method", settings.method, METHODS),
        ("--decode", settings.decode, DECODES),
    ):
        if value not in known:
            raise UsageError(
                f"unknown value {value!r}", where=option, remedy=f"use one of: {', '.join(known)}"
            )
    if settings.method != "direct" and settings.decode == "greedy":
        raise UsageError(
            "goes with --method direct only", where="--decode greedy", remedy="use --decode exact"
        )


def _given(index: int, source: "str | Path | Image") -> Photo:
    if isinstance(source, str | Path):
        return open_item(Item(index, str(source), Path(source)))
    image = source.convert("RGB")
    content = content_id(f"{image.size}".encode() + image.tobytes())
    return Photo(Item(index, f"image-{index}", None), content, image)
