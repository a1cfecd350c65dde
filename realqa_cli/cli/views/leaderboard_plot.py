"""`realqa leaderboard --plot`: a figure for papers, with a panel for each metric on each data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli.cli.views.metrics import metric_title
from realqa_cli.io.plots import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, Any]

_INK, _BEST, _OTHER = "#2b2b2b", "#d1495b", "#3b6ea5"


def draw_leaderboard(lines: Sequence[Line], path: Path) -> None:
    """Write the figure: each model with its value and interval, the best one in red. Raises OutputError."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    datasets, metrics, models = (
        [*dict.fromkeys(line[key] for line in lines)] for key in ("dataset", "metric", "model")
    )
    size = (2.2 + 2.6 * len(metrics), 0.9 + len(datasets) * (0.5 + 0.28 * len(models)))
    figure = Figure(figsize=size, dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(datasets), len(metrics), squeeze=False, sharey=True)
    for row, dataset in enumerate(datasets):
        for column, metric in enumerate(metrics):
            axes = grid[row][column]
            some = [line for line in lines if (line["dataset"], line["metric"]) == (dataset, metric)]
            _panel(axes, some, models)
            if row == 0:
                axes.set_title(metric_title(metric), fontsize=9, color=_INK)
            if column == 0:
                axes.set_ylabel(_plain(dataset), fontsize=8)
    save_figure(figure, path)


def _panel(axes: "Axes", lines: Sequence[Line], models: Sequence[str]) -> None:
    for line in lines:
        if line["value"] is None:
            continue
        place, colour = models.index(line["model"]), _BEST if line["best"] else _OTHER
        if line["ci95"] is not None:
            axes.plot(line["ci95"], (place, place), color=colour, lw=1.4, solid_capstyle="butt")
        axes.plot([line["value"]], [place], marker="o", ms=4.5, color=colour)
        axes.annotate(f"{line['value']:.3f}", (line["value"], place), (0, 4), textcoords="offset points", fontsize=6)
    axes.set_yticks(range(len(models)), [_plain(_short(model)) for model in models], fontsize=7)
    axes.set_ylim(len(models) - 0.4, -0.7)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _short(model: str) -> str:
    """The last part of a hub id or path."""
    return model.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or model


def _plain(text: str) -> str:
    """The text without what matplotlib would read as mathematics."""
    return text.replace("$", r"\$")
