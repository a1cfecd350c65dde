"""`realqa leaderboard`: the grid, its table in every form, and runs that continue."""

import csv
import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from made_datasets import koniq
from process import Ran, Realqa, command, environment
from small_models import write

from realqa_cli.cli.leaderboard_grid import file_name_of, read_datasets
from realqa_cli.cli.output_files import is_plot
from realqa_cli.cli.views.leaderboard import latex_board, markdown_board
from realqa_cli.errors import UsageError

MODEL = "realqa-tiny"


@dataclass(frozen=True)
class Grid:
    """Two models, two data sets, and the folder of the board."""

    folder: Path
    other: str
    datasets: str

    @property
    def board(self) -> Path:
        return self.folder / "board"

    def arguments(self, *more: object) -> list[object]:
        models = f"{MODEL},{self.other}"
        return ["leaderboard", "--models", models, "--datasets", self.datasets, "-o", self.board, "--repeat", 2, *more]

    def records(self, model: str, file: str) -> list[dict[str, Any]]:
        lines = (self.board / file_name_of(model) / file).read_text().splitlines()
        return [json.loads(line) for line in lines]


def grid_in(folder: Path, photo_files: Sequence[Path]) -> Grid:
    """KonIQ-10k with six photos, and a table of five real ones."""
    with (folder / "mine.csv").open("w", newline="") as stream:
        rows = [(file, 1 + i % 4, "1-5") for i, file in enumerate(photo_files[:5])]
        csv.writer(stream).writerows([("image", "mos", "mos_range"), *rows])
    data = f"koniq10k:{koniq(folder / 'koniq')},csv:{folder / 'mine.csv'}"
    return Grid(folder, str(write(folder / "other")), data)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory, photo_files: Sequence[Path]) -> Grid:
    return grid_in(tmp_path_factory.mktemp("grid"), photo_files)


@pytest.fixture(scope="module")
def ran(grid: Grid, realqa: Realqa) -> Ran:
    """The board of this module, made once."""
    return realqa(*grid.arguments("--bootstrap", 100, "--plot", grid.folder / "board.png"))


@pytest.mark.slow
def test_the_values_are_those_of_score_and_eval(grid: Grid, ran: Ran, realqa: Realqa) -> None:
    assert ran.code == 0
    assert len(ran.records) == 2 * 2 * 2
    scores = grid.folder / "scores.jsonl"
    realqa("score", grid.folder / "mine.csv", "--dataset", "csv", "-o", scores)
    for line in realqa("eval", scores, "--metric", "srcc", "--metric", "plcc", "--bootstrap", 100).records:
        (own,) = (
            each
            for each in ran.records
            if (each["dataset"], each["model"], each["metric"]) == ("mine", MODEL, line["metric"])
        )
        assert own["value"] == pytest.approx(line["value"])
        assert own["ci95"] == pytest.approx(line["ci95"])
        assert (own["n"], own["missing"]) == (5, 0)


@pytest.mark.slow
def test_others_are_compared_with_the_best_and_photos_are_scored_twice(ran: Ran) -> None:
    for dataset in ("koniq10k", "mine"):
        for metric in ("srcc", "plcc"):
            lines = [each for each in ran.records if (each["dataset"], each["metric"]) == (dataset, metric)]
            best, other = sorted(lines, key=lambda line: -line["value"])
            assert (best["best"], other["best"]) == (True, False)
            assert best["difference"] is None
            assert other["difference"] == pytest.approx(other["value"] - best["value"])
            assert other["difference_ci95"][0] <= other["difference"] <= other["difference_ci95"][1]
            assert 0 < other["p"] <= 1
    assert {each["repeated"] for each in ran.records} == {2}
    assert all(0 <= each["repeatability"] < 1e-4 for each in ran.records)


@pytest.mark.slow
def test_the_folder_has_the_table_in_three_formats_and_the_figure(grid: Grid, ran: Ran) -> None:
    assert json.loads((grid.board / "leaderboard.json").read_text()) == ran.records
    page, paper = ((grid.board / f"leaderboard.{end}").read_text() for end in ("md", "tex"))
    for line in ran.records:
        number = f"{line['value']:.3f}"
        assert f"**{number}**" in page if line["best"] else f"| {number} |" in page
        assert rf"$\mathbf{{{number}}}$" in paper if line["best"] else f"${number}$" in paper
    assert paper.count(r"\\") == 1 + 4
    assert is_plot(grid.folder / "board.png")


@pytest.mark.slow
def test_another_metric_scores_nothing_and_loads_no_model(grid: Grid, ran: Ran, realqa: Realqa) -> None:
    before = grid.records(MODEL, "koniq10k.jsonl")
    again = realqa(*grid.arguments("--metric", "krcc", "--bootstrap", 0))
    assert again.code == 0
    assert {line["metric"] for line in again.records} == {"krcc"}
    assert all(line["ci95"] is None for line in again.records)
    assert "scored" not in again.err
    assert grid.records(MODEL, "koniq10k.jsonl") == before


@pytest.mark.slow
def test_a_limit_takes_the_first_photos_and_keeps_the_other_scores(grid: Grid, ran: Ran, realqa: Realqa) -> None:
    some = realqa(*grid.arguments("--limit", 4, "--bootstrap", 0))
    assert {line["n"] for line in some.records} == {4}
    assert "4 items: 4 done before" in some.err
    assert len(grid.records(MODEL, "koniq10k.jsonl")) == 6


@pytest.mark.slow
def test_the_table_for_a_terminal_fits_it_and_formats_exclude_each_other(grid: Grid, ran: Ran, realqa: Realqa) -> None:
    table = realqa(*grid.arguments("--table", "--bootstrap", 20))
    assert all(len(line) <= 80 for line in table.out.splitlines())
    assert "koniq10k" in table.out
    assert realqa(*grid.arguments("--markdown", "--bootstrap", 20)).out == (grid.board / "leaderboard.md").read_text()
    assert realqa(*grid.arguments("--latex", "--bootstrap", 20)).out == (grid.board / "leaderboard.tex").read_text()
    both = realqa(*grid.arguments("--latex", "--json"))
    assert (both.code, "mutually exclusive" in both.err) == (2, True)


@pytest.mark.slow
def test_changed_weights_are_scored_again(tmp_path: Path, photo_files: Sequence[Path], realqa: Realqa) -> None:
    grid = grid_in(tmp_path, photo_files)
    arguments = ["leaderboard", "--models", grid.other, "--datasets", f"csv:{tmp_path / 'mine.csv'}"]
    arguments += ["-o", str(grid.board), "--repeat", "0", "--bootstrap", "0"]
    first = realqa(*arguments).records
    write(Path(grid.other), seed=3)
    second = realqa(*arguments)
    assert "5 items: 5 scored" in second.err
    assert second.records[0]["value"] != first[0]["value"]
    assert second.records[0]["n"] == 5
    assert second.records[0]["repeatability"] is None


def test_a_model_that_cannot_be_loaded_has_a_reason_and_the_others_go_on(
    tmp_path: Path, photo_files: Sequence[Path], realqa: Realqa
) -> None:
    grid = grid_in(tmp_path, photo_files)
    weights = Path(grid.other) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    ran = realqa(*grid.arguments("--bootstrap", 0))
    assert ran.code == 1
    assert "Traceback" not in ran.err
    for line in ran.records:
        assert (line["value"] is None) == (line["model"] == grid.other)
        assert (line["reason"] is None) == (line["model"] == MODEL)


def test_a_missing_photo_is_counted_and_makes_the_exit_code_1(tmp_path: Path, realqa: Realqa) -> None:
    data = koniq(tmp_path / "koniq", missing=[2])
    ran = realqa(
        *("leaderboard", "--models", MODEL, "--datasets", f"koniq10k:{data}", "-o", tmp_path / "board"),
        *("--repeat", 0, "--bootstrap", 0, "--metric", "srcc"),
    )
    assert ran.code == 1
    assert [(line["n"], line["missing"], line["best"]) for line in ran.records] == [(5, 1, False)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--models": "realqa-tiny,realqa-tiny"}, "realqa-tiny is given twice"),
        ({"--models": ","}, "names nothing"),
        ({"--models": "no-such-model"}, "no-such-model"),
        ({"--datasets": "koniq"}, "is not like koniq10k:FOLDER"),
        ({"--datasets": "alien:somewhere"}, "unknown data set 'alien'"),
        ({"--datasets": "koniq10k:somewhere"}, "no such folder"),
        ({"--metric": "accuracy"}, "no metric 'accuracy' here"),
    ],
)
def test_wrong_usage_is_one_line_and_scores_nothing(
    tmp_path: Path, realqa: Realqa, changed: dict[str, str], said: str
) -> None:
    data = koniq(tmp_path / "koniq")
    options = {"--models": MODEL, "--datasets": f"koniq10k:{data}", "-o": tmp_path / "board", **changed}
    ran = realqa("leaderboard", *(part for pair in options.items() for part in pair))
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not list((tmp_path / "board").rglob("*.jsonl"))


def test_files_of_others_in_the_folder_are_not_replaced(tmp_path: Path, realqa: Realqa) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "leaderboard.md").write_text("mine")
    arguments = ["leaderboard", "--models", MODEL, "--datasets", f"koniq10k:{koniq(tmp_path / 'koniq')}"]
    arguments += ["-o", str(tmp_path / "board"), "--repeat", "0", "--bootstrap", "0"]
    refused = realqa(*arguments)
    assert (refused.code, "is not a leaderboard of realqa" in refused.err) == (2, True)
    assert (tmp_path / "board" / "leaderboard.md").read_text() == "mine"
    assert realqa(*arguments, "--overwrite").code == 0
    assert "realqa leaderboard" in (tmp_path / "board" / "leaderboard.md").read_text()


def test_data_sets_of_one_kind_are_named_by_their_paths(tmp_path: Path) -> None:
    found = read_datasets(["koniq10k:a/old", "koniq10k:a/new", "spaq:b", "csv:c/mine.csv"], None)
    assert [each.label for each in found] == ["koniq10k-old", "koniq10k-new", "spaq", "mine"]
    with pytest.raises(UsageError, match="is not like"):
        read_datasets(["koniq10k:"], None)
    assert file_name_of("q-future/Q-ReAlign-Mini-0.8B") == "q-future--Q-ReAlign-Mini-0.8B"
    assert file_name_of("/my models/a") == "my-models--a"


def test_undefined_values_have_a_dash_and_names_are_escaped() -> None:
    line: dict[str, Any] = {
        "dataset": "a_b",
        "model": "x|y",
        "metric": "srcc",
        "value": None,
        "ci95": None,
        "best": False,
    }
    line |= {"difference": None, "difference_ci95": None, "n": 0, "unparsed": 1, "missing": 2, "repeatability": 2e-7}
    assert "| a_b | x\\|y | – |" in markdown_board([line])
    assert r"a\_b & x|y & --" in latex_board([line])
    assert r"$2.0 \times 10^{-7}$" in latex_board([line])
    assert "| 3 |" in markdown_board([line])


def killed_once(arguments: Sequence[str], file: Path, lines: int) -> Iterator[int]:
    """Runs the command until the file has so many lines, and kills it."""
    process = subprocess.Popen(arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (file.exists() and file.read_bytes().count(b"\n") >= lines):
        assert process.poll() is None, "it is to be killed before it ends"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    yield process.wait()


@pytest.mark.slow
def test_a_killed_run_continues_and_ends_with_the_same_table(
    tmp_path: Path, photo_files: Sequence[Path], realqa: Realqa
) -> None:
    grid = grid_in(tmp_path, photo_files)
    files = [(MODEL, "koniq10k.jsonl"), (MODEL, "mine.jsonl"), (grid.other, "koniq10k.jsonl")]
    arguments = command(*grid.arguments("--batch-size", 1))
    for model, name in files:
        file = grid.board / file_name_of(model) / name
        (code,) = killed_once(arguments, file, 2)
        assert code == -signal.SIGKILL
        kept = file.read_bytes().rpartition(b"\n")[0]
        assert kept.count(b"\n") >= 1
    ended = realqa(*grid.arguments("--batch-size", 1))
    assert ended.code == 0
    assert "done before" in ended.err
    for model in (MODEL, grid.other):
        for name, count in (("koniq10k.jsonl", 6), ("mine.jsonl", 5), ("mine.again.jsonl", 2)):
            names = [record["image"] for record in grid.records(model, name)]
            assert (len(names), len({*names})) == (count, count), "each photo was scored once"
    whole = Grid(grid.folder / "whole", grid.other, grid.datasets)
    whole.folder.mkdir()
    expected = realqa(*whole.arguments("--batch-size", 1))
    assert [line | {"repeatability": 0} for line in ended.records] == [
        line | {"repeatability": 0} for line in expected.records
    ]
