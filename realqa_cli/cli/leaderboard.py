"""CLI for `realqa leaderboard`: models and data sets in, one table with intervals and differences out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realqa_cli.cli import eval_options as e
from realqa_cli.cli import options as o
from realqa_cli.cli.option_values import parse_words, settings_of
from realqa_cli.cli.output_files import is_json
from realqa_cli.cli.reporter import Reporter
from realqa_cli.errors import UsageError

if TYPE_CHECKING:
    from realqa_cli.cli.leaderboard_grid import GridCell
    from realqa_cli.cli.leaderboard_run import GridModel
    from realqa_cli.cli.sinks import Sink

EXAMPLES = """[b]Examples[/b]

realqa leaderboard --models realqa-tiny,my-scorer --datasets koniq10k:koniq/,spaq:spaq/ -o board

realqa leaderboard --models realqa-tiny,my-scorer --datasets koniq10k:koniq/ --split test -o board --plot board.pdf

realqa leaderboard --models realqa-tiny,q-future/Q-ReAlign-Mini-0.8B --datasets csv:labels.csv -o board --latex
"""

GRID = "Grid"

_MODELS = (
    "Models, with commas: bundled ones, model folders, short names or hub ids. Known ones are asked by their preset."
)
Models = Annotated[Any, o.option(GRID, "--models", metavar="NAME,...", parser=parse_words, help=_MODELS)]
_DATASETS = "Data sets, with commas: a name such as koniq10k, a colon, and its folder or table."
Datasets = Annotated[Any, o.option(GRID, "--datasets", metavar="NAME:PATH,...", parser=parse_words, help=_DATASETS)]
_SPLIT = "Only this split of the data sets: train, validation or test, or a name of its own."
Split = Annotated[str | None, o.option(GRID, "--split", metavar="NAME", help=_SPLIT)]
_LIMIT = "Score at most N photos of each data set."
Limit = Annotated[int | None, o.option(GRID, "--limit", metavar="N", min=1, help=_LIMIT)]
_REPEAT = "Score the first N photos of each data set twice, the second time with another batch size; 0 for none."
Repeat = Annotated[int | None, o.option(GRID, "--repeat", metavar="N", min=0, help=_REPEAT, default="16")]
_METRIC = "srcc, plcc, krcc, rmse or all; may be given several times."
Metrics = Annotated[
    list[str] | None, o.option(e.MEASURE, "--metric", metavar="NAME", help=_METRIC, default="srcc and plcc")
]
_OUTPUT = (
    "Folder for the records of each model and data set, and for the table as leaderboard.json, .md and .tex. A run that"
    " was stopped continues there."
)
OutputFolder = Annotated[Path, o.option(o.OUTPUT, "--output", "-o", metavar="DIR", help=_OUTPUT)]
_MARKDOWN = "Print the table in Markdown, with the best values in bold."
Markdown = Annotated[bool, o.flag(o.OUTPUT, "--markdown", help=_MARKDOWN)]
_PLOT = "Draw each model's value and interval, a panel for each metric and data set"
Plot = Annotated[Path | None, o.PLOT_FILE, o.plot_option(o.OUTPUT, _PLOT)]

REPEAT = 16
"""Photos of each data set that are scored twice."""


def leaderboard(
    context: typer.Context,
    models: Models,
    datasets: Datasets,
    output: OutputFolder,
    split: Split = None,
    limit: Limit = None,
    repeat: Repeat = None,
    metric: Metrics = None,
    bootstrap: e.Bootstrap = None,
    seed: e.Seed = None,
    fit: e.Fit = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    backend: o.BackendOption = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    method: o.MethodOption = None,
    preset: o.PresetOption = None,
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    plot: Plot = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    latex: e.Latex = False,
    markdown: Markdown = False,
    json: o.Json = False,
    table: o.TableOption = False,
    quiet: o.Quiet = False,
) -> int:
    """Score data sets with several models, and compare the metrics: intervals, paired differences, repeatability."""
    from dataclasses import replace

    from realqa_cli.cli.leaderboard_grid import read_datasets
    from realqa_cli.cli.leaderboard_run import GridModel, board_records, lacks, run_cell
    from realqa_cli.steps.evaluate.evaluate import EvalSettings
    from realqa_cli.steps.score.score import ScoreSettings

    reporter = Reporter.of(context)
    settings = replace(settings_of(context, EvalSettings), metric=metric or ("srcc", "plcc"))
    settings.check()
    sink = _sink(context.params)
    _check_names(models, "--models")
    columns = read_datasets(datasets, split)
    _check_names([column.label for column in columns], "--datasets")
    for column in columns:
        next(iter(column.items(1)))
    # The seed is of the bootstrap.
    scoring = [replace(settings_of(context, ScoreSettings, without=("seed",)), model=model) for model in models]
    rows = [GridModel(each, each.find()) for each in scoring]
    files = _board_files(output)
    _check_board_files(files, overwrite=overwrite)
    cells = _cells(output, rows, columns, limit, REPEAT if repeat is None else repeat)
    how = {"resume": not (no_resume or overwrite), "overwrite": overwrite}
    results = {key: run_cell(cell, model, reporter, **how) for key, (cell, model) in cells.items()}
    lines = [*board_records(results, models, columns, settings)]
    _write(files, lines, plot)
    for line in lines:
        sink.write(line)
    sink.close()
    reporter.say(f"the table is in {', '.join(str(file) for file in files.values())}")
    return 1 if lacks(lines) else 0


def _cells(
    output: Path, rows: "Sequence[GridModel]", columns: Sequence[Any], limit: int | None, repeat: int
) -> "dict[tuple[str, str], tuple[GridCell, GridModel]]":
    """The cells by model and data set, all data sets of a model one after the other."""
    from realqa_cli.cli.leaderboard_grid import GridCell

    return {
        (row.scoring.model, column.label): (GridCell(output, row.scoring, column, limit, repeat), row)
        for row in rows
        for column in columns
    }


def _sink(params: Mapping[str, Any]) -> "Sink":
    import sys

    from realqa_cli.cli.output import JsonLines
    from realqa_cli.cli.views.leaderboard import BoardTable, BoardText, latex_board, markdown_board

    chosen = [name for name in ("latex", "markdown", "json", "table") if params[name]]
    if len(chosen) > 1:
        what = f"--{chosen[0]} and --{chosen[1]} are mutually exclusive"
        raise UsageError(what, where="leaderboard", remedy="choose one of them")
    if chosen in (["latex"], ["markdown"]):
        return BoardText(latex_board if chosen == ["latex"] else markdown_board)
    return BoardTable() if chosen == ["table"] or (not chosen and sys.stdout.isatty()) else JsonLines()


def _check_names(names: Sequence[str], where: str) -> None:
    if not names:
        raise UsageError("names nothing", where=where, remedy="give at least one name")
    for name in names:
        if [*names].count(name) > 1:
            raise UsageError(f"{name} is given twice", where=where, remedy="name each of them once")


def _board_files(folder: Path) -> dict[str, Path]:
    """The files of the table by their suffix. Makes the folder; raises UsageError if that is not possible."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", where="--output", remedy="choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    return {suffix: folder / f"leaderboard{suffix}" for suffix in (".json", ".md", ".tex")}


def _check_board_files(files: Mapping[str, Path], *, overwrite: bool) -> None:
    """Raises UsageError for an existing file that realqa did not write."""
    from realqa_cli.cli.views.leaderboard import LATEX_HEAD, MARKDOWN_HEAD

    checks: dict[str, Callable[[Path], bool]] = {
        ".json": lambda file: is_json(file, lambda lines: "repeatability" in lines[0]),
        ".md": lambda file: file.read_bytes().startswith(MARKDOWN_HEAD.encode()),
        ".tex": lambda file: file.read_bytes().startswith(LATEX_HEAD.encode()),
    }
    for suffix, file in files.items():
        if not overwrite and file.exists() and not checks[suffix](file):
            remedy = "choose another folder, or add --overwrite to replace it"
            raise UsageError(f"{file} exists and is not a leaderboard of realqa", where="--output", remedy=remedy)


def _write(files: Mapping[str, Path], lines: Sequence[Mapping[str, Any]], plot: Path | None) -> None:
    import json

    from realqa_cli.cli.views.leaderboard import latex_board, markdown_board
    from realqa_cli.io.jsonl import write_atomic

    write_atomic(files[".json"], json.dumps(lines, indent=1, ensure_ascii=False) + "\n")
    write_atomic(files[".md"], markdown_board(lines))
    write_atomic(files[".tex"], latex_board(lines))
    if plot is not None:
        from realqa_cli.cli.views.leaderboard_plot import draw_leaderboard

        draw_leaderboard(lines, plot)
