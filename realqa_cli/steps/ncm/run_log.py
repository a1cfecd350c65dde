"""Summarises the numerical continuity metric in the log of a training run: Tab. 6 and Fig. 4 of the paper.

Tab. 6 compares the mean of the first 100 logged steps with the mean of the last 100: the convergence ratio is
(last - first) / first. A log of fewer than 200 steps is split into halves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import UsageError
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.plots import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW = 100
MEASURES = ("ncm", "ncm_star", "ncm_star_release", "loss")

_CURVES = (("loss", "cross-entropy", "#8a8f98"), ("ncm", "NCM", "#3b6ea5"), ("ncm_star", "NCM*", "#d1495b"))
_INK = "#2b2b2b"


@dataclass(frozen=True)
class RunLog:
    """The log of one run. name: of its folder.  steps: L logged steps.  values: (L,) by measure, NaN for null."""

    name: str
    steps: list[int]
    values: dict[str, Floats]

    @classmethod
    def read(cls, path: Path) -> "RunLog":
        """Read `log.jsonl`, given as the file or its folder. Raises UsageError for fewer than two steps."""
        file = path / "log.jsonl" if path.is_dir() else path
        lines = [line for _, line in read_lines(file)]
        steps = [line for line in lines if isinstance(line, dict) and isinstance(line.get("step"), int)]
        if len(steps) < len(lines):
            raise UsageError("the file is not the log of a training run", where=str(file), remedy="give RUN/log.jsonl")
        steps = [line for line in steps if "loss" in line]  # lines of --validation have no loss
        if len(steps) < 2:
            raise UsageError("the log has fewer than two steps", where=str(file), remedy="train for more steps")
        # With --number-loss the loss is a different quantity; the paper's curve is the cross-entropy.
        loss = "cross_entropy" if all("cross_entropy" in line for line in steps) else "loss"
        columns = {**{name: name for name in MEASURES}, "loss": loss}
        values = {name: np.array([_number(line.get(key)) for line in steps]) for name, key in columns.items()}
        return cls(file.resolve().parent.name, [line["step"] for line in steps], values)

    @cached_property
    def window(self) -> int:
        """Number of lines of the first part and of the last part."""
        return min(WINDOW, len(self.steps) // 2)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Three records: means of the first part, means of the last part, convergence ratio of each measure."""
        first, last = slice(None, self.window), slice(-self.window, None)
        parts = {"first": first, "last": last}
        means = {part: {m: _mean(self.values[m][where]) for m in MEASURES} for part, where in parts.items()}
        for part, where in parts.items():
            steps = self.steps[where]
            yield {"run": self.name, "part": part, "steps": [steps[0], steps[-1]], **means[part]}
        ratios = {m: _ratio(means["first"][m], means["last"][m]) for m in MEASURES}
        yield {"run": self.name, "part": "ratio", "steps": None, **ratios}


def plot_logs(logs: Sequence[RunLog], path: Path) -> None:
    """Draw Fig. 4: cross-entropy, NCM and NCM* over the steps, one panel per run. Raises UsageError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.8 + 5.4 * len(logs), 3.9), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(logs), sharey=True, squeeze=False)[0]
    for panel, log in zip(panels, logs, strict=True):
        _draw(panel, log)
    panels[0].set_ylabel("nats per token, squared points", color=_INK)
    curves = [_smooth(log.values[m]) for log in logs for m, _, _ in _CURVES if _any(log, m)]
    panels[0].set_ylim(
        0, 1.3 * max(float(np.nanmax(curve)) for curve in curves)
    )  # clips single steps, never a smoothed curve
    panels[-1].legend(frameon=False, loc="upper right", ncols=3, fontsize=9, handlelength=1.4)
    save_figure(figure, path)


def _draw(axes: "Axes", log: RunLog) -> None:
    steps = np.array(log.steps)
    ratios = [*log.rows()][-1]
    for measure, label, colour in _CURVES:
        values = log.values[measure]
        if not _any(log, measure):
            continue
        axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.7)
        axes.plot(steps, _smooth(values), color=colour, linewidth=1.9, label=label, solid_capstyle="round")
    window = log.window
    for start, end in ((steps[0], steps[window - 1]), (steps[-window], steps[-1])):
        axes.axvspan(start, end, color="#f1efe9", zorder=0, linewidth=0)
    summary = ", ".join(
        f"{label} {ratios[measure]:+.1%}" for measure, label, _ in _CURVES if ratios[measure] is not None
    )
    axes.set_title(f"{log.name}\n", loc="left", fontsize=11, color=_INK, fontweight="bold")
    axes.text(0, 1.025, f"last {window} steps compared with first {window}: {summary}", transform=axes.transAxes,
              fontsize=8, color="#6b6f76")  # fmt: skip
    axes.set_xlabel("step", color=_INK)
    axes.set_xlim(steps[0], steps[-1])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e4de", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors="#6b6f76", labelsize=9)


def _smooth(values_L: Floats) -> Floats:
    """A centred moving mean over about a thirtieth of the log, ignoring NaN."""
    width = max(1, len(values_L) // 30) | 1
    known = np.isfinite(values_L)
    ones = np.ones(width)
    sums = np.convolve(np.where(known, values_L, 0), ones, mode="same")
    counts = np.convolve(known.astype(float), ones, mode="same")
    return np.asarray(np.divide(sums, counts, out=np.full(len(values_L), np.nan), where=counts > 0))


def _any(log: RunLog, measure: str) -> bool:
    return bool(np.isfinite(log.values[measure]).any())


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _mean(values_L: Floats) -> float | None:
    known = values_L[np.isfinite(values_L)]
    return float(known.mean()) if known.size else None


def _ratio(first: float | None, last: float | None) -> float | None:
    return (last - first) / first if first and last is not None else None
