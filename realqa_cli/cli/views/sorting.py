"""The terminal table of `realqa sort-probe`, like the paper's Tab. 3."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realqa_cli.cli.views.fitted_table import Column, fitted_table

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
            console = Console(file=sys.stdout)
            console.print(_table(self.records, console.width), crop=False)


_COLUMNS = (
    Column("model", is_name=True),
    Column("accuracy"),
    Column("recall", drop=1),
    Column("hallucination", drop=2),
    Column("trials", drop=5),
    Column("unparsed", drop=4),
    Column("failed", drop=3),
)


def _table(records: Sequence[Mapping[str, Any]], width: int) -> Table:
    best = {name: _best_of(name, records) for name in _BEST}
    rows: list[list[str | Text]] = []
    for record in records:
        shares = [_share(record[name], best=best[name]) for name in _BEST]
        counts = [Text(str(record[name]), "red" if record[name] else "dim") for name in ("unparsed", "failed")]
        rows.append([record["model"], *shares, str(record["trials"]), *counts])
    return fitted_table(_COLUMNS, rows, width)


def _best_of(name: str, records: Sequence[Mapping[str, Any]]) -> float | None:
    """The best value; None where there is only one."""
    values = [record[name] for record in records if record[name] is not None]
    return _BEST[name](values) if len(values) > 1 else None


def _share(value: float | None, *, best: float | None) -> Text:
    if value is None:
        return Text("–", "dim")
    return Text(f"{value:.3f}", "bold" if value == best else "")
