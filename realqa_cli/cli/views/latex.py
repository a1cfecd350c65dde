"""The metrics of `realqa eval` as a LaTeX table for papers: a row for each file, the best values in bold.

The table needs the package booktabs. Of attributes it has the nine columns and the average, a row for each metric.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from realqa_cli.cli.views.metrics import best_value, by_file, metric_title
from realqa_cli.domain.attributes import ATTRIBUTES

Line = Mapping[str, Any]

_ESCAPES = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
_DIGITS = 3


class LatexTable:
    """Takes the records of `realqa eval`; `close` prints the table."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, record: Line) -> None:
        """Holds the record."""
        self.lines.append(record)

    def close(self) -> None:
        """Prints the table."""
        if self.lines:
            sys.stdout.write(latex_table(self.lines))


def latex_table(lines: Sequence[Line]) -> str:
    """The `tabular` environment of the records."""
    head, rows = _attribute_rows(lines) if "attribute" in lines[0] else _score_rows(lines)
    body = [" & ".join(cells) + r" \\" for cells in rows]
    columns = "l" + "r" * (len(head) - 1)
    parts = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule", *body]
    return "\n".join([*parts, r"\bottomrule", r"\end{tabular}", ""])


def _score_rows(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    names, metrics, found = by_file(lines)
    best = {metric: best_value([found[name][metric]["value"] for name in names], metric) for metric in metrics}
    rows = []
    for name in names:
        cells = [_cell(found[name][metric]["value"], best[metric]) for metric in metrics]
        rows.append([escaped_latex(name), *cells, str(found[name][metrics[0]]["n"])])
    return ["", *map(metric_title, metrics), "$n$"], rows


def _attribute_rows(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    attributes = list(dict.fromkeys(line["attribute"] for line in lines))
    values = {(line.get("file", ""), line["metric"], line["attribute"]): line["value"] for line in lines}
    names, metrics, _ = by_file(lines)
    rows = []
    for metric in metrics:
        best = {a: best_value([values.get((name, metric, a)) for name in names], metric) for a in attributes}
        for name in names:
            cells = [_cell(values.get((name, metric, a)), best[a]) for a in attributes]
            rows.append([f"{escaped_latex(name)} {metric_title(metric)}".strip(), *cells])
    titles = (ATTRIBUTES[a].title if a in ATTRIBUTES else a.capitalize() for a in attributes)
    return ["", *titles], rows


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return "--"
    text = f"{value:.{_DIGITS}f}"
    return rf"\textbf{{{text}}}" if best is not None and text == f"{best:.{_DIGITS}f}" else text


def escaped_latex(text: str) -> str:
    """The text with LaTeX's special characters as commands."""
    return "".join(c if c.isprintable() else "?" for c in text).translate(_ESCAPES)
