"""Score records as one self-contained HTML page: photos and videos, best first, with their distributions.

The page needs no other file, no script and no network. It holds the `SHOWN` best photos as thumbnails and
counts the rest, so that a report of a million photos is still a page. A video is shown by its first frame.
It knows nothing of terminals; `find` gives the file of a record.
"""

import heapq
import io
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from realqa_cli.domain.scales import Scale
from realqa_cli.errors import MediaError
from realqa_cli.media.photo import open_photo
from realqa_cli.media.video import first_frame

SHOWN = 500
SHOWN_ERRORS = 100
THUMBNAIL = 320
"""Longest side of a thumbnail, in pixels."""

_BINS = 48
Find = Callable[[Mapping[str, Any]], Path | None]
"""Where the photo or video of a record lies, or None."""


@dataclass(order=True)
class _Card:
    """A scored photo or video as the page shows it; ordered by score, the earlier of two equal ones above."""

    score: float
    earlier: int  # minus its place among the records
    name: str = field(compare=False)
    share: float = field(compare=False)  # of the scale, 0 to 1
    facts: dict[str, str] = field(compare=False)
    curve: str | None = field(compare=False)
    path: Path | None = field(compare=False)
    kind: str = field(compare=False)  # "photo" or "video"

    @property
    def place(self) -> int:
        return -self.earlier

    @property
    def thumbnail(self) -> str | None:
        """A data URI, or None where the file is gone; made when the page asks, one at a time."""
        if self.path is None:
            return None
        try:
            photo = first_frame(self.path) if self.kind == "video" else open_photo(self.path)
        except MediaError:
            return None
        photo.thumbnail((THUMBNAIL, THUMBNAIL))
        packed = io.BytesIO()
        photo.save(packed, "JPEG", quality=80)
        return f"data:image/jpeg;base64,{b64encode(packed.getvalue()).decode('ascii')}"


class Report:
    """Takes records one by one; `html` is the page of all that it was given."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._best: list[_Card] = []
        self._errors: list[tuple[str, str]] = []
        self._bins = [0] * _BINS
        self._scale: Sequence[float] = (0.0, 1.0)
        self.scored, self.failed, self._sum, self._low = 0, 0, 0.0, float("inf")

    def add(self, record: Mapping[str, Any]) -> None:
        """Counts the record, and keeps it if it is among the best so far."""
        name = str(record.get("image") or record.get("video") or "?")
        if record.get("error") is not None:
            self.failed += 1
            if len(self._errors) < SHOWN_ERRORS:
                self._errors.append((name, str(record["error"]["message"])))
            return
        score, self._scale = float(record["score"]), record["scale"]
        share = _share(score, self._scale)
        self._bins[min(int(share * _BINS), _BINS - 1)] += 1
        self._sum += score
        self._low = min(self._low, score)
        kind = "video" if record.get("video") else "photo"
        card = _Card(score, -self.scored, name, share, _facts(record), _curve(record), self._find(record), kind)
        self.scored += 1
        if len(self._best) < SHOWN:
            heapq.heappush(self._best, card)
        else:
            heapq.heappushpop(self._best, card)

    def html(self, manifest: Mapping[str, Any]) -> str:
        """The whole page. Thumbnails are read from the photos now."""
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string(files("realqa_cli.cli.views").joinpath("report.html.j2").read_text("utf-8"))
        cards = sorted(self._best, reverse=True)
        return template.render(
            cards=cards,
            errors=self._errors,
            scored=self.scored,
            failed=self.failed,
            mean=self._sum / self.scored if self.scored else None,
            best=cards[0].score if cards else None,
            worst=self._low,
            scale=[f"{end:g}" for end in self._scale],
            histogram=_area([count / max(self._bins) for count in self._bins]) if self.scored else None,
            manifest=manifest,
            manifest_text=json.dumps(manifest, indent=2, ensure_ascii=False),
        )


def _share(value: float, scale: Sequence[float]) -> float:
    return Scale(*scale).clipped_share(value)


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    """The small print of a card: what is there of mode, interval, p and a person's score."""
    written: dict[str, Callable[[Any], str]] = {
        "mode": lambda mode: f"{mode:g}",
        "interval": lambda interval: f"{interval[0]:g}–{interval[1]:g}",
        "mass": lambda mass: f"{mass:.3f}",
        "frames": _range,
        "flags": ", ".join,
        "mos": lambda mos: f"{mos:g}" if isinstance(mos, int | float) else str(mos),
    }
    called = {"interval": "90 %", "mass": "p", "mos": "MOS"}
    found = {key: record.get(key) for key in written}
    return {called.get(key, key): written[key](value) for key, value in found.items() if value not in (None, [])}


def _range(frames: Sequence[Mapping[str, Any]]) -> str:
    """From the lowest to the highest score of a video's frames."""
    scores = [frame["score"] for frame in frames if "score" in frame]
    return f"{min(scores):.2f}–{max(scores):.2f}" if scores else "none"


def _curve(record: Mapping[str, Any]) -> str | None:
    """The record's distribution as an SVG path over the scale, where the record has one."""
    pairs = record.get("distribution")
    if not pairs:
        return None
    heights = [0.0] * _BINS
    for value, probability in pairs:
        heights[min(int(_share(value, record["scale"]) * _BINS), _BINS - 1)] += probability
    return _area([height / max(heights) for height in heights])


def _area(heights: Sequence[float]) -> str:
    """A filled step curve in a box of `_BINS` x 10, heights from 0 to 1."""
    steps = " ".join(f"V{10 - 10 * height:.2f}H{i + 1}" for i, height in enumerate(heights))
    return f"M0 10{steps}V10Z"
