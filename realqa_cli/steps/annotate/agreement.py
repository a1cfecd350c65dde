"""Agreement of people with the model by attribute, and drift of each annotator over time.

Both are computed from refined label records, as `label_studio.read_export` returns them. The paper reports that
annotators become "more neutral and conservative" the more photos they handle (Sec. 3.1). This is measured as the
share of middle classes along each annotator's sequence, also relative to the model's share on the same photos.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain.attributes import ATTRIBUTES, RATING_MAX, RATING_MIN, Attribute
from realqa_cli.steps.annotate.refinements import changes, moment

AgreementLine = dict[str, Any]
Floats = NDArray[np.float64]

FEWEST_LABELS = 6
"""Minimum annotations of one person for computing a drift: two in each third."""


@dataclass(frozen=True)
class Judgement:
    """One person's annotation of one photo: the attributes before and after, and when it was created."""

    person: str | None
    time: datetime
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    changed: frozenset[str]


def judgements(records: Iterable[Mapping[str, Any]]) -> list[Judgement]:
    """The judgements of all refined records by time, with those of every person who refined a photo."""
    found: dict[tuple[Any, ...], Judgement] = {}
    for i, record in enumerate(records):
        if record.get("refined") is not True or not isinstance(record.get("original"), Mapping):
            continue
        only = {**(record.get("annotator") or {}), **{key: record[key] for key in ("attributes", "original")}}
        for one in record.get("refinements") or [only]:
            before, after = one["original"], one["attributes"]
            person = None if one.get("person") is None else str(one["person"])
            time = moment(one.get("created_at"))
            # two records of one photo under two names are one judgement
            key = (record.get("content", i), person)
            found[key] = Judgement(person, time, before, after, frozenset(changes(before, after)))
    return sorted(found.values(), key=lambda judgement: judgement.time)


def agreement(records: Iterable[Mapping[str, Any]]) -> Iterator[AgreementLine]:
    """A record for each of the ten attributes, then one for each annotator and kind of drift."""
    every = judgements(records)
    for attribute in ATTRIBUTES.values():
        yield _attribute_line(attribute, every)
    for person in dict.fromkeys(one.person for one in every):
        yield from _drift_lines(person, [one for one in every if one.person == person])


def _attribute_line(attribute: Attribute, every: Sequence[Judgement]) -> AgreementLine:
    """The agreement on one attribute.

    judged: judgements with a value before or after.  changed: share of them in which it changed.  kappa:
    Cohen's, between the two codes where both exist (`n`), with quadratic weights where there are more than two
    classes, which then are ordered.  shift: mean of the person's code minus the model's.
    """
    judged = [one for one in every if attribute.key in one.before or attribute.key in one.after]
    line: AgreementLine = {"measure": "agreement", "attribute": attribute.key, "judged": len(judged)}
    line["changed"] = float(np.mean([attribute.key in one.changed for one in judged])) if judged else None
    if not attribute.scored:
        return line | {"n": 0, "kappa": None, "shift": None, "reason": "free text has no classes"}
    pairs = [(_code(attribute, one.before), _code(attribute, one.after)) for one in judged]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    classes = _classes(attribute)
    line |= {
        "n": len(both),
        "kappa": None,
        "weights": "quadratic" if len(classes) > 2 else None,
        "shift": None,
    }
    if both:
        line["shift"] = float(np.mean([b - a for a, b in both]))
    if len(set(both) | {(b, a) for a, b in both}) < 2:
        return line | {"reason": "all values are the same" if both else "nobody annotated it"}
    from sklearn.metrics import cohen_kappa_score

    before, after = zip(*both, strict=True)
    kappa = cohen_kappa_score(before, after, labels=classes, weights=line["weights"])
    return line | {"kappa": float(kappa)}


def _classes(attribute: Attribute) -> list[int]:
    """The codes of all classes, in order."""
    if attribute.kind == "rating":
        return list(range(RATING_MIN, RATING_MAX + 1))
    return sorted(attribute.codes)


def _code(attribute: Attribute, values: Mapping[str, Any]) -> int | None:
    try:
        return attribute.code(values[attribute.key])
    except (KeyError, ValueError):
        return None


def _drift_lines(person: str | None, own: Sequence[Judgement]) -> Iterator[AgreementLine]:
    """One record for each kind of drift of one annotator, whose judgements are ordered by time.

    first, last: the mean over the first and the last third.  rho, p: Spearman's correlation with the position
    in the sequence; positive means increasing.  neutral: share of middle classes.  neutral_beyond_model: the
    same minus the model's share on that photo, so that it does not depend on the order of the photos.
    changed: share of the model's attributes that the person changed.
    """
    after = np.array([_neutral(one.after) for one in own], dtype=np.float64)
    before = np.array([_neutral(one.before) for one in own], dtype=np.float64)
    changed = [len(one.changed) / max(1, len({*one.before, *one.after})) for one in own]
    series = {"neutral": after, "neutral_beyond_model": after - before, "changed": np.array(changed)}
    for kind, values in series.items():
        yield {"measure": "drift", "annotator": person, "drift": kind, **_trend(values)}


def _neutral(values: Mapping[str, Any]) -> float:
    """The share of middle classes among an image's attributes of three classes or more; NaN without any."""
    middle = []
    for attribute in ATTRIBUTES.values():
        if not attribute.scored or len(classes := _classes(attribute)) < 3:
            continue
        if (code := _code(attribute, values)) is not None:
            middle.append(abs(code - (classes[0] + classes[-1]) / 2) < 1)
    return float(np.mean(middle)) if middle else float("nan")


def _trend(values: Floats) -> AgreementLine:
    values = values[~np.isnan(values)]
    n = len(values)
    line: AgreementLine = {"n": n, "first": None, "last": None, "rho": None, "p": None}
    if n < FEWEST_LABELS:
        return line | {"reason": f"fewer than {FEWEST_LABELS} photos"}
    third = n // 3
    line |= {"first": float(values[:third].mean()), "last": float(values[-third:].mean())}
    if np.ptp(values) == 0:
        return line | {"reason": "all values are the same"}
    from scipy.stats import spearmanr

    found = spearmanr(np.arange(n), values)
    return line | {"rho": float(found.statistic), "p": float(found.pvalue)}
