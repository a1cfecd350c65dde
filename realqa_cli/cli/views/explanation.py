"""The explanation of a score: tables on a terminal, the occlusion map as a picture, and an HTML page."""

import base64
import sys
from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from rich.console import Console
from rich.text import Text

from realqa_cli.cli.views.fitted_table import Column, fitted_table
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.errors import escaped
from realqa_cli.io.jsonl import write_atomic
from realqa_cli.io.plots import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from realqa_cli.steps.explain.explain import Explanation

FLIPS = 10
"""Flips that the table shows."""
SMALLEST = 0.01
"""Points that the colors of the map span at least: smaller contributions are next to nothing."""

_MEASURES = {
    "sharpness": ("sharpness", "{:.4f}", "of the sharpest parts; compare photos of one scene only"),
    "noise": ("noise", "{:.1f} levels of 255", "standard deviation in the flattest parts"),
    "clipped_highlights": ("clipped highlights", "{:.2f} %", "pixels that are white"),
    "clipped_shadows": ("clipped shadows", "{:.2f} %", "pixels that are black"),
    "mean_luminance": ("mean luminance", "{:.0f} %", "of white"),
}

_MEASURE_COLUMNS = (Column("measure", left=True), Column("value", left=True), Column("", drop=1, left=True))
_FLIP_COLUMNS = (
    Column("attribute", is_name=True),
    Column("answer", drop=1, is_name=True),
    Column("instead", is_name=True),
    Column("change"),
)


def print_explanation(record: Mapping[str, Any]) -> None:
    """Prints the tables to stdout."""
    console = Console(file=sys.stdout)
    if record["error"] is not None:
        console.print(Text(escaped(record["error"]["message"]), "red"))
        return
    low, high = record["scale"]
    interval = f"90 % from {record['interval'][0]:.2f} to {record['interval'][1]:.2f}"
    console.print(Text(escaped(str(record["image"])), "bold"))
    console.print(f"score {record['score']:.2f} on {low:g}-{high:g}, {interval}\n", highlight=False)
    measures: list[list[str | Text]] = [[name, text, Text(note, "dim")] for name, text, note in measures_of(record)]
    console.print(fitted_table(_MEASURE_COLUMNS, measures, console.width), crop=False)
    if record["flips"]:
        console.print(f"\nscore {record['score_cot']:.2f} after the chain of thought; with another answer:\n")
        flips: list[list[str | Text]] = []
        for flip in record["flips"][:FLIPS]:
            title = ATTRIBUTES[flip["attribute"]].title
            flips.append([title, str(flip["answer"]), str(flip["exchanged"]), _change(flip["change"])])
        console.print(fitted_table(_FLIP_COLUMNS, flips, console.width), crop=False)
    if record["not_used"]:
        names = ", ".join(ATTRIBUTES[key].title for key in record["not_used"])
        console.print(Text(f"\nnot used, as the model does not know them: {names}", "dim"))
    best, worst = extremes(record)
    console.print(Text(f"\nmost helpful part: {best}; most harmful part: {worst}"))


def measures_of(record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value with unit, note) of the measures."""
    found = record["measures"]
    return [(name, form.format(found[key]), note) for key, (name, form, note) in _MEASURES.items() if key in found]


def extremes(record: Mapping[str, Any]) -> tuple[str, str]:
    """Where the largest and the smallest contribution are, in words; "none" if no part has one of that sign."""
    values = np.array(record["occlusion"]["contributions"])
    rows, columns = record["occlusion"]["rows"], record["occlusion"]["columns"]

    def place(index: int, sign: int) -> str:
        row, column = divmod(index, values.shape[1])
        if sign * values[row, column] <= 0:
            return "none"
        across = (columns[column] + columns[column + 1]) / 2
        down = (rows[row] + rows[row + 1]) / 2
        return f"{across:.0%} from the left, {down:.0%} from the top ({values[row, column]:+.3f})"

    return place(int(values.argmax()), 1), place(int(values.argmin()), -1)


def draw_map(found: "Explanation", path: Path) -> None:
    """Writes the map over the photo as a picture. Raises OutputError."""
    save_figure(_figure(found), path)


def write_page(found: "Explanation", path: Path) -> None:
    """Writes one self-contained HTML page."""
    buffer = BytesIO()
    _figure(found).savefig(buffer, format="png")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("realqa_cli.cli.views").joinpath("explanation.html.j2").read_text("utf-8"))
    record = found.record
    flips = record["flips"] or []
    most = max((abs(flip["change"]) for flip in flips), default=0) or 1
    page = template.render(
        record=record,
        picture=base64.b64encode(buffer.getvalue()).decode(),
        measures=measures_of(record),
        flips=[
            {**flip, "title": ATTRIBUTES[flip["attribute"]].title, "width": 50 * abs(flip["change"]) / most}
            for flip in flips
        ],
        unknown=[ATTRIBUTES[key].title for key in record["not_used"]],
        extremes=extremes(record),
    )
    write_atomic(path, page)


def _figure(found: "Explanation") -> "Figure":
    """The photo with the groups in colors: blue raises the score, red lowers it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    assert found.photo is not None, "only for photos that were scored"
    assert found.occlusion is not None
    photo, values = found.photo, found.occlusion.contributions_R_C
    width, height = photo.size
    limit = max(SMALLEST, float(np.abs(values).max()))
    figure = Figure(figsize=(8, 8 * height / width + 0.85), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(np.asarray(photo.convert("L").convert("RGB")), extent=(0, width, height, 0))
    x, y = np.array(found.occlusion.columns) * width, np.array(found.occlusion.rows) * height
    strength = np.abs(values) / limit
    opacity: Any = 0.75 * strength**0.7  # an opacity for each cell, which the types of matplotlib do not know
    axes.pcolormesh(x, y, values, cmap="RdBu", vmin=-limit, vmax=limit, alpha=opacity)
    axes.set_axis_off()
    shades = ScalarMappable(norm=Normalize(-limit, limit), cmap="RdBu")  # the map's own are transparent
    bar = figure.colorbar(shades, ax=axes, location="bottom", shrink=0.8, pad=0.02, aspect=40)
    bar.set_label("points of the score that a part adds (blue) or takes away (red)")
    return figure


def _change(change: float) -> Text:
    return Text(f"{change:+.2f}", "green" if change > 0 else "red")
