"""Records as one self-contained HTML page: to search, filter, sort, enlarge, mark and export photos and videos.

The page needs no other file and no network. It has up to `SHOWN` photos, the best and the worst half of them where
there are more, as thumbnails; its histogram counts all. A photo is enlarged from its original, if that is still
where it was, else from the thumbnail. The script of the page makes the cards from JSON, which Jinja escapes, and sets
names as text only; a content security policy refuses any other script.
"""

import hashlib
import json
import os
from array import array
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.cli.output_files import PAGE_CREATOR
from realqa_cli.cli.views.report_card import Card, address_from, card_of
from realqa_cli.cli.views.thumbnails import FEW, LARGE, SMALL, thumbnail
from realqa_cli.domain.scales import Scale
from realqa_cli.domain.standing import DECIDED, ScoreRanks, undecided_difference
from realqa_cli.io.jsonl import replacing
from realqa_cli.io.sources import STDIN, shown_name
from realqa_cli.models.reference import reference_for

SHOWN = 5000
SHOWN_ERRORS = 100

_HISTOGRAM = 40  # bars
_MOST_THREADS = 8  # that make thumbnails
Find = Callable[[Mapping[str, Any]], Path | None]
"""Where the photo or video of a record lies, or None."""


class Report:
    """Takes records one by one; `write` writes the page of all that it was given.

    find: the file of a record.  page: where the page will be, for the addresses of the originals.  title: of the
    page, such as the folder.  lines: what a command adds below the title.
    """

    def __init__(self, find: Find, *, page: Path = Path("report.html"), title: str = "Photos") -> None:
        self._find, self._title = find, title
        self._address = address_from(page.absolute().parent)
        self.lines: list[str] = []
        self._cards: list[Card] = []
        self._paths: dict[int, Path | None] = {}
        self._errors: list[tuple[str, str]] = []
        self._scores, self._deviations = array("d"), array("d")
        self._scale: Sequence[float] = (0.0, 1.0)
        self.count, self.failed = 0, 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Counts the record, and keeps it while it is among the best or the worst."""
        name = str(record.get("image") or record.get("video") or "?")
        if record.get("error") is not None:
            self.failed += 1
            if len(self._errors) < SHOWN_ERRORS:
                self._errors.append((name, str(record["error"].get("message", "failed"))))
            return
        card = card_of(record, self.count, self._address)
        self._cards.append(card)
        self._paths[self.count] = self._find(record)
        self.count += 1
        if "s" in card:
            self._scores.append(float(record["score"]))
            self._scale = record["scale"]
            if record.get("std") is not None:
                self._deviations.append(record["std"])
        if len(self._cards) >= 2 * SHOWN:
            self._keep_ends()

    def _keep_ends(self) -> None:
        """Keep the best and the worst half of `SHOWN` cards; of records without scores the first."""
        self._cards.sort(key=lambda card: (-card.get("s", 0.0), card["i"]))
        if len(self._cards) > SHOWN:
            self._cards = self._cards[: SHOWN - SHOWN // 2] + self._cards[len(self._cards) - SHOWN // 2 :]
        self._paths = {card["i"]: self._paths[card["i"]] for card in self._cards}

    def html(self, manifest: Mapping[str, Any], *, today: date | None = None) -> str:
        """The whole page. Thumbnails are made now."""
        return _template().render(self._context(manifest, today))

    def write(self, path: Path, manifest: Mapping[str, Any], say: Callable[[str], None] = lambda line: None) -> None:
        """Write the page, part by part, replacing an older one when it is complete. Raises `OutputError`.

        say: gets a line before work that takes noticeably long.
        """
        if min(self.count, SHOWN) > FEW:
            say(f"report: making thumbnails of {min(self.count, SHOWN):,} photos")
        with replacing(path) as stream:
            for part in _template().generate(self._context(manifest, None)):
                stream.write(part.encode("utf-8", "backslashreplace"))

    def _context(self, manifest: Mapping[str, Any], today: date | None) -> dict[str, Any]:
        self._keep_ends()
        ranks = ScoreRanks(self._scores)
        reference = reference_for(manifest.get("settings") or {})
        scale = Scale(*self._scale)
        script = _package_text("report.js")
        return {
            "creator": PAGE_CREATOR,
            "title": self._title,
            "date": (today or date.today()).isoformat(),
            "style": _package_text("report.css"),
            "script": script,
            "script_hash": f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}",
            "cards": self._finished_cards(ranks),
            "data": {
                "run": str(manifest.get("run", "")),
                "title": self._title,
                "scale": [f"{end:g}" for end in self._scale],
                "low": self._scale[0],
                "high": self._scale[1],
                "histogram": _histogram(self._scores, scale),
                "reference": None if reference is None else reference.source,
            },
            "shown": len(self._cards),
            "count": self.count,
            "failed": self.failed,
            "scored": len(self._scores),
            "mean": sum(self._scores) / len(self._scores) if self._scores else None,
            "undecided": undecided_difference(self._deviations),
            "decided": DECIDED,
            "lines": self.lines,
            "errors": self._errors,
            "manifest": manifest,
            "manifest_text": json.dumps(manifest, indent=2, ensure_ascii=False),
        }

    def _finished_cards(self, ranks: ScoreRanks) -> Iterator[Card]:
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        for card, picture in zip(
            self._cards, in_order(self._picture, self._cards, threads, ahead=threads), strict=True
        ):
            extra: Card = {}
            if "s" in card:
                extra["s"] = round(card["s"], 4)
                if len(ranks) > 1:
                    extra["p"] = round(ranks.percentile(card["s"]), 1)  # of the score before rounding
            yield card | extra | ({"t": picture} if picture else {})

    def _picture(self, card: Card) -> str | None:
        """The thumbnail of a card."""
        path = self._paths[card["i"]]
        side = LARGE if len(self._cards) <= FEW else SMALL
        return None if path is None else thumbnail(path, video=bool(card.get("v")), side=side)


def report_of(page: Path, sources: Sequence[str]) -> Report:
    """An empty report for the records of photos and videos from these sources; its title names them."""
    names = [Path(os.path.abspath(shown_name(source))).name or source for source in sources if source != STDIN]
    title = "Photos" if not names else names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return Report(_path_of, page=page, title=title)


def _path_of(record: Mapping[str, Any]) -> Path | None:
    name = record.get("image") or record.get("video")
    return Path(name) if name else None


def _histogram(scores: Sequence[float], scale: Scale) -> list[int]:
    bars = [0] * _HISTOGRAM
    for score in scores:
        bars[min(int(scale.clipped_share(score) * _HISTOGRAM), _HISTOGRAM - 1)] += 1
    return bars


def _package_text(name: str) -> str:
    return files("realqa_cli.cli.views").joinpath(name).read_text(encoding="utf-8")


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.from_string(_package_text("report.html.j2"))
