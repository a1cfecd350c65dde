"""Metrics on a terminal: a line each with its interval, the paper's table of attributes, or a line for each file."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realqa_cli.cli.views.fitted_table import Column, fitted_table, printable

BAR = 24
"""Characters of the drawn interval, from 0 to 1."""
LOWER_IS_BETTER = frozenset({"rmse", "pair_log_loss"})

Line = Mapping[str, Any]


class MetricTable:
    """Takes the records of `realqa eval`; `close` prints them."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stdout)
        self.lines: list[Line] = []

    def write(self, record: Line) -> None:
        """Holds the record."""
        self.lines.append(record)

    def close(self) -> None:
        """Prints the tables that fit the records."""
        if not self.lines:
            return
        width = self.console.width
        if "file" not in self.lines[0]:
            self.console.print(_of_one_file(self.lines, width), crop=False)
            return
        if "attribute" in self.lines[0]:
            for file in dict.fromkeys(line["file"] for line in self.lines):
                self.console.print(Text(printable(file), "bold"))
                self.console.print(
                    _attributes([line for line in self.lines if line["file"] == file], width), crop=False
                )
                self.console.print()
        self.console.print(_files(self.lines, width), crop=False)


def _of_one_file(lines: Sequence[Line], width: int) -> Table:
    first = lines[0]
    make = _attributes if "attribute" in first else _comparison if "compared_with" in first else _scores
    return make(lines, width)


_COUNTS = (Column("n", drop=3), Column("unparsed", drop=1), Column("missing", drop=2))
"""Columns of the counts, of which those with a count other than zero are also in a message."""


def _scores(lines: Sequence[Line], width: int) -> Table:
    columns = (Column("metric", left=True), Column("value"), Column("95 %"), Column("", drop=4, left=True), *_COUNTS)
    rows: list[list[str | Text]] = []
    for line in lines:
        name = Text(metric_title(line["metric"])) + Text(" after fit" if line.get("fit") else "", "dim")
        rows.append([name, *_value(line), interval(line), str(line["n"]), *_counts(line)])
    return fitted_table(columns, rows, width)


def _comparison(lines: Sequence[Line], width: int) -> Table:
    figures = (Column("ours", drop=4), Column("theirs", drop=5), Column("difference"), Column("95 %", drop=3))
    counts = [replace(column, drop=6 + (column.drop or 0)) for column in _COUNTS]
    columns = (Column("metric", left=True), *figures, Column("p"), *counts)
    rows: list[list[str | Text]] = []
    for line in lines:
        p = "" if line["p"] is None else f"{line['p']:.3f}"
        ours, theirs = (_number(line[key]) for key in ("ours", "theirs"))
        rows.append(
            [metric_title(line["metric"]), ours, theirs, *_value(line, "+.3f"), p, str(line["n"]), *_counts(line)]
        )
    return fitted_table(columns, rows, width)


def _attributes(lines: Sequence[Line], width: int) -> Table:
    metrics = list(dict.fromkeys(line["metric"] for line in lines))
    by_column: dict[str, dict[str, Line]] = {}
    for line in lines:
        by_column.setdefault(line["attribute"], {})[line["metric"]] = line
    figures = (
        column for i, name in enumerate(metrics) for column in (Column(name), Column("", drop=10 + i, left=True))
    )
    counts = (replace(column, drop=20 + (column.drop or 0)) for column in _COUNTS)
    columns = (Column("attribute", is_name=True), *figures, *counts)
    rows: list[list[str | Text]] = []
    for name, found in by_column.items():
        cells = [cell for m in metrics for cell in (_number(found[m]["value"]), _spread(found[m]))]
        line = next(iter(found.values()))
        rows.append([name.replace("_", " "), *cells, str(line["n"]), *_counts(line)])
    averages = [i for i, name in enumerate(by_column) if name == "average"]
    return fitted_table(columns, rows, width, bold=averages)


def _files(lines: Sequence[Line], width: int) -> Table:
    """A line for each file, the best value of each metric in bold; of attributes their average."""
    names, metrics, found = by_file([line for line in lines if line.get("attribute", "average") == "average"])
    best = {metric: best_value([found[name][metric]["value"] for name in names], metric) for metric in metrics}
    figures = [
        column
        for i, metric in enumerate(metrics)
        for column in (Column(metric_title(metric), drop=1 + i if i else None), Column("", drop=10 + i, left=True))
    ]
    columns = (
        Column("file", is_name=True),
        *figures,
        Column("n", drop=20),
        *(Column(c.title, 21) for c in _COUNTS[1:]),
    )
    rows: list[list[str | Text]] = []
    for name in names:
        cells: list[str | Text] = []
        for metric in metrics:
            line = found[name][metric]
            value = _number(line["value"], style="bold" if line["value"] == best[metric] else "")
            cells += [value, _spread(line)]
        first = found[name][metrics[0]]
        rows.append([name, *cells, str(first["n"]), *_counts(first)])
    return fitted_table(columns, rows, width)


def metric_title(metric: str) -> str:
    """The name of a metric in tables and figures: SRCC, PAIR ACCURACY."""
    return metric.replace("_", " ").upper()


def by_file(lines: Sequence[Line]) -> tuple[list[str], list[str], dict[str, dict[str, Line]]]:
    """Files and metrics in their order, and the records by file and metric."""
    found: dict[str, dict[str, Line]] = {}
    for line in lines:
        found.setdefault(line.get("file", ""), {})[line["metric"]] = line
    return list(found), list(dict.fromkeys(line["metric"] for line in lines)), found


def best_value(values: Sequence[float | None], metric: str) -> float | None:
    """The best of several values of a metric; None of a single one."""
    known = [value for value in values if value is not None]
    if len(values) < 2 or not known:
        return None
    return min(known) if metric in LOWER_IS_BETTER else max(known)


def _number(value: float | None, form: str = ".3f", style: str = "bold") -> Text:
    return Text("N.A.", "dim") if value is None else Text(format(value, form), style)


def _value(line: Line, form: str = ".3f") -> tuple[Text, str]:
    interval = line["ci95"]
    return _number(line["value"], form), "" if interval is None else f"{interval[0]:.3f} – {interval[1]:.3f}"


def _spread(line: Line) -> Text:
    """Half the interval's width, as papers print it."""
    interval = line["ci95"]
    return Text("" if interval is None else f"±{(interval[1] - interval[0]) / 2:.2f}", "dim")


def _counts(line: Line) -> list[Text]:
    return [Text(str(line[key]), "red" if line[key] else "dim") for key in ("unparsed", "missing")]


def interval(line: Line) -> Text:
    """The value and its interval drawn between 0 and 1; nothing for other metrics."""
    if line["value"] is None or line["ci95"] is None or line["metric"] in LOWER_IS_BETTER:
        return Text("")
    low, high, value = (round(min(max(x, 0), 1) * (BAR - 1)) for x in (*line["ci95"], line["value"]))
    drawn = ["━" if low <= i <= high else "┄" for i in range(BAR)]
    drawn[value] = "●"
    return Text.assemble(*((c, "dim" if c == "┄" else "green") for c in drawn))
