"""Fig. 1 of the paper: how well each attribute alone agrees with the MOS.

The attributes are a model's own labels of the images (`realqa self-label`), or with --known those of the
file. The paper shows its correlations as a picture only, so there are no published rows.

    python examples/paper/figure_1_attributes.py --tiny
    python examples/paper/figure_1_attributes.py --labels koniq-test.jsonl --model my-model --plot koniq.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tables import Figure, Row, Study, Table, parser, read
from tiny import SAMPLES, make

from realqa_cli.domain import metrics
from realqa_cli.domain.attributes import ATTRIBUTES

TABLE = Table("Fig. 1", "correlation of each attribute with the MOS", ("SRCC", "PLCC", "n"))
METRICS = {"srcc": metrics.srcc, "plcc": metrics.plcc}


def main() -> None:
    """Labels, correlates, prints, and draws with --plot."""
    options = parser(__doc__)
    options.add_argument("--labels", type=Path, metavar="LABELS.jsonl", help="images with mos")
    options.add_argument("--known", action="store_true", help="take the attributes of the file as they are")
    options.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the SRCC as bars")
    given = options.parse_args()
    study = Study(given)
    if not given.labels and not study.tiny:
        sys.exit("give --labels, or --tiny")
    labels = given.labels or make(given.work / "scenes", given.photos or SAMPLES, given.scenes).test
    labelled = labels if given.known else own_labels(study, labels)
    rows = correlations(read(labelled), read(labels), given.bootstrap)
    print(TABLE.markdown(rows, note=f"{'Known attributes' if given.known else study.model} on {labels}."))
    if given.plot:
        draw(rows, given.plot)


def own_labels(study: Study, labels: Path) -> Path:
    """The model's attributes of the images."""
    bounds = ["--min-pixels", 12544, "--max-pixels", 50176] if study.tiny else []
    return study.self_label("figure-1", labels, study.model, *bounds)


def correlations(labelled: list[dict[str, Any]], scored: list[dict[str, Any]], resamples: int) -> list[Row]:
    """A row an attribute that has a code; one whose codes are all equal is N.A."""
    mos = {Path(record["image"]).name: record["mos"] for record in scored if "mos" in record}
    rows = []
    for key, attribute in ATTRIBUTES.items():
        pairs = [
            (attribute.code(record["attributes"][key]), mos[Path(record["image"]).name])
            for record in labelled
            if attribute.kind != "text" and key in record.get("attributes", {})
        ]
        if pairs:
            codes, scores = (list(side) for side in zip(*pairs, strict=True))
            cells = [figure(METRICS[name], codes, scores, resamples) for name in METRICS]
            rows.append(Row(key.replace("_", " "), [*cells, str(len(pairs))]))
    return rows


def figure(metric: metrics.Metric, codes: list[int], scores: list[float], resamples: int) -> Figure:
    """The value and its interval, or nothing where there is none."""
    try:
        value = metric(codes, scores)
        found = metrics.bootstrap(metric, codes, scores, resamples=resamples) if resamples else None
    except ValueError:
        return Figure(None)
    return Figure(value, (found.low, found.high) if found else None)


def draw(rows: list[Row], path: Path) -> None:
    """Bars of the SRCC with their intervals."""
    from matplotlib.figure import Figure as Canvas

    figures = [(row.name, row.cells[0]) for row in rows]
    shown = [(name, cell, cell.value) for name, cell in figures if isinstance(cell, Figure) and cell.value is not None]
    canvas = Canvas(figsize=(6.4, 0.6 + 0.36 * len(shown)), dpi=160, layout="constrained")
    axes = canvas.subplots()
    for place, (_, cell, value) in enumerate(shown):
        axes.barh(place, value, color="#3b6ea5", height=0.62)
        if cell.ci95:
            axes.plot(cell.ci95, (place, place), color="#2b2b2b", linewidth=1.2)
    axes.set_yticks(range(len(shown)), [name for name, _, _ in shown])
    axes.invert_yaxis()
    axes.axvline(0, color="#2b2b2b", linewidth=0.8)
    axes.set_xlabel("SRCC with the MOS")
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path)


if __name__ == "__main__":
    main()
