"""The step `realqa composite`: what the attributes of a photo are worth to its audience, as one score.

The paper finds the attributes' weights by partial least squares against feedback from the real application,
clicks and the like (Sec. 1 and 3.1). `fit` learns them from labels with such a field, `apply` adds the
weighted sum to labels. Knows label records and numbers; `pls` finds the weights.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError, RecordError, UsageError
from realqa_cli.io.labels import LabelRow
from realqa_cli.steps.composite.feedback import COLUMNS, FeedbackTable
from realqa_cli.steps.composite.weights_file import AttributeWeight, Weights, attribute_code, codes_of

if TYPE_CHECKING:
    from realqa_cli.steps.composite.pls import Fitted

FEWEST = 5
"""Photos without which nothing can be learnt; each attribute wants `PHOTOS_EACH`, and a warning says so."""
PHOTOS_EACH = 10

_OURS = ("composite", "composite_range", "composite_weights", "composite_imputed")


@dataclass(frozen=True)
class CompositeSettings:
    """target: the field of the labels that has the feedback; dots lead into fields of fields.

    components: by cross-validation, if None.  bootstrap: samples of the weights' intervals.
    seed: of the folds and the bootstrap.
    """

    target: str = ""
    components: int | None = None
    bootstrap: int = 200
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError."""
        if not self.target.strip():
            raise UsageError("names no field", where="--target")
        if self.bootstrap < 0:
            raise UsageError(f"must be 0 or more, not {self.bootstrap}", where="--bootstrap")


def fit_composite(sample: FeedbackTable, settings: CompositeSettings) -> tuple[Weights, list[str]]:
    """The weights, and what a person should know of them. Raises UsageError for too little to learn from."""
    from realqa_cli.steps.composite import pls as least_squares

    photos = len(set(sample.photos))
    if photos < FEWEST:
        what = f"photos with {settings.target} and attributes: {photos}, and {FEWEST} are the least"
        raise UsageError(what, where="realqa composite fit", remedy="add labels")
    if np.ptp(sample.target_N) == 0:
        what = f"{settings.target} is {sample.target_N[0]:g} everywhere: nothing explains it"
        raise UsageError(what, where="--target", remedy="choose a field that varies")
    left_out = _left_out(sample.codes_NP)
    columns = [key for key in COLUMNS if key not in left_out]
    if not columns:
        raise UsageError("every attribute has one value only", where="realqa composite fit")
    kept_NP = sample.codes_NP[:, [COLUMNS.index(key) for key in columns]]
    options = {"components": settings.components, "bootstrap": settings.bootstrap, "seed": settings.seed}
    try:
        found = least_squares.fit_pls(kept_NP, sample.target_N, sample.photos, **options)  # type: ignore[arg-type]
    except ValueError as error:
        raise UsageError(str(error), where="realqa composite fit", remedy="add labels") from error
    weights = _weights(
        found,
        columns,
        target=settings.target,
        n=len(sample.target_N),
        left_out=left_out,
        cross_validation=_validated(found, settings, least_squares.RULE),
    )
    return weights, _notes(weights, sample, kept_NP)


def _left_out(codes_NP: NDArray[np.float64]) -> dict[str, str]:
    """The attributes that cannot have a weight, and why."""
    reasons = {}
    for key, column_N in zip(COLUMNS, codes_NP.T, strict=True):
        there = column_N[~np.isnan(column_N)]
        if not there.size:
            reasons[key] = "in no label"
        elif np.ptp(there) == 0:
            reasons[key] = "the same in all labels"
    return reasons


def _weights(found: "Fitted", columns: list[str], **whole: Any) -> Weights:
    """The file's content; `whole` holds the fields other than the fitted numbers."""
    attributes = {}
    for j, key in enumerate(columns):
        low, high = float(found.low_P[j]), float(found.high_P[j])
        attributes[key] = AttributeWeight(
            codes=codes_of(key),
            weight=float(found.weights_P[j]),
            standardised=float(found.standardised_P[j]),
            ci95=None if math.isnan(low) else (low, high),
            vip=float(found.vip_P[j]),
            mean=float(found.mean_P[j]),
            std=float(found.std_P[j]),
        )
    return Weights(components=found.components, intercept=found.intercept, attributes=attributes, **whole)


def _validated(found: "Fitted", settings: CompositeSettings, rule: str) -> dict[str, Any]:
    """The file's `cross_validation`."""
    validation = found.validation
    return {
        "folds": validation.folds,
        "seed": settings.seed,
        "rule": "given" if settings.components else rule,
        "mse": [float(value) for value in validation.mse_K],
        "standard_error": [float(value) for value in validation.se_K],
        "r2": validation.r2,
        "srcc": validation.srcc,
    }


def _notes(weights: Weights, sample: FeedbackTable, kept_NP: NDArray[np.float64]) -> list[str]:
    photos, columns = len(set(sample.photos)), list(weights.attributes)
    without = ", ".join(f"{key} ({why})" for key, why in weights.left_out.items())
    notes = [f"attributes without a weight: {without}"] if without else []
    missing = zip(columns, np.isnan(kept_NP).sum(axis=0), strict=True)
    if named := ", ".join(f"{key} in {count}" for key, count in missing if count):
        notes.append(f"missing, replaced by the attribute's mean: {named} of {weights.n} labels")
    if len(sample.models) > 1:
        models = ", ".join(f"{count} of {name or 'unknown'}" for name, count in sample.models.items())
        notes.append(f"the labels come from several models ({models}), and the weights are of all together")
    if photos < PHOTOS_EACH * len(columns):
        few = f"only {plural(photos, 'photo')} for {plural(len(columns), 'attribute')}"
        notes.append(f"{few}: mind the intervals")
    if weights.cross_validation["r2"] <= 0:
        notes.append(f"the attributes do not predict {weights.target}: the held-out R2 is not above 0")
    return notes


def apply_composite(rows: Iterable[LabelRow], weights: Weights) -> Iterator[dict[str, Any]]:
    """Each record with its `composite`, in order; an error in its place where that cannot be computed.

    An attribute that a record lacks counts as the mean of those that the weights were fitted on, and is
    listed in `composite_imputed`. `composite_range` holds the lowest and highest composite that the weights can give,
    `composite_weights` is the weighting's id. Records of failed items pass.
    """
    for row in rows:
        if row.failed:
            yield dict(row.record)
            continue
        try:
            yield {k: v for k, v in row.record.items() if k not in _OURS} | _composite(row, weights)
        except ItemError as error:
            kept = {k: v for k, v in row.record.items() if k not in _OURS}
            yield {row.kind: row.name, **kept, "error": error.as_field()}


def _composite(row: LabelRow, weights: Weights) -> dict[str, Any]:
    """The fields that a record gains. Raises RecordError."""
    if row.error is not None:
        raise row.error
    attributes = row.record.get("attributes")
    if not isinstance(attributes, Mapping):
        raise RecordError("the record has no attributes", type="record", where=row.where)
    total, imputed = weights.intercept, []
    for key, one in weights.attributes.items():
        try:
            value = attribute_code(key, attributes.get(key), one.codes)
        except ValueError as error:
            raise RecordError(str(error), type="record", where=row.where) from error
        if math.isnan(value):
            imputed.append(key)
            value = one.mean
        total += one.weight * value
    if len(imputed) == len(weights.attributes):
        raise RecordError("the record has none of the weighed attributes", type="record", where=row.where)
    gained: dict[str, Any] = {"composite": total, "composite_range": list(weights.attainable)}
    gained["composite_weights"] = weights.ident
    return gained | ({"composite_imputed": imputed} if imputed else {})
