"""A calibration on a terminal: what it is worth on held-out labels, and the curve in five points."""

import sys
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from realqa_cli.steps.calibrate.calibration_file import Calibration


def print_calibration(calibration: "Calibration") -> None:
    """Prints two tables to stdout."""
    console, found = Console(file=sys.stdout), calibration.validation
    low, high = calibration.bounds
    facts = Table(box=None, show_header=False, pad_edge=False)
    srcc = "not defined" if found["srcc"] is None else f"{found['srcc']:.3f}"
    for name, text in (
        ("photos", f"{calibration.n}"),
        ("curve", calibration.curve.kind),
        ("SRCC", srcc),
        ("RMSE before", f"{found['rmse_before']:.3g} (scores stretched to {low:g}-{high:g})"),
        ("RMSE held out", f"{found['rmse']:.3g}"),
        ("intervals", f"± {calibration.half_width:.3g} for {calibration.coverage:.0%}"),
        ("coverage held out", f"{found['coverage']:.1%}"),
    ):
        facts.add_row(name, text)
    console.print(facts)
    curve = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("score", calibration.target):
        curve.add_column(name, justify="right")
    for score in np.linspace(*calibration.score_range, 5):
        curve.add_row(f"{score:.2f}", f"{float(calibration.curve(np.array([score]))[0]):.3g}")
    console.print()
    console.print(curve)
