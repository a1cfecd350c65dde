"""A leaderboard for a terminal, in Markdown and in LaTeX: a row for each model on each data set, the best in bold."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from realqa_cli.cli.views.fitted_table import Column, fitted_table, printable
from realqa_cli.cli.views.latex import escaped_latex
from realqa_cli.cli.views.metrics import metric_title

Line = Mapping[str, Any]

MARKDOWN_HEAD, LATEX_HEAD = "<!-- realqa leaderboard -->", "% realqa leaderboard"
"""The first lines of the files, by which a later run recognises them."""


@dataclass(frozen=True)
class BoardRow:
    """A row: its cells by column title, and the titles of those in bold."""

    cells: Mapping[str, str]
    bold: frozenset[str] = frozenset()


def board_rows(lines: Sequence[Line]) -> list[BoardRow]:
    """A row for each model on each data set, with the columns of all metrics."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line["dataset"], line["model"]), []).append(line)
    return [_row(*key, each) for key, each in found.items()]


def _row(dataset: str, model: str, lines: Sequence[Line]) -> BoardRow:
    cells = {"data set": dataset, "model": model}
    bold = set()
    for line in lines:
        title = metric_title(line["metric"])
        cells[title] = "–" if line["value"] is None else f"{line['value']:.3f}"
        cells[f"{title} 95 %"] = _interval(line["ci95"], "{:.3f}")
        difference = line["difference"]
        cells[f"{title} to best"] = "" if difference is None else f"{difference:+.3f}"
        cells[f"{title} to best 95 %"] = _interval(line["difference_ci95"], "{:+.3f}")
        if line["best"]:
            bold.add(title)
    first = lines[0]
    cells["n"] = str(first["n"])
    cells["no score"] = str(first["unparsed"] + first["missing"])
    repeated = first["repeatability"]
    cells["repeatability"] = "" if repeated is None else "0" if repeated == 0 else f"{repeated:.1e}"
    return BoardRow(cells, frozenset(bold))


def _interval(interval: Sequence[float] | None, form: str) -> str:
    return "" if interval is None else f"[{form.format(interval[0])}, {form.format(interval[1])}]"


def markdown_board(lines: Sequence[Line]) -> str:
    """The table in Markdown."""
    rows = board_rows(lines)
    titles = [*rows[0].cells]
    body = [_markdown_cells(titles), "|" + "|".join("---" if i < 2 else "---:" for i in range(len(titles))) + "|"]
    for row in rows:
        body.append(
            _markdown_cells(
                f"**{cell}**" if title in row.bold else cell.replace("|", "\\|") for title, cell in row.cells.items()
            )
        )
    return "\n".join([MARKDOWN_HEAD, "", *body, "", NOTE, ""])


NOTE = (
    "Intervals are 95 % bootstrap intervals over images. To best: the difference from the best model of the data set,"
    " by a paired bootstrap. Repeatability: the largest difference of two scores of the same photo, by the model loaded"
    " again with another batch size."
)


def _markdown_cells(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def latex_board(lines: Sequence[Line]) -> str:
    """The table in LaTeX, which needs the package booktabs."""
    rows = board_rows(lines)
    titles = [*rows[0].cells]
    body: list[str] = []
    for i, row in enumerate(rows):
        if i and row.cells["data set"] != rows[i - 1].cells["data set"]:
            body.append(r"\midrule")
        body.append(" & ".join(_latex(cell, bold=title in row.bold) for title, cell in row.cells.items()) + r" \\")
    head = " & ".join(_latex(title) for title in titles) + r" \\"
    begin = rf"\begin{{tabular}}{{ll{'r' * (len(titles) - 2)}}}"
    table = [begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join([LATEX_HEAD, *table, ""])


_NUMERIC = re.compile(r"[-+\d.,\[\] ]*\d[-+\d.,\[\] ]*")
_POWER = re.compile(r"([\d.]+)e([-+]\d+)")


def _latex(text: str, *, bold: bool = False) -> str:
    """A cell; numbers as mathematics, so that they have minus signs."""
    if power := _POWER.fullmatch(text):
        return rf"${power[1]} \times 10^{{{int(power[2])}}}$"
    if _NUMERIC.fullmatch(text):
        return rf"$\mathbf{{{text}}}$" if bold else f"${text}$"
    return "--" if text == "–" else escaped_latex(text)


class BoardTable:
    """Takes the records of `realqa leaderboard`; `close` prints them as a table."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stdout)
        self._lines: list[Line] = []

    def write(self, record: Line) -> None:
        """Hold the record."""
        self._lines.append(record)

    def close(self) -> None:
        """Print the table."""
        rows = board_rows(self._lines)
        columns = [_column(i, title) for i, title in enumerate(rows[0].cells)]
        cells = [
            [Text(printable(cell), "bold green" if title in row.bold else "") for title, cell in row.cells.items()]
            for row in rows
        ]
        self.console.print(fitted_table(columns, cells, self.console.width), crop=False)


_DROPS = (("to best 95 %", 9), ("95 %", 7), ("no score", 5), ("n", 4), ("repeatability", 3), ("to best", 2))


def _column(index: int, title: str) -> Column:
    if index < 2:
        return Column(title, is_name=True, left=True)
    return Column(title, drop=next((drop for end, drop in _DROPS if title == end or title.endswith(f" {end}")), None))


class BoardText:
    """Takes the records; `close` prints them in a format for papers."""

    def __init__(self, render: Callable[[Sequence[Line]], str]) -> None:
        self._render = render
        self._lines: list[Line] = []

    def write(self, record: Line) -> None:
        """Hold the record."""
        self._lines.append(record)

    def close(self) -> None:
        """Print the table."""
        sys.stdout.write(self._render(self._lines))
