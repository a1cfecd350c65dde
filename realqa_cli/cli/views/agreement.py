"""How far people followed the model, as tables on stderr: by attribute, and over each annotator's time."""

import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realqa_cli.cli.views.fitted_table import Column, fitted_table

Line = Mapping[str, Any]

CERTAIN = 0.05
"""p-value below which a drift is shown in bold."""

_DRIFTS = {
    "neutral": "middle classes",
    "neutral_beyond_model": "… beyond the model's",
    "changed": "changed attributes",
}
_KEY = "kappa with the model (w: quadratic weights); shift: person less model, classes"
_DRIFT_KEY = "first, last: thirds of the annotator's own sequence; rho: Spearman's, along it"


def show(lines: Sequence[Line], file: IO[str] | None = None) -> None:
    """Prints the records of `annotation.agreement`; attributes that nobody judged are left out."""
    console = Console(file=file or sys.stderr, highlight=False)
    agreed = [line for line in lines if line["measure"] == "agreement" and line["judged"]]
    drifts = [line for line in lines if line["measure"] == "drift" and line["first"] is not None]
    few = [line for line in lines if line["measure"] == "drift" and line["first"] is None]
    if agreed:
        console.print(_attributes(agreed, console.width), crop=False)
        console.print(Text(_KEY, "dim"))
    if drifts:
        console.print(_annotators(drifts, console.width), crop=False)
        console.print(Text(_DRIFT_KEY, "dim"))
    if few:
        names = dict.fromkeys(str(line["annotator"] or "–") for line in few)
        console.print(Text(f"too few photos to tell a drift: {', '.join(names)}", "dim"))


_ATTRIBUTES = (
    Column("attribute", left=True),
    Column("judged", drop=3),
    Column("changed", drop=2),
    Column("kappa"),
    Column("shift", drop=1),
    Column("", drop=4, left=True),  # why a figure is missing
)
_ANNOTATORS = (
    Column("annotator", is_name=True),
    Column("share of", is_name=True),
    Column("n", drop=3),
    Column("first", drop=2),
    Column("last", drop=1),
    Column("rho"),
    Column("p"),
    Column("", drop=4, left=True),
)


def _attributes(lines: Sequence[Line], width: int) -> Table:
    rows: list[list[str | Text]] = []
    for line in lines:
        weighted = line["kappa"] is not None and line["weights"]
        kappa = Text.assemble(_figure(line["kappa"], ".3f"), ("w" if weighted else " ", "dim"))
        changed, shift = _figure(line["changed"], ".1%"), _figure(line["shift"], "+.2f")
        name = line["attribute"].replace("_", " ")
        rows.append([name, str(line["judged"]), changed, kappa, shift, _why(line)])
    return fitted_table(_ATTRIBUTES, rows, width)


def _annotators(lines: Sequence[Line], width: int) -> Table:
    rows: list[list[str | Text]] = []
    before = None
    for line in lines:
        name = "" if line["annotator"] == before else str(line["annotator"] or "–")
        before = line["annotator"]
        certain = line["p"] is not None and line["p"] < CERTAIN
        figures = [_figure(line["first"], ".1%"), _figure(line["last"], ".1%"), _figure(line["rho"], "+.2f")]
        p = _figure(line["p"], ".3f", "bold" if certain else "")
        rows.append([name, _DRIFTS[line["drift"]], str(line["n"]), *figures, p, _why(line)])
    return fitted_table(_ANNOTATORS, rows, width)


def _figure(value: float | None, form: str, style: str = "") -> Text:
    return Text("–", "dim") if value is None else Text(format(value, form), style)


def _why(line: Line) -> Text:
    """Why a figure is missing."""
    return Text(str(line.get("reason", "")), "dim")
