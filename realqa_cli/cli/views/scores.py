"""Score records as a table for a terminal: a bar over the scale, the best marked, failures in red.

Up to `WHOLE` records become one table; beyond that lines are printed as they come, so that a million
photos need no memory.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realqa_cli.cli.views.calibrated import calibrated_interval, calibrated_text
from realqa_cli.cli.views.fitted_table import Column, fitted_table, printable
from realqa_cli.domain.scales import Scale
from realqa_cli.domain.standing import DECIDED, ScoreRanks, score_word, undecided_difference

WHOLE = 2000
"""Records that are held for one table, so that its columns fit and its best can be marked."""

BAR = 12
_PARTS = " ▏▎▍▌▋▊▉"
_COLOURS = ("red", "dark_orange", "yellow", "green_yellow", "green")


class ScoreTable:
    """Takes records one by one; `close` prints what is held."""

    def __init__(self, clear: Callable[[], None]) -> None:
        self._clear = clear
        self.console = Console(file=sys.stdout)
        self.held: list[Mapping[str, Any]] = []
        self.flowing = False

    def write(self, record: Mapping[str, Any]) -> None:
        """Holds the record, or prints its line where there are too many to hold."""
        if not self.flowing and len(self.held) < WHOLE:
            self.held.append(record)
            return
        if not self.flowing:
            self.flowing = True
            self._clear()
            for early in self.held:
                self.console.print(_line(early), soft_wrap=True)
            self.held = []
        self.console.print(_line(record), soft_wrap=True)

    def close(self) -> None:
        """Prints the table, if there is one to print."""
        if self.held:
            self._clear()
            self.console.print(_table(self.held, self.console.width), crop=False)
        for record in self.held:
            if record.get("error") is not None:
                self.console.print(_error(record), soft_wrap=True)
        for note in _notes(self.held):
            self.console.print(Text(note, "dim"))


_COLUMNS = (
    Column("", left=True),
    Column("photo", is_name=True),
    Column("score"),
    Column("", drop=3, left=True),  # the word
    Column("", drop=4, left=True),  # the bar
    Column("calib."),
    Column("interval", drop=5, style="dim"),
    Column("pct.", drop=2),
    Column("ref.", drop=6),
    Column("90 %", drop=7, style="dim"),
    Column("p", drop=1),
)


def _table(records: list[Mapping[str, Any]], width: int) -> Table:
    scored = [record for record in records if record.get("error") is None]
    best = max((record["score"] for record in scored), default=None)
    ranks = ScoreRanks(record["score"] for record in scored)
    folder = _shared_folder(records)
    rows: list[list[str | Text]] = []
    for record in records:
        if record.get("error") is not None:
            subject, why = name_of(record, folder), Text(record["error"]["type"], "red")
            rows.append([Text("✗", "red"), subject, "", why, *[""] * (len(_COLUMNS) - 4)])
            continue
        mark = Text("★", "bold yellow") if record["score"] == best and len(records) > 1 else Text("")
        if _is_doubtful(record):
            mark = Text("?", "bold red")
        subject = name_of(record, folder).append_text(_flags(record))
        percentile = record["percentile"] if record.get("percentile") is not None else ranks.percentile(record["score"])
        cells = [mark, subject, Text(f"{record['score']:.2f}", "bold"), word_for(record), bar(record)]
        rows.append([*cells, *_calibrated(record), f"{percentile:.0f}" if len(scored) > 1 else "", *_details(record)])
    columns = [replace(c, title=printable(folder) or _called(records)) if c.is_name else c for c in _COLUMNS]
    if questions := _questions(records):
        columns[2] = replace(columns[2], title=questions[0])
        columns[3:3] = [Column(name) for name in questions[1:]]
        for row, record in zip(rows, records, strict=True):
            row[3:3] = [_answer(record, name) for name in questions[1:]]
    shown = [
        i
        for i, c in enumerate(columns)
        if i < 4 + len(questions) or c.title == "" or any(_plain(row[i]) for row in rows)
    ]
    return fitted_table([columns[i] for i in shown], [[row[i] for i in shown] for row in rows], width)


def _questions(records: list[Mapping[str, Any]]) -> list[str]:
    """The names of the questions, where the records have several answers each."""
    asked: Mapping[str, Any] = next(
        (record["scores"] for record in records if isinstance(record.get("scores"), Mapping)), {}
    )
    return [*map(printable, asked)] if len(asked) > 1 else []


def _answer(record: Mapping[str, Any], question: str) -> str:
    answer = (record.get("scores") or {}).get(question)
    return "" if answer is None else f"{answer['score']:.2f}"


def _notes(records: list[Mapping[str, Any]]) -> list[str]:
    """What to know when one reads the numbers."""
    scored = [record for record in records if record.get("error") is None]
    difference = undecided_difference(r["std"] for r in scored if r.get("std") is not None)
    notes = []
    if difference and len(scored) > 1:
        notes.append(
            f"differences below {difference:.2g} are not decided (better with p < {DECIDED:g}); pct.: percentile"
        )
    if any(record.get("percentile_reference") is not None for record in scored):
        notes.append("ref.: percentile among public photographs scored by the same model")
    if any(record.get("calibrated") is not None for record in scored):
        notes.append("calib.: expected label by the calibration, and the interval that is to contain the label")
    if any(map(_is_doubtful, scored)):
        notes.append("p, ?: the model gives all scores on the scale together less than half of the probability")
    return notes


def _plain(cell: str | Text) -> str:
    return cell if isinstance(cell, str) else cell.plain


def word_for(record: Mapping[str, Any]) -> Text:
    """The word for the score."""
    scale = Scale(*record["scale"])
    return Text(score_word(record["score"], scale), _COLOURS[_fifth(scale.clipped_share(record["score"]))])


def _called(records: list[Mapping[str, Any]]) -> str:
    """What the records are about."""
    videos = sum(bool(record.get("video")) for record in records)
    return "photo" if not videos else "video" if videos == len(records) else "photo or video"


def _is_doubtful(record: Mapping[str, Any]) -> bool:
    """Whether the model gives scores on the scale less than half of the probability."""
    return record.get("mass") is not None and record["mass"] < 0.5


def _calibrated(record: Mapping[str, Any]) -> list[str | Text]:
    """The calibrated score and its interval; empty for a record without them."""
    if record.get("calibrated") is None:
        return ["", ""]
    return [Text(calibrated_text(record), "bold"), calibrated_interval(record) or ""]


def _details(record: Mapping[str, Any]) -> list[str | Text]:
    reference, interval, mass = (record.get(key) for key in ("percentile_reference", "interval", "mass"))
    return [
        "" if reference is None else f"{reference:.0f}",
        "" if interval is None else f"{interval[0]:.2f}–{interval[1]:.2f}",
        Text(f"{mass:.2g}", "bold red") if mass is not None and _is_doubtful(record) else "",
    ]


def _line(record: Mapping[str, Any]) -> Text:
    if record.get("error") is not None:
        return Text.assemble(("     ✗ ", "red"), _error(record))
    calibrated = "" if record.get("calibrated") is None else f"{calibrated_text(record):>6} "
    score = (f"{record['score']:6.2f} {calibrated}", "bold")
    return Text.assemble(score, bar(record), " ", name_of(record), _flags(record))


def _flags(record: Mapping[str, Any]) -> Text:
    """The record's flags in brackets, if it has any."""
    flags = record.get("flags")
    return Text(f" ({', '.join(map(str, flags))})" if isinstance(flags, list) and flags else "", "yellow")


def _error(record: Mapping[str, Any]) -> Text:
    """Name and message; most messages begin with the name."""
    name, message = name_of(record).plain, printable(str(record["error"]["message"]))
    return Text(message if message.startswith(name) else f"{name}: {message}", "red")


def name_of(record: Mapping[str, Any], folder: str = "") -> Text:
    """The item's name as text, never as markup, without the `folder` that the table's head tells."""
    return Text(printable(_name(record).removeprefix(folder)))


def _name(record: Mapping[str, Any]) -> str:
    return str(record.get("image") or record.get("video") or "?")


def _shared_folder(records: list[Mapping[str, Any]]) -> str:
    """The folder that all names begin with, its slash included; empty where there is none."""
    folders = {os.path.dirname(_name(record)) for record in records}
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # some from the root, some from here
        return ""
    shared = os.path.join(shared, "")
    return shared if all(_name(record).startswith(shared) for record in records) else ""


def bar(record: Mapping[str, Any]) -> Text:
    """The score's place on its scale, in eighths of a character, from red to green."""
    share = Scale(*record["scale"]).clipped_share(record["score"])
    eighths = round(share * BAR * 8)
    blocks = "█" * (eighths // 8) + _PARTS[eighths % 8].strip()
    return Text(blocks.ljust(BAR), _COLOURS[_fifth(share)])


def _fifth(share: float) -> int:
    return min(int(share * len(_COLOURS)), len(_COLOURS) - 1)
