"""The step `realqa score`: photos and videos in, one score record each out, in order.

How a score is read out is the matter of `methods`, how videos are looked at that of `watching`; here both are
opened, asked about in batches, and turned into records.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli import __version__
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.inference.inputs import IsDone, OpenedItem, OpenOptions, identify_item, identify_items
from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.model_settings import decode_options, decode_setting
from realqa_cli.inference.readout import Readout, resolve
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.records import error_line
from realqa_cli.io.sources import Item, kind_by_suffix
from realqa_cli.media.files import content_id
from realqa_cli.steps.score.method import METHODS, MethodContext, make_method
from realqa_cli.steps.score.videos import InputScorer

if TYPE_CHECKING:
    from PIL.Image import Image

    from realqa_cli.inference.ray import RayEngine

DECODES = ("exact", "greedy")
ENGINES = ("local", "ray")
"""Where models run: in this process, or on a Ray cluster (ray_engine.py)."""


@dataclass(frozen=True)
class ScoreSettings(InferenceSettings):
    """Everything that decides how photos are scored. None leaves the choice to the model's folder.

    method: "direct" asks for the score alone, "cot" for the attributes first, "levels" for a word;
    "regression" takes the value of a regression head; None is what the model was trained for.
    decode: "exact" or "greedy".
    scale, digits: for models without `realqa.json`.  distribution: whether records carry all values.
    frames, fps: which frames of a video are looked at (video.Sampling).  per_frame: each is scored too.
    engine: one of `ENGINES`.
    """

    method: str | None = None
    decode: str = "exact"
    preset: str | None = None
    scale: tuple[float, float] | None = None
    digits: int | None = None
    distribution: bool = False
    frames: int | None = None
    fps: float | None = None
    per_frame: bool = False
    engine: str = "local"


class Scorer:
    """A loaded model that turns photos into score records.

    `Scorer("realqa-tiny").score(["a.jpg", image])` gives the records that the command prints.
    """

    def __init__(self, model: str = ScoreSettings.model, **settings: Any) -> None:
        """Loads the model; `settings` are the fields of `ScoreSettings`. Raises UsageError."""
        self.settings = ScoreSettings(model=model, **settings)
        _check(self.settings)
        self._asked = self.settings.asked()
        self.readout: Readout = resolve(self._asked.config, self.settings)
        self._backend = self._asked.load(
            min_pixels=self.readout.min_pixels,
            max_pixels=self.readout.max_pixels,
            weigh=self.settings.decode != "greedy",
        )
        context = MethodContext(
            self._backend,
            self.readout,
            self._asked.config,
            self._backend.decode_mode(self.settings.decode),
            self.settings.distribution,
        )
        self._method = make_method(self.readout.method, context)
        self._viewer = InputScorer(
            self._method,
            self.readout,
            self.readout.sampling(self.settings.frames, self.settings.fps),
            self._backend.frame_transform(),
            per_frame=self.settings.per_frame,
            batch_size=self.settings.batch_size,
            photo_transform=self._backend.photo_transform(),
            decode_options=decode_options(self.settings, self._backend),
        )
        self.manifest = self._manifest()

    @classmethod
    def from_settings(cls, settings: ScoreSettings) -> "Scorer":
        """The same, from settings that were put together elsewhere."""
        return cls(**vars(settings))

    def score(self, sources: Sequence["str | Path | Image"]) -> list[dict[str, Any]]:
        """One record for each photo or video, given by path or as an image of Pillow, in order.

        What cannot be scored gives a record with `error`; nothing is raised for it.
        """
        opening = self._viewer.opening()
        return list(self._lines(_given(index, source, opening) for index, source in enumerate(sources)))

    def records(self, items: Iterable[Item], *, done: IsDone | None = None) -> Iterator[dict[str, Any]]:
        """One JSON-ready record for each item, in order, as soon as its batch is through.

        An item for which `done(name, content)` is true yields nothing.
        """
        return self._lines(identify_items(items, done, self._viewer.opening()))

    def _lines(self, photos: Iterable[OpenedItem]) -> Iterator[dict[str, Any]]:
        for photo, outcome in self._asked.through(self._backend, photos, self._viewer.read):
            try:
                if isinstance(outcome, ItemError):
                    raise outcome
                yield self._line(photo, outcome)
            except ItemError as error:
                yield error_line(photo.item, error, content=photo.content, instead_of=self._method.record)

    def _line(self, photo: OpenedItem, found: Mapping[str, Any]) -> dict[str, Any]:
        return self._method.record.of(
            photo.item,
            **found,
            scale=self.readout.scale,
            method=self.readout.method,
            decode=self._method.decode,
            run=self.manifest.run,
            content=photo.content,
        ).to_line()

    def _manifest(self) -> Manifest:
        settings = {
            "method": self.readout.method,
            "decode": self._method.decode,
            "prompt": self._method.prompt,
            "video": self._viewer.settings(),
            **self.readout.settings(),
            **self._backend.settings(),
            **decode_setting(self.settings),
        }
        environment = {**self._asked.environment(self._backend), "realqa": __version__}
        return Manifest("score", settings, environment)


def open_scorer(settings: ScoreSettings) -> "Scorer | RayEngine":
    """The engine of the settings with its models loaded. Raises UsageError."""
    _check(settings)
    if settings.engine == "local":
        return Scorer.from_settings(settings)
    if settings.server is not None:
        raise UsageError("distributes models, not requests", where="--engine ray", remedy="leave it out")
    settings.find()  # reports a faulty model before a cluster is started
    from realqa_cli.inference.ray import RayEngine

    return RayEngine(partial(Scorer.from_settings, replace(settings, engine="local")), batch_size=settings.batch_size)


def _check(settings: ScoreSettings) -> None:
    settings.check()
    for option, value, known in (
        ("--method", settings.method, (None, *METHODS)),
        ("--decode", settings.decode, DECODES),
        ("--engine", settings.engine, ENGINES),
    ):
        if value not in known:
            raise UsageError(
                f"unknown value {value!r}",
                where=option,
                remedy=f"use one of: {', '.join(filter(None, known))}",
            )


def _given(index: int, source: "str | Path | Image", opening: OpenOptions) -> OpenedItem:
    if isinstance(source, str | Path):
        return identify_item(Item(index, str(source), Path(source), kind=kind_by_suffix(str(source))), opening)
    image = source.convert("RGB")
    content = content_id(f"{image.size}".encode() + image.tobytes())
    return OpenedItem(Item(index, f"image-{index}", None), content, load=lambda: opening.transformed(image))
