"""Comparisons of pairs as a table for a terminal: both photos, P(A > B), and the better one in bold."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from realqa_cli.cli.views.fitted_table import Column, fitted_table, printable
from realqa_cli.domain.pairs import people_share

_COLUMNS = (
    Column("A", is_name=True),
    Column("score A", drop=3),
    Column("B", is_name=True),
    Column("score B", drop=3),
    Column("P(A > B)"),
    Column("decision", drop=0, left=True),
    Column("bias", drop=2),
    Column("people", drop=1, left=True),
)


class PairTable:
    """Takes the records of `realqa compare`; `close` prints them."""

    def __init__(self, clear: Callable[[], None] = lambda: None) -> None:
        self._clear = clear
        self.console = Console(file=sys.stdout)
        self._held: list[Mapping[str, Any]] = []

    def write(self, record: Mapping[str, Any]) -> None:
        """Hold the record."""
        self._held.append(record)

    def close(self) -> None:
        """Print the table, then the pairs that could not be compared."""
        self._clear()
        compared = [record for record in self._held if record.get("error") is None]
        folder = _shared_folder(compared)
        rows = [_cells(record, folder) for record in compared]
        if rows:
            shown = [i for i in range(len(_COLUMNS)) if any(str(row[i]) for row in rows)]
            columns, cells = [_COLUMNS[i] for i in shown], [[row[i] for i in shown] for row in rows]
            self.console.print(fitted_table(columns, cells, self.console.width), crop=False)
        for record in self._held:
            if record.get("error") is not None:
                message = printable(str(record["error"]["message"]))
                names = " and ".join(printable(str(record[key])) for key in ("image_a", "image_b"))
                self.console.print(Text(f"✗ {names}: {message}", "red"), soft_wrap=True)


def _cells(record: Mapping[str, Any], folder: str) -> Sequence[str | Text]:
    better = record["better"]
    names = [
        Text(printable(str(record[f"image_{side}"]).removeprefix(folder)), "bold" if better == side else "")
        for side in ("a", "b")
    ]
    scores = ["" if record.get(f"score_{side}") is None else f"{record[f'score_{side}']:.2f}" for side in ("a", "b")]
    decision = Text("too close to call", "dim") if better is None else Text(f"{better.upper()} is better", "green")
    bias = record.get("position_bias")
    return [
        *(names[0], scores[0], names[1], scores[1]),
        Text(f"{record['p_a_better']:.3f}", "bold"),
        decision,
        "" if bias is None else f"{bias:+.2f}",
        _people(record),
    ]


def _people(record: Mapping[str, Any]) -> str:
    try:
        share = people_share(record)
    except ValueError:
        return "?"
    return "" if share is None else "tie" if share == 0.5 else "A" if share > 0.5 else "B"


def _shared_folder(records: Sequence[Mapping[str, Any]]) -> str:
    """The folder that all names begin with, its slash included; empty where there is none."""
    folders = {os.path.dirname(str(record[key])) for record in records for key in ("image_a", "image_b")}
    try:
        shared = os.path.join(os.path.commonpath(folders), "") if folders else ""
    except ValueError:  # some from the root, some from here
        return ""
    names = (str(record[key]) for record in records for key in ("image_a", "image_b"))
    return shared if all(name.startswith(shared) for name in names) else ""
