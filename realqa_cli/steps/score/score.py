"""The step `realqa score`: photos and videos in, one score record each out, in order.

method.py defines how a score is read from the model, videos.py how videos are scored. This module opens the
items, runs them through the model in batches, and makes their records.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from realqa_cli import __version__
from realqa_cli.backends.base import Capability
from realqa_cli.domain.numerals import ScoreDistribution
from realqa_cli.domain.standing import DECIDED
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.inference.asking import chosen_preset, explained
from realqa_cli.inference.inputs import Finished, OpenedItem, OpenOptions, identify_items
from realqa_cli.inference.keyword_settings import settings_from
from realqa_cli.inference.model_settings import decode_options, decode_setting
from realqa_cli.inference.pipeline import run_batches
from realqa_cli.inference.processes import open_source
from realqa_cli.inference.python_inputs import PhotoSource, is_single, length_of, python_items
from realqa_cli.inference.ray import RayEngine, RecordSource
from realqa_cli.inference.readout import Readout, resolve
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.records import error_line
from realqa_cli.io.sources import Item
from realqa_cli.media.measurements import VERSION as MEASUREMENTS
from realqa_cli.media.video import Clip, VisualInput
from realqa_cli.models.reference import reference_for
from realqa_cli.steps.score.method import METHODS, MethodContext, Prediction, make_method
from realqa_cli.steps.score.results import (
    Comparison,
    Progress,
    ScoreResult,
    ScoreResults,
    report_progress,
    thumbnail_of,
)
from realqa_cli.steps.score.settings import DECODES, ENGINES, FORMS
from realqa_cli.steps.score.settings import ScoreSettings as ScoreSettings
from realqa_cli.steps.score.videos import VideoScorer

if TYPE_CHECKING:
    from PIL.Image import Image


class Scorer:
    """A loaded model that turns photos into score records.

    `Scorer("realqa-tiny").score("a.jpg")` gives the record that the command prints, and
    `Scorer().score(["a.jpg", image])` a list of such records.
    """

    def __init__(self, model: "str | os.PathLike[str]" = ScoreSettings.model, **settings: Any) -> None:
        """Loads the model; `settings` are fields of `ScoreSettings`.

        Raises UsageError for an unknown setting or an unusable value, ModelError if the model cannot be loaded.
        """
        self._load(settings_from(ScoreSettings, {"model": os.fspath(model), **settings}))

    @classmethod
    def from_settings(cls, settings: ScoreSettings) -> "Scorer":
        """Loads the model of complete settings, whose types are not checked again."""
        scorer = cls.__new__(cls)
        scorer._load(settings)
        return scorer

    def _load(self, settings: ScoreSettings) -> None:
        _check(settings)
        self.settings = settings
        with explained(self.settings.model):
            self._handle = self.settings.handle()
            config = self._handle.config
            preset = chosen_preset(self.settings, config, self._handle.name, self._handle.folder)
            self.readout: Readout = resolve(config, self.settings, preset)
            self._backend = self._handle.load(
                min_pixels=self.readout.min_pixels,
                max_pixels=self.readout.max_pixels,
                needs=self._needs(),
            )
        context = MethodContext(
            self._backend,
            self.readout,
            self._handle.config,
            self._backend.decode_mode(self.settings.decode),
            self.settings.samples,
            self.settings.seed,
        )
        self._method = make_method(self.readout.method, context)
        self._videos = VideoScorer(
            self._method,
            self.readout,
            self.readout.sampling(self.settings.frames, self.settings.fps),
            self._backend.frame_transform(),
            per_frame=self.settings.per_frame,
            batch_size=self.settings.batch_size,
        )
        decoding = decode_options(self.settings, self._backend, self._handle.config)
        self._opening = OpenOptions(
            self._videos.reader(decoding),
            self.readout.photo_transform(self._backend.photo_transform()),
            decoding,
            self.settings.measured,
        )
        self.manifest = self._manifest()
        self._reference = reference_for(self.manifest.settings)

    def __repr__(self) -> str:
        model = self.settings.model if self.settings.server is None else self.settings.server.url
        backend = self._backend.settings().get("backend", type(self._backend).__name__)
        details = f"method={self.readout.method!r}, scale={self.readout.scale}, backend={backend!r}"
        return f"Scorer({model!r}, {details}, run={self.manifest.run!r})"

    @overload
    def score(self, sources: "Image | bytes | bytearray", *, progress: Progress = False) -> ScoreResult: ...
    @overload
    def score(self, sources: "str | os.PathLike[str]", *, progress: Progress = False) -> Any: ...
    @overload
    def score(self, sources: Iterable[PhotoSource], *, progress: Progress = False) -> ScoreResults: ...
    @overload
    def score(self, sources: Any, *, progress: Progress = False) -> Any: ...
    def score(self, sources: Any, *, progress: Progress = False) -> Any:
        """The record of one photo or video, or the records of several, in order.

        sources: a path, a Pillow image, a NumPy array, a torch tensor, the bytes of a file or a file opened in
        binary mode gives one record, a `ScoreResult`. A list or iterator of these, a folder, or a list file
        (.jsonl, .csv, ...) gives `ScoreResults`. `media.arrays` says which arrays are accepted.
        progress: whether to show a progress bar, or a function that gets (done, total or None).

        An item that cannot be scored gets a record with `error`; nothing is raised for it. Raises UsageError for a
        value that cannot be a photo, and for a folder without photos.
        """
        results = ScoreResults(self.iter_score(sources, progress=progress))
        return results[0] if is_single(sources) else results

    def iter_score(self, sources: Any, *, progress: Progress = False) -> Iterator[ScoreResult]:
        """Yields the records of `score` one by one, as soon as their batch is finished."""
        items = python_items(sources, self._opening)
        total = length_of(sources) if progress else None
        return report_progress(self._results(items), total, progress)

    def compare(self, a: PhotoSource, b: PhotoSource, *, level: float = DECIDED) -> Comparison:
        """Which of two photos is better: P(A > B) from their exact distributions.

        level: probability from which the comparison is decided, 0.5 to 1. Raises ItemError for a photo that
        cannot be scored, UsageError if the method or the decoding gives no distribution.
        """
        if not 0.5 < level <= 1:
            raise UsageError(f"must be over 0.5 and at most 1, not {level}", where="level")
        found = list(self._scored(python_items([a, b], self._opening)))
        if len(found) != 2:
            raise UsageError(f"needs two photos, not {len(found)}", where="compare", remedy="give two single photos")
        for _, prediction in found:
            if isinstance(prediction, ItemError):
                raise prediction
        distributions = [prediction.get("distribution") for _, prediction in found]  # type: ignore[union-attr]
        first, second = distributions
        if first is None or second is None:
            remedy = "use method direct, cot or levels, decode exact, and photos"
            raise UsageError("this scorer gives no distributions", where="compare", remedy=remedy)
        records = [self._result(item, self._line(item, prediction)) for item, prediction in found]
        return Comparison(first.prob_greater(second), level, *records)

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        """Yields one JSON-ready record for each item, in order, as soon as its batch is finished.

        An item for which `done(name, content)` is true yields nothing.
        """
        return self._run(identify_items(items, done, self._opening))

    def _run(self, items: Iterable[OpenedItem]) -> Iterator[dict[str, Any]]:
        return (self._line(item, prediction) for item, prediction in self._scored(items))

    def _results(self, items: Iterable[OpenedItem]) -> Iterator[ScoreResult]:
        return (self._result(item, self._line(item, prediction)) for item, prediction in self._scored(items))

    def _scored(self, items: Iterable[OpenedItem]) -> Iterator[tuple[OpenedItem, Prediction]]:
        return run_batches(items, self.settings.batch_size, self._predict, self._backend.thread_plan())

    def _result(self, item: OpenedItem, line: Mapping[str, Any]) -> ScoreResult:
        result = ScoreResult(line)
        if item.item.path is None and item.image is not None and not isinstance(item.image, Clip):
            result.thumbnail = thumbnail_of(item.image)
        return result

    def _line(self, item: OpenedItem, prediction: Prediction) -> dict[str, Any]:
        """The record of a result or of an error."""
        try:
            if isinstance(prediction, ItemError):
                raise prediction
            return self._record(item, prediction)
        except ItemError as error:
            record = self._method.record
            return error_line(
                item.item, error, content=item.content, instead_of=record, optional=self._optional_fields()
            )

    def _predict(self, visual_inputs: Sequence[VisualInput]) -> Sequence[Prediction]:
        has_video = any(isinstance(each, Clip) for each in visual_inputs)
        return (self._videos if has_video else self._method).predict(visual_inputs)

    def _record(self, item: OpenedItem, prediction: Mapping[str, Any]) -> dict[str, Any]:
        fields = {**dict.fromkeys(self._optional_fields()), **prediction}
        above = 0.0 if self.settings.distribution == "all" else 1e-6
        for answer in (fields, *(fields.get("scores") or {}).values()):
            distribution: ScoreDistribution | None = answer.pop("distribution", None)
            if self.settings.distribution:
                answer["distribution"] = None if distribution is None else distribution.pairs(above)
        if self.settings.measured:
            fields["measured"] = item.measured
        return self._method.record.of(
            item.item,
            **{**fields, **self._standing(item, fields)},
            scale=self.readout.scale,
            method=self.readout.method,
            decode=self._method.decode,
            run=self.manifest.run,
            content=item.content,
            flags=[*item.flags],
        ).to_line()

    def _optional_fields(self) -> list[str]:
        """The fields of this run's records that other runs do not have."""
        settings = self.settings
        chosen = {
            "percentile_reference": self._reference is not None,
            "scores": bool(self.readout.questions),
            "distribution": bool(settings.distribution),
            "measured": settings.measured,
            "frames": settings.per_frame,
        }
        return [name for name, is_chosen in chosen.items() if is_chosen]

    def _standing(self, item: OpenedItem, fields: Mapping[str, Any]) -> dict[str, float]:
        """The place of a photo's score in the reference distribution, if there is one."""
        if self._reference is None or item.item.kind == "video":
            return {}
        return {"percentile_reference": self._reference.percentile(fields["score"])}

    def _needs(self) -> set[Capability]:
        if self.readout.method == "regression":
            return {"regression"}
        if self.settings.samples is not None:
            return {"log_probs", "samples"}
        if self.settings.decode == "greedy":
            return {"text"}
        if self.readout.method == "think":
            return {"log_probs", "text"}
        return {"log_probs", "text"} if self.readout.form == "natural" else {"log_probs"}

    def _manifest(self) -> Manifest:
        settings = {
            "method": self.readout.method,
            "decode": self._method.decode,
            "prompt": self._method.prompt,
            "video": self._videos.settings(),
            **self.readout.settings(),
            **self._backend.settings(),
            **decode_setting(self.settings, self._handle.config),
            **({"measured": MEASUREMENTS} if self.settings.measured else {}),
        }
        environment = {**self._handle.environment(self._backend), "realqa": __version__}
        return Manifest("score", settings, environment)


def open_scorer(settings: ScoreSettings) -> RecordSource:
    """Loads the models on the engine of the settings. Raises UsageError."""
    _check(settings)
    if settings.engine == "local":
        return open_source(settings, Scorer.from_settings)
    if settings.server is not None:
        raise UsageError(
            "--engine ray and --server are mutually exclusive", where="--engine ray", remedy="leave it out"
        )
    settings.find()  # reports an invalid model before a cluster is started
    return RayEngine(partial(Scorer.from_settings, replace(settings, engine="local")), batch_size=settings.batch_size)


def _check(settings: ScoreSettings) -> None:
    settings.check()
    if settings.measured and settings.jpeg_draft:
        what = "photos are measured at their full size, which --jpeg-draft does not decode"
        raise UsageError(what, where="--measured", remedy="leave out one of the two")
    for option, value, known in (
        ("--method", settings.method, (None, *METHODS)),
        ("--decode", settings.decode, DECODES),
        ("--engine", settings.engine, ENGINES),
        ("--form", settings.form, (None, *FORMS)),
    ):
        if value not in known:
            raise UsageError(
                f"unknown value {value!r}",
                where=option,
                remedy=f"use one of: {', '.join(filter(None, known))}",
            )
