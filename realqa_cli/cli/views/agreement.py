"""How far people followed the model, as tables on stderr: by attribute, and over each annotator's time."""

import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

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
        console.print(_attributes(agreed))
        console.print(Text(_KEY, "dim"))
    if drifts:
        console.print(_annotators(drifts))
        console.print(Text(_DRIFT_KEY, "dim"))
    if few:
        names = dict.fromkeys(str(line["annotator"] or "–") for line in few)
        console.print(Text(f"too few photos to tell a drift: {', '.join(names)}", "dim"))


def _attributes(lines: Sequence[Line]) -> Table:
    table = _table("attribute", "judged", "changed", "kappa", "shift")
    for line in lines:
        weighted = line["kappa"] is not None and line["weights"]
        kappa = Text.assemble(_figure(line["kappa"], ".3f"), ("w" if weighted else " ", "dim"))
        changed, shift = _figure(line["changed"], ".1%"), _figure(line["shift"], "+.2f")
        name = line["attribute"].replace("_", " ")
        table.add_row(name, str(line["judged"]), changed, kappa, shift, _why(line))
    return table


def _annotators(lines: Sequence[Line]) -> Table:
    table = _table("annotator", "share of", "n", "first", "last", "rho", "p")
    before = None
    for line in lines:
        name = "" if line["annotator"] == before else str(line["annotator"] or "–")
        before = line["annotator"]
        certain = line["p"] is not None and line["p"] < CERTAIN
        table.add_row(
            Text(name),
            _DRIFTS[line["drift"]],
            str(line["n"]),
            _figure(line["first"], ".1%"),
            _figure(line["last"], ".1%"),
            _figure(line["rho"], "+.2f"),
            _figure(line["p"], ".3f", "bold" if certain else ""),
            _why(line),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        left = name in ("attribute", "annotator", "share of")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    table.add_column("")
    return table


def _figure(value: float | None, form: str, style: str = "") -> Text:
    return Text("–", "dim") if value is None else Text(format(value, form), style)


def _why(line: Line) -> Text:
    """Why a figure is missing."""
    return Text(str(line.get("reason", "")), "dim")
