"""A ranking as a table for a terminal: group by group, the best group first, what is kept marked.

Names are shortened in the middle and never wrapped, so that a group stays readable; numbers are never cut.
"""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from realqa_cli.cli.views.fitted_table import printable

CLOSE, KEEP, CUT = "≈", "✓", "…"
_GAP = "  "
_LEAST_NAME = 12  # characters of a name, before columns are left out
_OPTIONAL = ("sharp", "stars", "next", "rank")  # the first ones are left out first


class RankTable:
    """Takes the records of a ranking; `close` prints them."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stdout)
        self._ranked: list[Mapping[str, Any]] = []
        self._failed: list[Mapping[str, Any]] = []

    def write(self, record: Mapping[str, Any]) -> None:
        """Hold the record."""
        (self._ranked if record.get("error") is None else self._failed).append(record)

    def close(self) -> None:
        """Print the table, a note on its signs, and the failed items."""
        folder = _shared_folder(self._ranked)
        rows = [_cells(record, group, folder) for group in _groups(self._ranked) for record in group]
        if rows:
            self._print_rows(rows, folder or "photo")
        for record in self._failed:
            name, message = _name(record), printable(str(record["error"]["message"]))
            line = message if message.startswith(name) else f"{name}: {message}"
            self.console.print(Text(f"✗ {line}", "red"), soft_wrap=True)

    def _print_rows(self, rows: Sequence[dict[str, Text]], title: str) -> None:
        columns = [name for name in rows[0] if any(row[name].plain.strip() for row in rows) or name == "name"]
        head = {name: Text(title if name == "name" else "" if name == "keep" else name, "bold") for name in columns}
        widths = {name: max(len(row[name]) for row in (head, *rows)) for name in columns}
        for left_out in _OPTIONAL:
            if self._room(widths) >= min(_LEAST_NAME, widths["name"]):
                break
            widths.pop(left_out, None)
        widths["name"] = max(2, min(widths["name"], self._room(widths)))
        for row in (head, *rows):
            cells = [
                _fitted(row[name], width, left=name in ("keep", "name", "stars")) for name, width in widths.items()
            ]
            line = Text(_GAP).join(cells)
            line.rstrip()
            self.console.print(line, soft_wrap=True)
        for note in _notes(rows, widths):
            self.console.print(Text(note, "dim"))

    def _room(self, widths: Mapping[str, int]) -> int:
        """Characters that are left for the name."""
        others = [width for name, width in widths.items() if name != "name"]
        return self.console.width - sum(others) - len(_GAP) * len(others)


def _groups(records: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The records by group, each group in its order; the first N of a ranking may hold parts of groups only."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for record in records:
        found.setdefault(record["group"], []).append(record)
    return [sorted(found[group], key=lambda record: record["rank_in_group"]) for group in sorted(found)]


def _cells(record: Mapping[str, Any], group: Sequence[Mapping[str, Any]], folder: str) -> dict[str, Text]:
    stars = record.get("stars")
    sharpest = max((each["sharpness"] or 0 for each in group), default=0)
    has_sharpness = len(group) > 1 and record["sharpness"] is not None and sharpest > 0
    better = record["p_better_than_next"]
    return {
        "rank": Text(str(record["rank"])),
        "keep": Text(KEEP if record["keep"] else "", "bold green"),
        "name": Text(_branch(record, group) + _name(record).removeprefix(folder), "" if record["keep"] else "dim"),
        "score": Text(f"{record['score']:.2f}", "bold"),
        "stars": Text("★" * stars if stars else "", "yellow"),
        "sharp": Text(f"{record['sharpness'] / sharpest:.0%}" if has_sharpness else ""),
        "next": Text("") if better is None else _probability(better, decided=record["decided"]),
    }


def _notes(rows: Sequence[Mapping[str, Text]], columns: Collection[str]) -> list[str]:
    """What the signs and columns of the table mean, a line each."""
    notes = [f"{KEEP}      keep"] if any(row["keep"].plain for row in rows) else []
    if "sharp" in columns:
        notes.append("sharp  detail relative to the sharpest photo of the group")
    if "next" in columns:
        notes.append("next   how probably it is better than the next one of its group, or by rank")
        if any(CLOSE in row["next"].plain for row in rows):
            notes.append(f"{CLOSE}      too close to call (under 75 %)")
    return notes


def _shared_folder(records: Sequence[Mapping[str, Any]]) -> str:
    """The folder of all photos, with its slash; empty if they have none in common."""
    folders = {os.path.dirname(_name(record)) for record in records}
    try:
        shared = os.path.join(os.path.commonpath(folders), "") if folders else ""
    except ValueError:  # some names are absolute and others are not
        return ""
    return shared if all(_name(record).startswith(shared) for record in records) else ""


def _probability(better: float, *, decided: bool) -> Text:
    percent = f"{int(min(better, 0.99) * 100)}%"  # rounded down, so that 75 % is decided and never 100 %
    return Text(percent, "green") if decided else Text(f"{CLOSE} {percent}", "dim")


def _branch(record: Mapping[str, Any], group: Sequence[Mapping[str, Any]]) -> str:
    """The sign that connects the photos of a group."""
    if len(group) == 1:
        return ""
    return "┌ " if record is group[0] else "└ " if record is group[-1] else "│ "


def _name(record: Mapping[str, Any]) -> str:
    return printable(str(record.get("image") or record.get("video") or "?"))


def _fitted(cell: Text, width: int, *, left: bool) -> Text:
    """The cell at this width: shortened in the middle, or filled up with spaces."""
    text = cell.plain
    if len(text) > width:
        tail = (width - 1) // 2 + 1 if width > 1 else 0
        text = text[: width - 1 - tail] + CUT + (text[-tail:] if tail else "")
    return Text(text.ljust(width) if left else text.rjust(width), cell.style)
