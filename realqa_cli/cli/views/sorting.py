"""The terminal table of `realqa sort-probe`, like the paper's Tab. 3."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_BEST = {"accuracy": max, "recall": max, "hallucination": min}


class SortingTable:
    """A sink for the records of `realqa sort-probe`; `close` prints them."""

    def __init__(self, clear: Callable[[], None]) -> None:
        self._clear = clear
        self.records: list[Mapping[str, Any]] = []

    def write(self, record: Mapping[str, Any]) -> None:
        """Keeps the record."""
        self.records.append(record)

    def close(self) -> None:
        """Prints the table, if there are records."""
        if self.records:
            self._clear()
            Console(file=sys.stdout).print(_table(self.records))


def _table(records: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", overflow="fold")
    for name in (*_BEST, "trials", "unparsed", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    best = {name: _best_of(name, records) for name in _BEST}
    for record in records:
        shares = [_share(record[name], best=best[name]) for name in _BEST]
        counts = [Text(str(record[name]), "red" if record[name] else "dim") for name in ("unparsed", "failed")]
        table.add_row(Text(record["model"]), *shares, str(record["trials"]), *counts)
    return table


def _best_of(name: str, records: Sequence[Mapping[str, Any]]) -> float | None:
    """The best value; None where there is only one."""
    values = [record[name] for record in records if record[name] is not None]
    return _BEST[name](values) if len(values) > 1 else None


def _share(value: float | None, *, best: float | None) -> Text:
    if value is None:
        return Text("–", "dim")
    return Text(f"{value:.3f}", "bold" if value == best else "")
