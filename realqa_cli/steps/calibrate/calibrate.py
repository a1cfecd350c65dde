"""The step `realqa calibrate`: fits a calibration to labels, and adds calibrated scores to records."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from realqa_cli.domain import metrics
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.inference.inputs import Finished
from realqa_cli.inference.ray import RecordSource
from realqa_cli.io.labels import LabelRow
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item
from realqa_cli.steps.calibrate.calibration_file import Calibration
from realqa_cli.steps.calibrate.curves import FITS
from realqa_cli.steps.calibrate.fitting import fit_curve, interval_of, least_photos, validate_curves
from realqa_cli.steps.calibrate.labelled_scores import LabelledScores, score_of

LEAST_LABELS = 50
"""Labelled photos below which no calibration is fitted: its error would be as large as what it corrects."""
WEAK = 0.3
"""SRCC of scores and labels below which a note says that the scores hardly follow the labels."""

OWN_FIELDS = ("calibrated", "calibrated_interval", "calibrated_range", "calibration", "calibration_warnings")


@dataclass(frozen=True)
class CalibrateSettings:
    """target: field of the labels.  bounds: lowest and highest label; None for their `mos_range`, else those seen.

    curve: "auto" for the better one by cross-validation, or one of `curves.FITS`.
    coverage: probability that the label lies in the interval, 0 to 1.  seed: of the folds and of the split.
    """

    target: str = "mos"
    bounds: tuple[float, float] | None = None
    curve: str = "auto"
    coverage: float = 0.9
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError."""
        if self.curve not in ("auto", *FITS):
            raise UsageError(
                f"unknown curve {self.curve!r}", where="--curve", remedy=f"use one of: auto, {', '.join(FITS)}"
            )
        if not 0.5 <= self.coverage <= 0.99:
            raise UsageError(f"must be 0.5 to 0.99, not {self.coverage:g}", where="--coverage")


def fit_calibration(
    joined: LabelledScores, settings: CalibrateSettings, run_settings: Mapping[str, Any] | None = None
) -> tuple[Calibration, list[str]]:
    """The calibration, and notes for the user. run_settings: those of the runs of the scores, if they are known.

    Raises UsageError for too few labels, or labels or scores that do not vary.
    """
    count, least = len(joined.photos), max(LEAST_LABELS, least_photos(settings.coverage))
    if count < least:
        what = f"needs at least {least} labelled photos, found {count}"
        raise UsageError(what, where="realqa calibrate fit", remedy="label more of the scored photos")
    for what, values in (("scores", joined.scores_N), ("labels", joined.labels_N)):
        if np.ptp(values) == 0:
            raise UsageError(f"all {what} are {values[0]:g}: nothing can be fitted", where="realqa calibrate fit")
    bounds, notes = _bounds(joined, settings)
    names = [*FITS] if settings.curve == "auto" else [settings.curve]
    data = joined.scores_N, joined.labels_N, joined.photos, bounds
    options = {"coverage": settings.coverage, "seed": settings.seed}
    found = validate_curves(names, *data, **options)  # type: ignore[arg-type]
    best = min(names, key=lambda name: found.rmse[name])
    fitted = fit_curve(best, *data, **options)  # type: ignore[arg-type]
    if found.srcc is None or found.srcc < WEAK:
        srcc = "not defined" if found.srcc is None else f"{found.srcc:.2f}"
        notes.append(f"the scores hardly follow the labels (SRCC {srcc}): calibrated scores say little")
    validation = {
        "photos": count,
        "srcc": found.srcc,
        "rmse_before": metrics.rmse(Scale.of(bounds).from_scale(joined.scores_N, joined.scale), joined.labels_N),
        "rmse": found.rmse[best],
        "rmse_by_curve": found.rmse,
        "coverage": found.coverage[best],
        "width": found.width[best],
        "held_out": fitted.held_out,
    }
    scores = joined.scores_N
    return Calibration(
        target=settings.target,
        bounds=bounds,
        curve=fitted.curve,
        coverage=settings.coverage,
        half_width=fitted.half_width,
        scale=joined.scale,
        score_range=(float(scores.min()), float(scores.max())),
        n=count,
        runs=joined.runs,
        settings=None if run_settings is None else dict(run_settings),
        validation=validation,
    ), notes


def _bounds(joined: LabelledScores, settings: CalibrateSettings) -> tuple[tuple[float, float], list[str]]:
    """The lowest and highest label. Raises UsageError for labels outside of the given ones."""
    seen = float(joined.labels_N.min()), float(joined.labels_N.max())
    given = settings.bounds or joined.label_range
    if given is None:
        text = f"{seen[0]:g} to {seen[1]:g}"
        return seen, [f"the labels do not say their range: {text}, as seen, is used; set it by --range"]
    if seen[0] < given[0] or seen[1] > given[1]:
        what = f"the labels reach from {seen[0]:g} to {seen[1]:g}, outside of {Scale.of(given)}"
        raise UsageError(what, where="--range", remedy="give the range of the labels")
    return (float(given[0]), float(given[1])), []


def summary_of(calibration: Calibration) -> dict[str, Any]:
    """The figures of a fit, as `CalibrationRecord`."""
    shown = ("target", "n", "coverage", "half_width")
    found = calibration.validation
    return {
        "calibration": calibration.ident,
        "curve": calibration.curve.kind,
        **{name: getattr(calibration, name) for name in shown},
        "range": list(calibration.bounds),
        "score_range": list(calibration.score_range),
        "srcc": found["srcc"],
        "rmse_before": found["rmse_before"],
        "rmse": found["rmse"],
        "rmse_by_curve": found["rmse_by_curve"],
        "measured_coverage": found["coverage"],
        "measured_width": found["width"],
    }


def calibrated_fields(
    record: Mapping[str, Any], calibration: Calibration, *, same_model: bool, where: str
) -> dict[str, Any]:
    """The record with calibrated fields. Raises RecordError for one without a score, or on another scale."""
    score = score_of(record, where)
    expected = calibration.curve(np.array([score]))
    low, high = interval_of(expected, calibration.half_width, calibration.bounds)
    warnings = [] if same_model else ["other_model"]
    if record.get("scale") is not None and list(record["scale"]) != list(calibration.scale):
        warnings.append("other_scale")
    if not calibration.score_range[0] <= score <= calibration.score_range[1]:
        warnings.append("out_of_range")
    own: dict[str, Any] = {
        "calibrated": float(expected[0]),
        "calibrated_interval": [float(low[0]), float(high[0])],
        "calibrated_range": list(calibration.bounds),
        "calibration": calibration.ident,
        "calibration_warnings": warnings,
    }
    return {key: value for key, value in record.items() if key not in (*OWN_FIELDS, "error")} | own


def apply_calibration(
    rows: Iterable[LabelRow], calibration: Calibration, settings_of: Callable[[str], Mapping[str, Any] | None]
) -> Iterator[dict[str, Any]]:
    """Adds calibrated scores to records; failed ones pass as they are, others without a score become errors.

    settings_of: the settings of a run by its id, if they are known.
    """
    for row in rows:
        if row.failed:
            yield dict(row.record)
            continue
        try:
            if row.error is not None:
                raise row.error
            run = row.record.get("run")
            known = settings_of(run) if isinstance(run, str) else None
            same = calibration.is_of(run if isinstance(run, str) else None, known)
            record = calibrated_fields(row.record, calibration, same_model=same, where=row.where)
            yield record | ({"error": None} if "error" in row.record else {})
        except ItemError as error:
            yield {**row.record, row.kind: row.name, "error": error.as_field()}


class CalibratedSource:
    """Implements `RecordSource`: the records of another one with calibrated scores."""

    def __init__(
        self,
        source: RecordSource,
        calibration: Calibration,
        say: Callable[[Mapping[str, int]], object] = lambda _: None,
    ) -> None:
        """say: gets the number of records with each warning at the end."""
        self._source, self.calibration, self._say = source, calibration, say
        self.same_model = calibration.is_of(source.manifest.run, source.manifest.settings)
        settings = {**source.manifest.settings, "calibration": calibration.ident}
        self.manifest: Manifest = replace(source.manifest, settings=settings)

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        """See `RecordSource`."""
        warnings: Counter[str] = Counter()
        for record in self._source.records(items, done=done):
            if record.get("error") is not None:
                kept = {key: value for key, value in record.items() if key != "error"}
                yield {**kept, **dict.fromkeys(OWN_FIELDS), "error": record["error"]}
                continue
            name = str(record.get("image") or record.get("video"))
            fields = calibrated_fields(record, self.calibration, same_model=self.same_model, where=name)
            warnings.update(fields["calibration_warnings"])
            yield fields | {"run": self.manifest.run, "error": None}
        self._say(warnings)
