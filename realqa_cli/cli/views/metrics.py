"""Metrics on a terminal: one line each with its interval, or the paper's table of attributes."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

BAR = 24
"""Characters of the drawn interval, from 0 to 1."""


class MetricTable:
    """Takes the records of `realqa eval`; `close` prints them."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stdout)
        self.lines: list[Mapping[str, Any]] = []

    def write(self, record: Mapping[str, Any]) -> None:
        """Holds the record."""
        self.lines.append(record)

    def close(self) -> None:
        """Prints the table that fits the records."""
        if not self.lines:
            return
        first = self.lines[0]
        make = _attributes if "attribute" in first else _comparison if "compared_with" in first else _scores
        self.console.print(make(self.lines, self.console.width))


def _scores(lines: list[Mapping[str, Any]], width: int) -> Table:
    table = _table("metric", "value", "95 %", *([""] if width >= 80 else []), "n", "unparsed", "missing")
    for line in lines:
        drawn = [interval(line)] if width >= 80 else []
        name = Text(line["metric"].upper()) + Text(" after fit" if line.get("fit") else "", "dim")
        table.add_row(name, *_value(line), *drawn, str(line["n"]), *_counts(line))
    return table


def _comparison(lines: list[Mapping[str, Any]], width: int) -> Table:
    table = _table("metric", "ours", "theirs", "difference", "95 %", "p", "n", "unparsed", "missing")
    for line in lines:
        p = "" if line["p"] is None else f"{line['p']:.3f}"
        ours, theirs = (_number(line[key]) for key in ("ours", "theirs"))
        table.add_row(line["metric"].upper(), ours, theirs, *_value(line, "+.3f"), p, str(line["n"]), *_counts(line))
    return table


def _attributes(lines: list[Mapping[str, Any]], width: int) -> Table:
    metrics = list(dict.fromkeys(line["metric"] for line in lines))
    by_column: dict[str, dict[str, Mapping[str, Any]]] = {}
    for line in lines:
        by_column.setdefault(line["attribute"], {})[line["metric"]] = line
    table = _table("attribute", *metrics, "n", "unparsed", "missing")
    for name, found in by_column.items():
        last = name == "average"
        if last:
            table.add_section()
        line = next(iter(found.values()))
        cells = [_number(found[metric]["value"]) for metric in metrics]
        cells = [Text.assemble(cell, _spread(found[m])) for cell, m in zip(cells, metrics, strict=True)]
        table.add_row(name.replace("_", " "), *cells, str(line["n"]), *_counts(line), style="bold" if last else "")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if name and i else "left", no_wrap=True)
    return table


def _number(value: float | None, form: str = ".3f") -> Text:
    return Text("N.A.", "dim") if value is None else Text(format(value, form), "bold")


def _value(line: Mapping[str, Any], form: str = ".3f") -> tuple[Text, str]:
    interval = line["ci95"]
    return _number(line["value"], form), "" if interval is None else f"{interval[0]:.3f} – {interval[1]:.3f}"


def _spread(line: Mapping[str, Any]) -> Text:
    """Half the interval's width, as papers print it."""
    interval = line["ci95"]
    return Text("" if interval is None else f" ±{(interval[1] - interval[0]) / 2:.2f}", "dim")


def _counts(line: Mapping[str, Any]) -> list[Text]:
    return [Text(str(line[key]), "red" if line[key] else "dim") for key in ("unparsed", "missing")]


def interval(line: Mapping[str, Any]) -> Text:
    """The value and its interval drawn between 0 and 1; nothing for other metrics."""
    if line["value"] is None or line["ci95"] is None or line["metric"] == "rmse":
        return Text("")
    low, high, value = (round(min(max(x, 0), 1) * (BAR - 1)) for x in (*line["ci95"], line["value"]))
    drawn = ["━" if low <= i <= high else "┄" for i in range(BAR)]
    drawn[value] = "●"
    return Text.assemble(*((c, "dim" if c == "┄" else "green") for c in drawn))
