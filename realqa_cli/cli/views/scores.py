"""Score records as a table for a terminal: a bar over the scale, the best marked, failures in red.

Up to `WHOLE` records become one table; beyond that lines are printed as they come, so that a million
photos need no memory.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realqa_cli.domain.scales import Scale

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
            self.console.print(_table(self.held, self.console.width))
        for record in self.held:
            if record.get("error") is not None:
                self.console.print(_error(record), soft_wrap=True)


def _table(records: list[Mapping[str, Any]], width: int) -> Table:
    best = max((record["score"] for record in records if record.get("error") is None), default=None)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("", width=1)
    folder = _shared_folder(records)
    table.add_column(Text(printable(folder) or _called(records)), overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    details = width >= 72  # a narrow terminal keeps what matters
    if details:
        for name in ("mode", "90 %", "mass"):
            table.add_column(name, justify="right", no_wrap=True, style="dim")
    for record in records:
        if record.get("error") is not None:
            table.add_row(Text("✗", "red"), name_of(record, folder), "", Text(record["error"]["type"], "red"))
            continue
        mark = Text("★", "bold yellow") if record["score"] == best and len(records) > 1 else Text("")
        if _is_doubtful(record):
            mark = Text("?", "bold red")
        subject = name_of(record, folder).append_text(_flags(record))
        cells = [mark, subject, Text(f"{record['score']:.2f}", "bold"), bar(record)]
        table.add_row(*cells, *(_details(record) if details else ()))
    return table


def _called(records: list[Mapping[str, Any]]) -> str:
    """What the records are about."""
    videos = sum(bool(record.get("video")) for record in records)
    return "photo" if not videos else "video" if videos == len(records) else "photo or video"


def _is_doubtful(record: Mapping[str, Any]) -> bool:
    """Whether the model gives scores on the scale less than half of the probability."""
    return record.get("mass") is not None and record["mass"] < 0.5


def _details(record: Mapping[str, Any]) -> list[str | Text]:
    mode, interval, mass = (record.get(key) for key in ("mode", "interval", "mass"))
    return [
        "" if mode is None else f"{mode:.2f}",
        "" if interval is None else f"{interval[0]:.2f}–{interval[1]:.2f}",
        "" if mass is None else Text(f"{mass:.2g}", "bold red") if _is_doubtful(record) else f"{mass:.3f}",
    ]


def _line(record: Mapping[str, Any]) -> Text:
    if record.get("error") is not None:
        return Text.assemble(("     ✗ ", "red"), _error(record))
    return Text.assemble((f"{record['score']:6.2f} ", "bold"), bar(record), " ", name_of(record), _flags(record))


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


def printable(text: str) -> str:
    """`text` without what would steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def bar(record: Mapping[str, Any]) -> Text:
    """The score's place on its scale, in eighths of a character, from red to green."""
    share = Scale(*record["scale"]).clipped_share(record["score"])
    eighths = round(share * BAR * 8)
    blocks = "█" * (eighths // 8) + _PARTS[eighths % 8].strip()
    return Text(blocks.ljust(BAR), _COLOURS[min(int(share * len(_COLOURS)), len(_COLOURS) - 1)])
