"""NCM on a terminal: one line for a model, or three for each log of a training run."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from realqa_cli.cli.views.fitted_table import Column, fitted_table

_FIGURES = {
    "ncm": Column("NCM"),
    "ncm_star": Column("NCM*", drop=1),
    "ncm_star_release": Column("NCM* (release)", drop=3),
    "loss": Column("loss", drop=2),
}


def print_ncm(records: Sequence[Mapping[str, Any]]) -> None:
    """Print the records of `realqa ncm`, which are all of one kind."""
    of_model = "n" in records[0]
    columns = [*_FIGURES.values()]
    columns = (
        [*columns, Column("n", drop=4)]
        if of_model
        else [Column("run", is_name=True), Column("steps", left=True), *columns]
    )
    rows, ratios = [], []
    for record in records:
        ratio = record.get("part") == "ratio"
        cells = [_cell(record[name], ratio=ratio) for name in _FIGURES]
        if of_model:
            rows.append([*cells, str(record["n"])])
            continue
        steps = f"{record['part']} ({record['steps'][0]}–{record['steps'][1]})" if record["steps"] else "ratio"
        ratios += [len(rows)] if ratio else []
        rows.append([record["run"] if record["part"] == "first" else "", steps, *cells])
    console = Console(file=sys.stdout)
    console.print(fitted_table(columns, rows, console.width, bold=ratios), crop=False)


def _cell(value: float | None, *, ratio: bool) -> str:
    return "–" if value is None else f"{value:+.1%}" if ratio else f"{value:.3f}"
