"""`realqa eval --plot`: predicted scores against MOS, the fitted logistic, and the images farthest from it.

Few points are drawn one by one, many as hexagons by their number. The images that differ most from the fit
are numbered and named below, so that one can look at them. Knows records and one file format: pictures.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli.domain import metrics
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError
from realqa_cli.io.plots import save_figure
from realqa_cli.steps.evaluate.evaluate import FIT_PARAMETERS, on_mos_range, truth
from realqa_cli.steps.evaluate.predictions import PredictionSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

MANY = 2000
"""Points from which on hexagons are drawn."""
NAMED = 6
"""Images that are named."""

_OVERLAY = ("#3b6ea5", "#d1495b", "#e08e0b", "#4c8c4a", "#7b5ea7", "#5b6770")
_INK, _POINT, _FIT, _FAR = "#2b2b2b", "#3b6ea5", "#d1495b", "#e08e0b"


def draw_scatter(sample: PredictionSet, path: Path, title: str, *, name_farthest: bool = True) -> None:
    """Writes the picture. Raises UsageError where there is nothing to draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pairs = sample.pairs
    if not pairs:
        raise UsageError("there is no pair of score and MOS to draw", where="--plot")
    scores = np.array([pair.score for pair in pairs], dtype=np.float64)
    mos, fitted = truth(pairs), None
    with suppress(ValueError):  # too few or constant: drawn without a curve
        fitted = metrics.fit_logistic(scores, mos, parameters=FIT_PARAMETERS)
    far = _far(mos, fitted(scores) if fitted else on_mos_range(pairs)[0]) if name_farthest else np.arange(0)

    figure = Figure(figsize=(6.4, 6.2 + 0.17 * ((len(far) + 1) // 2)), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(6, 1), height_ratios=(1, 6))
    axes = figure.add_subplot(grid[1, 0])
    _points(axes, scores, mos)
    if fitted:
        x = np.linspace(scores.min(), scores.max(), 200)
        if len(mos) > MANY:  # a white edge, which would hide single points
            axes.plot(x, fitted(x), color="white", lw=4, zorder=3)
        axes.plot(x, fitted(x), color=_FIT, lw=2, zorder=4, label="logistic fit")
    _identity(axes, sample)
    _mark(axes, scores[far], mos[far])
    axes.set_xlabel(_axis("predicted score", pairs[0].scale))
    axes.set_ylabel(_axis("MOS", pairs[0].mos_range))
    axes.grid(color="#e6e6e6", lw=0.6, zorder=0)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    _margins(figure, grid, axes, scores, mos)
    figure.suptitle(title, fontsize=10, color=_INK)
    if far.size:
        listed = [f"{i} {_short(Path(pairs[j].row.name).name)}" for i, j in enumerate(far, 1)]
        below = "\n".join("    ".join(listed[i : i + 2]) for i in range(0, len(listed), 2))
        figure.supxlabel(f"farthest from the fit:\n{below}", fontsize=7.5, color=_INK)
    save_figure(figure, path)


def draw_overlay(samples: Sequence[tuple[str, PredictionSet]], path: Path) -> None:
    """Several files in one plot, each in its color with its fit; scores are mapped to the unit of the MOS.

    samples: (text of the legend, predictions). Raises UsageError where one has nothing to draw, or other MOS ranges.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for name, sample in samples:
        if not sample.pairs:
            raise UsageError(f"there is no pair of score and MOS to draw in {name}", where="--plot")
    ranges = {sample.pairs[0].mos_range for _, sample in samples}
    if len(ranges) > 1:
        raise UsageError("the files have MOS of different ranges", where="--plot", remedy="plot them one by one")
    figure = Figure(figsize=(6.4, 6.2 + 0.2 * len(samples)), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for i, (name, sample) in enumerate(samples):
        color = _OVERLAY[i % len(_OVERLAY)]
        scores, mos = on_mos_range(sample.pairs)[0], truth(sample.pairs)
        size, alpha = float(np.clip(3000 / len(mos), 2, 24)), float(np.clip(30 / len(mos) ** 0.5, 0.12, 0.6))
        axes.scatter(scores, mos, s=size, alpha=alpha, color=color, linewidths=0, zorder=2)
        label = _short(name, 90)
        with suppress(ValueError):
            x = np.linspace(scores.min(), scores.max(), 200)
            fitted = metrics.fit_logistic(scores, mos, parameters=FIT_PARAMETERS)(x)
            axes.plot(x, fitted, color="white", lw=4, zorder=3)
            axes.plot(x, fitted, color=color, lw=2, zorder=4, label=label)
            continue
        axes.scatter([], [], color=color, label=label)
    mos_range = samples[0][1].pairs[0].mos_range
    axes.set_xlabel(_axis("predicted score, as MOS", mos_range))
    axes.set_ylabel(_axis("MOS", mos_range))
    axes.grid(color="#e6e6e6", lw=0.6, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8)
    save_figure(figure, path)


def _points(axes: "Axes", scores: Floats, mos: Floats) -> None:
    if len(mos) > MANY:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("points", ["#c9dcee", _POINT, "#10253c"])
        hexagons = axes.hexbin(scores, mos, gridsize=50, bins="log", mincnt=1, cmap=colours, linewidths=0.1)
        bar = axes.figure.colorbar(hexagons, ax=axes, location="bottom", fraction=0.03, pad=0.02, aspect=50)
        bar.set_label("images in a hexagon", fontsize=8)
        bar.ax.xaxis.set_major_formatter(lambda count, _: f"{count:g}")
        bar.ax.tick_params(labelsize=7)
        return
    size, alpha = float(np.clip(3000 / len(mos), 8, 36)), float(np.clip(60 / len(mos) ** 0.5, 0.35, 0.85))
    axes.scatter(scores, mos, s=size, alpha=alpha, color=_POINT, edgecolors="white", linewidths=0.3, zorder=2)


def _identity(axes: "Axes", sample: PredictionSet) -> None:
    """Where a perfect scorer's points would lie: the affine map from the model's scale to the MOS's."""
    first = sample.pairs[0]
    if first.scale is None or first.mos_range is None:
        return
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot(first.scale, first.mos_range, color=_INK, lw=0.9, ls=(0, (4, 4)), zorder=1, label="score = MOS")
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def _far(mos: Floats, expected: Floats) -> NDArray[np.intp]:
    """The images that differ most, largest difference first; none where all points are identifiable without."""
    if len(mos) <= NAMED:
        return np.arange(0)
    return np.argsort(-np.abs(mos - expected), kind="stable")[:NAMED]


def _mark(axes: "Axes", scores: Floats, mos: Floats) -> None:
    """Rings with numbers; a number goes to the other side of its ring where another is close."""
    axes.scatter(scores, mos, s=46, facecolors="none", edgecolors=_FAR, linewidths=1.3, zorder=5)
    places_N2 = axes.transData.transform(np.column_stack([scores, mos]))
    for i, (x, y) in enumerate(zip(scores, mos, strict=True), 1):
        near = np.hypot(*(places_N2[: i - 1] - places_N2[i - 1]).T) < 40  # pixels
        offset = ((7, 5), (-13, -12), (7, -12), (-13, 5))[int(near.sum()) % 4]
        box = {"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.85}
        style: dict[str, Any] = {
            "fontsize": 8.5,
            "fontweight": "bold",
            "color": _INK,
            "bbox": box,
            "zorder": 6,
        }
        axes.annotate(str(i), (x, y), xytext=offset, textcoords="offset points", **style)


def _margins(figure: Any, grid: Any, axes: "Axes", scores: Floats, mos: Floats) -> None:
    """The two distributions, along the axes that they belong to."""
    bins = int(np.clip(len(mos) ** 0.5 * 1.5, 8, 60))
    above = figure.add_subplot(grid[0, 0], sharex=axes)
    above.hist(scores, bins=bins, color=_POINT, alpha=0.55)
    right = figure.add_subplot(grid[1, 1], sharey=axes)
    right.hist(mos, bins=bins, color=_POINT, alpha=0.55, orientation="horizontal")
    for margin in (above, right):
        margin.axis("off")
        margin.margins(0.06)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _axis(what: str, scale: Scale | None) -> str:
    return f"{what} (scale {str(scale).replace('-', '–')})" if scale else what


def _short(name: str, length: int = 38) -> str:
    """The name as plain text: no control characters, no $ that would start a formula."""
    clean = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return clean if len(clean) <= length else f"{clean[: length // 2 - 1]}…{clean[-length // 2 :]}"
