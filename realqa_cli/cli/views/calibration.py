"""A calibration on a terminal: what it is worth on held-out labels, and the curve in five points."""

import sys
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from realqa_cli.cli.views.fitted_table import Cells, Column, fitted_table, printable

if TYPE_CHECKING:
    from realqa_cli.steps.calibrate.calibration_file import Calibration

_FACTS = (Column("", left=True), Column("", left=True), Column("", drop=1, left=True))


def print_calibration(calibration: "Calibration") -> None:
    """Prints two tables to stdout."""
    console = Console(file=sys.stdout)
    console.print(fitted_table(_FACTS, _facts(calibration), console.width, titled=False), crop=False)
    console.print()
    columns = (Column("score"), Column(printable(calibration.target)))
    points = np.linspace(*calibration.score_range, 5)
    rows = [[f"{x:.2f}", f"{y:.3g}"] for x, y in zip(points, calibration.curve(points), strict=True)]
    console.print(fitted_table(columns, rows, console.width), crop=False)


def _facts(calibration: "Calibration") -> list[Cells]:
    """Name, figure and explanation, row by row."""
    found = calibration.validation
    low, high = calibration.bounds
    return [
        ["photos", f"{calibration.n}", ""],
        ["curve", calibration.curve.kind, ""],
        ["SRCC", "not defined" if found["srcc"] is None else f"{found['srcc']:.3f}", "held out"],
        ["RMSE before", f"{found['rmse_before']:.3g}", f"scores stretched to {low:g}-{high:g}"],
        ["RMSE after", f"{found['rmse']:.3g}", "held out"],
        [f"{calibration.coverage:.0%} intervals", f"± {calibration.half_width:.3g}", ""],
        ["coverage", f"{found['coverage']:.1%}", "held out"],
    ]
