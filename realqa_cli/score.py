"""The step `realqa score`: photos in, one score record each out, in order.

Exact decoding asks the model for the probability of every numeral of its scale and reports the
distribution; greedy decoding reads the number out of the text that plain generation writes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli import __version__, backends, models, prompts
from realqa_cli.backends import Ask
from realqa_cli.batches import Done, Photo, open_item, open_items, through
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.manifest import Manifest
from realqa_cli.media import content_id
from realqa_cli.numerals import ScoreDistribution
from realqa_cli.readout import Readout, resolve
from realqa_cli.records import ScoreRecord, error_line
from realqa_cli.sources import Item

if TYPE_CHECKING:
    from PIL.Image import Image

METHODS = ("direct",)
DECODES = ("exact", "greedy")

_GREEDY_TOKENS = 64
_GREEDY_NUMBER = re.compile(r"score of this (?:image|video) is\s*<?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


@dataclass(frozen=True)
class ScoreSettings:
    """Everything that decides how photos are scored. None leaves the choice to the model's folder.

    batch_size: photos a forward pass.  min_pixels, max_pixels: bounds of the area a photo is resized to.
    scale, digits: for models without `realqa.json`.  distribution: whether records carry all values.
    """

    model: str = models.BUNDLED[0]
    adapter: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    backend: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    method: str = "direct"
    decode: str = "exact"
    preset: str | None = None
    batch_size: int = 4
    min_pixels: int | None = None
    max_pixels: int | None = None
    scale: tuple[float, float] | None = None
    digits: int | None = None
    distribution: bool = False


class Scorer:
    """A loaded model that turns photos into score records.

    `Scorer("realqa-tiny").score(["a.jpg", image])` gives the records that the command prints.
    """

    def __init__(self, model: str = ScoreSettings.model, **settings: Any) -> None:
        """Loads the model; `settings` are the fields of `ScoreSettings`. Raises UsageError."""
        self.settings = ScoreSettings(model=model, **settings)
        _check(self.settings)
        source = models.find(
            self.settings.model,
            adapter=self.settings.adapter,
            revision=self.settings.revision,
            trust_remote_code=self.settings.trust_remote_code,
        )
        self.readout: Readout = resolve(source.scorer, self.settings)
        self._backend = backends.load(
            self.settings.backend,
            source,
            backends.Loading(
                device=self.settings.device,
                dtype=self.settings.dtype,
                quantize=self.settings.quantize,
                min_pixels=self.readout.min_pixels,
                max_pixels=self.readout.max_pixels,
                trust_remote_code=self.settings.trust_remote_code,
            ),
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

    def _ask(self, images: Sequence["Image"]) -> list["ScoreDistribution | str"]:
        """What the model says of the photos: distributions, or the greedy answers' texts."""
        asks = [Ask(prompts.DIRECT_QUESTION, (self.readout.prepare(image),)) for image in images]
        if self.settings.decode == "greedy":
            return [*self._backend.answer(asks, _GREEDY_TOKENS)]
        texts = self.readout.numerals
        asks = [replace(ask, prefix=prompts.DIRECT_PREFIX) for ask in asks]
        log_probs_B_V = self._backend.log_probs(asks, texts, prompts.DIRECT_END)
        return [ScoreDistribution.from_log_probs(texts, log_probs_V) for log_probs_V in log_probs_B_V]

    def _line(self, photo: Photo, outcome: "ScoreDistribution | str") -> dict[str, Any]:
        if isinstance(outcome, ScoreDistribution):
            found = self._exact_fields(outcome)
        else:
            found = self._greedy_fields(outcome)
        return ScoreRecord.of(
            photo.item,
            **found,
            scale=self.readout.scale,
            method=self.settings.method,
            decode=self.settings.decode,
            run=self.manifest.run,
            content=photo.content,
        ).to_line()

    def _exact_fields(self, distribution: ScoreDistribution) -> dict[str, Any]:
        found: dict[str, Any] = {
            "score": distribution.mean,
            "mode": distribution.mode,
            "std": distribution.std,
            "interval": distribution.interval(),
            "mass": distribution.mass,
            "text": prompts.direct_answer(distribution.mode_text),
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

    def _manifest(self) -> Manifest:
        settings = {
            "method": self.settings.method,
            "decode": self.settings.decode,
            "prompt": {"question": prompts.DIRECT_QUESTION, "prefix": prompts.DIRECT_PREFIX},
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
    for option, value, known in (
        ("--method", settings.method, METHODS),
        ("--decode", settings.decode, DECODES),
    ):
        if value not in known:
            raise UsageError(
                f"unknown value {value!r}", where=option, remedy=f"use one of: {', '.join(known)}"
            )
    for option, count in (
        ("--batch-size", settings.batch_size),
        ("--min-pixels", settings.min_pixels),
        ("--max-pixels", settings.max_pixels),
    ):
        if count is not None and count < 1:
            raise UsageError(f"must be at least 1, not {count}", where=option)


def _given(index: int, source: "str | Path | Image") -> Photo:
    if isinstance(source, str | Path):
        return open_item(Item(index, str(source), Path(source)))
    image = source.convert("RGB")
    content = content_id(f"{image.size}".encode() + image.tobytes())
    return Photo(Item(index, f"image-{index}", None), content, image)
