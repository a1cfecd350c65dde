"""What the HTML report shows of a record: one card, as the JSON object that the script of the page reads.

The keys are short because a page can have thousands of cards; `KEYS` says what they hold.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from realqa_cli.cli.views.calibrated import calibrated_interval, calibrated_text
from realqa_cli.domain.attributes import ATTRIBUTES, RATING_MAX
from realqa_cli.domain.scales import LEAST_MASS, Scale
from realqa_cli.domain.standing import score_word

BINS = 48
"""Bins of the curve of a distribution."""
KEYS = {
    "i": "place among the records, from 0",
    "n": "name",
    "v": "true for a video",
    "u": "address of the original, relative to the page",
    "s": "score",
    "x": "the score's place on the scale, 0 to 1",
    "w": "word for the score",
    "p": "percentile among the records",
    "pr": "percentile among the reference photographs",
    "lo": "low end of the central 90 % on the scale, 0 to 1",
    "hi": "high end of it",
    "iv": "the interval as text",
    "mass": "mass, where it is low",
    "cal": "calibrated score, as text",
    "ci": "interval of the calibrated score, as text",
    "cw": "where the calibration does not hold",
    "c": "curve of the distribution, as an SVG path",
    "m": "MOS",
    "mx": "place of the MOS on its range, 0 to 1",
    "g": "group",
    "gr": "rank in the group",
    "r": "rank",
    "k": "whether rank keeps it",
    "st": "stars, 1 to 5",
    "a": "attribute values by title",
    "fl": "flags",
    "fr": "lowest and highest score of a video's frames",
    "t": "thumbnail",
}

Card = dict[str, Any]


def card_of(record: Mapping[str, Any], index: int, address: Callable[[str], str | None]) -> Card:
    """The card of a record without an error; `address` gives the address of the original by name."""
    name = str(record.get("image") or record.get("video") or "?")
    card: Card = {"i": index, "n": name, "v": bool(record.get("video")) or None, "u": address(name)}
    score = record.get("score")
    if score is not None and record.get("scale"):
        card |= _score_fields(record, float(score), Scale(*record["scale"]))
    card |= {
        "g": record.get("group"),
        "gr": record.get("rank_in_group"),
        "r": record.get("rank"),
        "k": record.get("keep"),
        "st": record.get("stars"),
        "a": attribute_values(record.get("attributes")) or None,
        "fl": record.get("flags") or None,
        "fr": _frame_range(record.get("frames") or ()),
    }
    if record.get("calibrated") is not None:
        warnings = record.get("calibration_warnings") or None
        card |= {"cal": calibrated_text(record), "ci": calibrated_interval(record), "cw": warnings}
    return {key: value for key, value in card.items() if value is not None}


def _score_fields(record: Mapping[str, Any], score: float, scale: Scale) -> Card:
    interval, mass = record.get("interval"), record.get("mass")
    mos, mos_range = record.get("mos"), record.get("mos_range") or record["scale"]
    fields: Card = {
        "s": score,
        "x": round(scale.clipped_share(score), 4),
        "w": score_word(score, scale),
        "pr": record.get("percentile_reference"),
        "mass": mass if mass is not None and mass < LEAST_MASS else None,
        "c": curve_of(record.get("distribution"), scale),
    }
    if interval:
        low, high = interval
        fields |= {"lo": round(scale.clipped_share(low), 4), "hi": round(scale.clipped_share(high), 4)}
        fields["iv"] = f"{low:.2f}–{high:.2f}"
    if isinstance(mos, int | float) and mos_range[0] < mos_range[1]:
        fields |= {"m": mos, "mx": round(Scale(*mos_range).clipped_share(mos), 4)}
    return fields


def attribute_values(attributes: Any) -> dict[str, str]:
    """The classes and ratings of a record by the attribute's title; ratings as "7 of 10"."""
    found: dict[str, str] = {}
    for key, value in (attributes or {}).items():
        attribute = ATTRIBUTES.get(key)
        if attribute is None or not attribute.scored or value is None:
            continue
        score = value.get("score") if isinstance(value, Mapping) else value
        if score is not None:
            found[attribute.title] = f"{score} of {RATING_MAX}" if attribute.kind == "rating" else str(score)
    return found


def address_from(folder: Path) -> Callable[[str], str | None]:
    """A function from a photo's name to its address relative to a page in `folder`; None on another drive."""

    def address(name: str) -> str | None:
        try:
            relative = os.path.relpath(os.path.realpath(name), os.path.realpath(folder))
        except ValueError:
            return None
        return quote(os.fsencode(relative.replace(os.sep, "/")))

    return address


def curve_of(pairs: Any, scale: Scale) -> str | None:
    """A distribution as an SVG path over the scale, in a box of `BINS` x 10."""
    if not pairs:
        return None
    heights = [0.0] * BINS
    for value, probability in pairs:
        heights[min(int(scale.clipped_share(value) * BINS), BINS - 1)] += probability
    most = max(heights)
    return "M0 10" + "".join(f"V{10 - 10 * height / most:.1f}H{i + 1}" for i, height in enumerate(heights)) + "V10Z"


def _frame_range(frames: Sequence[Mapping[str, Any]]) -> str | None:
    scores = [frame["score"] for frame in frames if frame.get("score") is not None]
    return f"{min(scores):.2f}–{max(scores):.2f}" if scores else None
