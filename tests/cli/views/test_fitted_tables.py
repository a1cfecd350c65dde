"""Every table of every command at several widths: no number is cut, no line is longer than the terminal."""

import ast
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from realqa_cli.cli import views
from realqa_cli.cli.views import (
    agreement,
    calibration,
    explanation,
    findings,
    leaderboard,
    metrics,
    ncm_table,
    pairs,
    presets,
    ranking,
    scores,
    sorting,
    weights,
)
from realqa_cli.cli.views.fitted_table import COMFORTABLE, NARROWEST, Column, fitted_table, shortened_text
from realqa_cli.cli.views.latex import latex_table

WIDTHS = (40, 60, 80, 120)
LONG = "holidays/2026-08-14 in the mountains with everybody/IMG_20260814_183005_0123.jpg"


@dataclass(frozen=True)
class Drawn:
    """A table as text."""

    text: str
    width: int

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def numbers(self) -> set[str]:
        return set(re.findall(r"[+-]?\d[\d.]*", self.text))


def metric_lines(**more: Any) -> list[dict[str, Any]]:
    values = {"srcc": 0.939, "plcc": 0.941, "krcc": 0.812, "rmse": 10.345}
    counts = {"n": 10073, "unparsed": 12, "missing": 3}
    return [
        {"metric": name, "value": value, "ci95": [value - 0.01, value + 0.01], **counts, **more}
        for name, value in values.items()
    ]


def of_sink(make: Callable[[], Any], records: list[dict[str, Any]]) -> None:
    sink = make()
    for record in records:
        sink.write(record)
    sink.close()


def score_table() -> None:
    scored = {"std": 0.5, "interval": [3.25, 4.75], "mass": 0.125, "scale": [1.0, 5.0], "percentile_reference": 88.8}
    records = [{"image": f"{i}-{LONG}", "score": 3.98, **scored} for i in range(3)]
    failed = {"image": "bad.jpg", "error": {"type": "unsupported", "message": "bad.jpg: broken"}}
    of_sink(lambda: scores.ScoreTable(lambda: None), [*records, failed])


def calibrated_scores() -> None:
    scored = {"std": 0.5, "interval": [3.25, 4.75], "mass": 0.125, "scale": [1.0, 5.0], "percentile_reference": 88.8}
    label = {"calibrated": 67.25, "calibrated_interval": [51.5, 80.5], "calibrated_range": [0, 100]}
    of_sink(
        lambda: scores.ScoreTable(lambda: None),
        [{"image": f"{i}-{LONG}", "score": 3.98, **scored, **label} for i in range(3)],
    )


def one_file() -> None:
    of_sink(metrics.MetricTable, metric_lines())


def comparison() -> None:
    of_sink(metrics.MetricTable, metric_lines(ours=0.939, theirs=0.901, p=0.002, compared_with=LONG))


def attribute_table(**more: Any) -> list[dict[str, Any]]:
    lines = []
    for attribute in ("eye_catching", "background_clutter", "average"):
        lines += [line | {"attribute": attribute} | more for line in metric_lines() if line["metric"] != "rmse"]
    return lines


def attributes() -> None:
    of_sink(metrics.MetricTable, attribute_table())


def several_files() -> None:
    of_sink(metrics.MetricTable, [line for i in range(3) for line in metric_lines(file=f"{i}{LONG}")])


def attributes_of_files() -> None:
    of_sink(metrics.MetricTable, [line for i in "ab" for line in attribute_table(file=f"{i}{LONG}")])


def sort_probe() -> None:
    shares = {"accuracy": 0.625, "recall": 0.875, "hallucination": 0.125}
    one = {"model": f"models/{LONG}", **shares, "trials": 2000, "unparsed": 13, "failed": 0}
    of_sink(lambda: sorting.SortingTable(lambda: None), [one, {**one, "accuracy": None}])


def composite_fit() -> None:
    from realqa_cli.steps.composite.weights_file import AttributeWeight, Weights

    one = AttributeWeight.model_construct(weight=-0.0123, standardised=-0.456, ci95=(-0.9, -0.1), vip=1.25)
    validated = {"r2": 0.5, "srcc": 0.7}
    made = Weights.model_construct(
        attributes={"background_clutter": one}, target="ctr", n=100, components=2, cross_validation=validated
    )
    weights.print_weights(made)


def ncm_of_logs() -> None:
    figures = {"ncm": 12.345, "ncm_star": 6.789, "ncm_star_release": 1.234, "loss": 0.567}
    parts = (("first", (1, 100)), ("last", (901, 1000)), ("ratio", None))
    ncm_table.print_ncm([{"run": f"run of {LONG}", "part": part, "steps": steps, **figures} for part, steps in parts])


def ncm_of_model() -> None:
    ncm_table.print_ncm([{"ncm": 12.345, "ncm_star": 6.789, "ncm_star_release": 1.234, "loss": 0.567, "n": 123}])


def annotators() -> None:
    agreed = {"measure": "agreement", "attribute": "background_clutter", "judged": 1234, "changed": 0.125}
    drift = {"measure": "drift", "annotator": f"{LONG}@example.org", "drift": "neutral_beyond_model", "n": 1234}
    figures = {"first": 0.125, "last": 0.25, "rho": -0.5, "p": 0.001}
    agreement.show([{**agreed, "kappa": 0.625, "weights": "quadratic", "shift": 0.5}, {**drift, **figures}])


def ranking_table() -> None:
    place = {"p_better_than_next": 0.625, "decided": False, "stars": 4, "keep": True, "sharpness": 0.125}
    of_sink(
        ranking.RankTable,
        [
            {"image": f"{i}{LONG}", "score": 3.98, "group": 1, "rank": i, "rank_in_group": i, **place, "error": None}
            for i in (1, 2, 3)
        ],
    )


def explanation_tables() -> None:
    flip = {"attribute": "background_clutter", "answer": "moderately cluttered", "exchanged": "uncluttered"}
    measures = {"sharpness": 0.1234, "noise": 2.5, "clipped_highlights": 0.25}
    parts = {"contributions": [[0.125, -0.125]], "rows": [0.0, 1.0], "columns": [0.0, 0.5, 1.0]}
    scored = {"score": 3.98, "scale": [1.0, 5.0], "interval": [3.25, 4.75], "score_cot": 3.875, "error": None}
    record = {"image": "a.jpg", **scored, "measures": measures, "not_used": [], "occlusion": parts}
    explanation.print_explanation({**record, "flips": [{**flip, "change": -0.375}]})


def ranking_of_photos_without_scores() -> None:
    place = {"p_better_than_next": None, "decided": None, "stars": None, "keep": False, "sharpness": None}
    of_sink(
        ranking.RankTable,
        [{"image": LONG, "score": 3.98, "group": 1, "rank": 1, "rank_in_group": 1, **place, "error": None}],
    )


def compared_pairs() -> None:
    compared = {"p_a_better": 0.625, "better": None, "score_a": 3.98, "score_b": 3.875, "position_bias": 0.125}
    pair = {"image_a": f"first of {LONG}", "image_b": f"second of {LONG}", **compared, "error": None}
    of_sink(pairs.PairTable, [pair, pair | {"better": "a", "choice": "b"}])


def leaderboard_table() -> None:
    figures = {"n": 10073, "unparsed": 1, "missing": 2, "repeatability": 0.000125, "best": True}
    lines = [
        {"dataset": f"koniq10k of {LONG}", "model": f"{model} of {LONG}", "metric": metric, "value": 0.939, **figures}
        | {"ci95": [0.934, 0.944], "difference": -0.012, "difference_ci95": [-0.02, -0.004]}
        for model in ("first", "second")
        for metric in ("srcc", "plcc")
    ]
    of_sink(leaderboard.BoardTable, lines)


def fitted_calibration() -> None:
    from realqa_cli.steps.calibrate.calibration_file import Calibration
    from realqa_cli.steps.calibrate.curves import IsotonicCurve

    found = {"srcc": 0.875, "rmse_before": 12.375, "rmse": 9.125, "coverage": 0.905}
    curve = IsotonicCurve(scores=(1.0, 5.0), labels=(12.5, 87.5))
    one: dict[str, Any] = {
        "target": "opinion of the members of the club",
        "bounds": (0.0, 100.0),
        "n": 1234,
        "coverage": 0.9,
    }
    calibration.print_calibration(
        Calibration.model_construct(**one, curve=curve, half_width=17.25, score_range=(1.0, 5.0), validation=found)
    )


def findings_of_doctor() -> None:
    why = f"the largest difference between single photos and batches is 0.00125 (limit 0.005), of {LONG}"
    finding = {"check": "singles and batch", "message": why, "remedy": f"use --batch-size 1 or 0.125 of {LONG}"}
    of_sink(
        lambda: findings.FindingLines(lambda: None),
        [{**finding, "status": status} for status in ("ok", "warning", "failed", "skipped")],
    )


def all_presets() -> None:
    from realqa_cli.cli.presets import preset_rows

    presets.print_presets(preset_rows())


TABLES = (
    *(score_table, calibrated_scores, one_file, comparison, attributes, several_files, attributes_of_files),
    *(sort_probe, composite_fit, ncm_of_logs, ncm_of_model, annotators, explanation_tables, leaderboard_table),
    *(ranking_table, ranking_of_photos_without_scores, compared_pairs, fitted_calibration, findings_of_doctor),
    all_presets,
)


def drawn(table: Callable[[], None], width: int, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    monkeypatch.setenv("COLUMNS", str(width))
    written = io.StringIO()
    monkeypatch.setattr("sys.stdout", written)
    monkeypatch.setattr("sys.stderr", written)
    table()
    monkeypatch.undo()
    return Drawn(written.getvalue(), width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_a_table_fits_and_cuts_no_number(
    table: Callable[[], None], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drawn(table, width, monkeypatch)
    widest = drawn(table, 1000, monkeypatch)
    assert all(cell_len(line.rstrip()) <= width for line in found.lines)
    assert not re.search(r"\d\.?…|…\s*\d+\.\d*\b(?!\.)", re.sub(r"\S*[A-Za-z]\S*", "", found.text))
    assert {n for n in found.numbers if "." in n} <= widest.numbers | {"0123."} | numbers_in_names(found)


def numbers_in_names(found: Drawn) -> set[str]:
    """Those next to the ellipsis of a shortened name."""
    return {
        n for word in re.findall(r"\S*…\S*|\S*[A-Za-z_]\S*", found.text) for n in re.findall(r"[+-]?\d[\d.]*", word)
    }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_a_wider_terminal_shows_at_least_as_much(table: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [len("".join(drawn(table, width, monkeypatch).text.split())) for width in WIDTHS]
    assert all(narrow <= wide for narrow, wide in pairwise(shown))


def test_a_calibrated_score_has_a_column_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    head, first, *_ = drawn(calibrated_scores, 120, monkeypatch).lines
    assert head.split()[-6:] == ["interval", "pct.", "ref.", "90", "%", "p"]
    assert "calib." in head
    assert "67.2 51.5–80.5" in first
    assert "calib." in drawn(calibrated_scores, 40, monkeypatch).lines[0], "what was asked for is not left out"
    plain = drawn(score_table, 120, monkeypatch).text
    assert "calib." not in plain
    assert "interval" not in plain


def test_columns_are_left_out_in_their_order() -> None:
    columns = (Column("name", is_name=True), Column("score"), Column("second", drop=2), Column("first", drop=3))
    rows = [["a-long-name-of-a-photo.jpg", "3.98", "12345678", "12345678"]]

    def titles(width: int) -> list[str]:
        return [str(column.header).strip() for column in fitted_table(columns, rows, width).columns]

    assert titles(60) == ["name", "score", "second", "first"]
    assert titles(40) == ["name", "score", "second"]
    assert titles(30) == titles(5) == ["name", "score"]
    assert NARROWEST < COMFORTABLE


def test_a_name_keeps_its_start_and_its_end() -> None:
    assert shortened_text(Text("IMG_20260814_183005_0123.jpg"), 15).plain == "IMG_202…123.jpg"
    assert shortened_text(Text("short.jpg"), 15).plain == "short.jpg"
    wide = shortened_text(Text("写真写真写真写真写真.jpg"), 12).plain
    assert cell_len(wide) <= 12
    assert wide.endswith(".jpg")


def test_a_table_that_cannot_fit_is_longer_than_the_terminal_and_not_cut() -> None:
    console = Console(width=12, file=io.StringIO())
    console.print(fitted_table((Column("value"), Column("interval")), [["0.939", "0.934 – 0.944"]], 12), crop=False)
    assert "0.939 0.934 – 0.944" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_best_of_several_files_is_bold_in_latex() -> None:
    lines = [
        *metric_lines(file="a_b.jsonl"),
        *({**line, "value": line["value"] - 0.1} for line in metric_lines(file="c")),
    ]
    table = latex_table(lines)
    assert r"a\_b.jsonl & \textbf{0.939} & \textbf{0.941} & \textbf{0.812} & 10.345 & 10073 \\" in table
    assert r"c & 0.839 & 0.841 & 0.712 & \textbf{10.245} & 10073 \\" in table
    assert table.startswith(r"\begin{tabular}{lrrrrr}")


def test_attributes_are_columns_in_latex() -> None:
    table = latex_table(attribute_table())
    assert " & Eye-Catching & Background Clutter & Average" in table
    assert "SRCC & 0.939 & 0.939 & 0.939" in table


VIEWS = [
    importlib.import_module(f"{views.__name__}.{found.name}")
    for found in pkgutil.iter_modules(views.__path__)
    if found.name != "fitted_table"
]
"""All modules of views, so that a new one is among them."""


def functions_that_call(name: str, module: ModuleType) -> set[tuple[str, str]]:
    """(module, function) of every call of `name` in a module."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    return {
        (module.__name__, function.name)
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name
    }


@pytest.mark.parametrize("name", ["fitted_table", "Console"])
def test_every_table_and_every_view_that_prints_is_among_those_that_are_drawn_here(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each function of the package that makes a table, or opens the terminal, is called by one of `TABLES`."""
    called: set[tuple[str, str]] = set()

    def watch(patch: pytest.MonkeyPatch) -> None:
        for module in VIEWS:
            if (original := getattr(module, name, None)) is not None:
                patch.setattr(module, name, noted(original))

    def noted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            frame = inspect.stack()[1].frame
            called.add((frame.f_globals["__name__"], frame.f_code.co_name))
            return original(*arguments, **more)

        return call

    for table in TABLES:
        with monkeypatch.context() as patch:
            watch(patch)
            drawn(table, 80, monkeypatch)
    assert called == {found for module in VIEWS for found in functions_that_call(name, module)}


def test_no_view_makes_a_table_that_rich_would_cut() -> None:
    """Only `fitted_table` makes tables of Rich, which cuts cells where the terminal is narrow."""
    for module in VIEWS:
        assert not functions_that_call("Table", module), module.__name__
        assert "Table.grid" not in Path(str(module.__file__)).read_text(encoding="utf-8"), module.__name__
