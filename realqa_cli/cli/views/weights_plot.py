"""`realqa composite fit --plot`: weights with intervals, VIP, and the error by number of components.

It reads a weights file and writes a picture.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.io.plots import save_figure
from realqa_cli.steps.composite.weights_file import AttributeWeight, Weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _UP, _DOWN, _GREY = "#2b2b2b", "#3b6ea5", "#d1495b", "#8a8a8a"

Ranked = list[tuple[str, AttributeWeight]]


def draw_weights(weights: Weights, path: Path) -> None:
    """Write the picture in the format of the suffix of `path`. Raises UsageError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ranked = sorted(weights.attributes.items(), key=lambda item: abs(item[1].standardised))
    height = 1.4 + 0.34 * max(len(ranked), 4)
    figure = Figure(figsize=(9.6, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    bars, dots, curve = figure.subplots(1, 3, gridspec_kw={"width_ratios": (5, 2, 3.4)})
    _weights(bars, ranked, weights.target)
    _importance(dots, ranked)
    _validation(curve, weights)
    for axes in (bars, dots, curve):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
    validated = weights.cross_validation
    srcc = "" if validated.get("srcc") is None else f", SRCC {validated['srcc']:.3f}"
    title = f"held out: R² {validated['r2']:.3f}{srcc}; {weights.n} labels"
    figure.suptitle(title, fontsize=10, color=_INK)
    save_figure(figure, path)


def _weights(axes: "Axes", ranked: Ranked, target: str) -> None:
    places = np.arange(len(ranked))
    values = np.array([one.standardised for _, one in ranked])
    axes.barh(places, values, height=0.62, color=[_UP if v >= 0 else _DOWN for v in values], alpha=0.85)
    for place, (_, one) in zip(places, ranked, strict=True):
        if one.ci95 is not None:
            axes.plot(one.ci95, (place, place), color=_INK, lw=1.2, solid_capstyle="butt")
    axes.axvline(0, color=_INK, lw=0.8)
    axes.set_yticks(places, [ATTRIBUTES[key].title for key, _ in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    named = target.replace("$", r"\$")
    intervals = ", 95 % interval" if any(one.ci95 for _, one in ranked) else ""
    axes.set_xlabel(f"standardised weight on {named}{intervals}", fontsize=8)


def _importance(axes: "Axes", ranked: Ranked) -> None:
    places = np.arange(len(ranked))
    values = np.array([one.vip for _, one in ranked])
    axes.hlines(places, 0, values, color=_GREY, lw=1)
    axes.scatter(values, places, s=26, color=[_INK if v >= 1 else _GREY for v in values], zorder=3)
    axes.axvline(1, color=_GREY, lw=0.9, ls=(0, (4, 3)))
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.set_xlim(0, max(1.15, values.max() * 1.1))
    axes.set_xlabel("VIP (1 is the average)", fontsize=8)


def _validation(axes: "Axes", weights: Weights) -> None:
    found: dict[str, Any] = weights.cross_validation
    mse, error = np.array(found["mse"]), np.array(found["standard_error"])
    counts = np.arange(1, len(mse) + 1)
    axes.errorbar(counts, mse, yerr=error, color=_UP, lw=1.4, marker="o", ms=3.5, capsize=2)
    best = int(mse.argmin())
    axes.axhline(mse[best], color=_GREY, lw=0.9, ls=(0, (4, 3)))
    chosen = weights.components
    axes.scatter([chosen], [mse[chosen - 1]], s=90, facecolors="none", edgecolors=_DOWN, lw=1.6, zorder=4)
    axes.set_xticks(counts)
    axes.set_xlabel("components (ringed: chosen)", fontsize=8)
    axes.set_ylabel("held-out squared error", fontsize=8)
    axes.grid(color="#e6e6e6", lw=0.6)
    axes.set_xlim(0.5, len(mse) + 0.5)
    axes.set_title("bars: one s.e. of the difference from the least", fontsize=7, loc="left", color=_INK)
