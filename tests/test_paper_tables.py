"""The scripts of the paper's tables: they explain themselves, their published rows are the paper's, and they run."""

import contextlib
import importlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from process import ROOT, environment

import realqa_cli.cli

PAPER = ROOT / "examples" / "paper"
SCRIPTS = sorted(path for pattern in ("*table_*.py", "figure_*.py", "cot.py") for path in PAPER.glob(pattern))
NUMBER = r"[-+]?\d+\.\d+"
TEXT = ROOT.parent / "shared" / "paper" / "paper.txt"


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request: pytest.FixtureRequest, paper: None) -> ModuleType:
    """A script as a module."""
    return importlib.import_module(request.param.stem)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts can be imported; they and their helpers are forgotten again, since their names are common ones."""
    monkeypatch.syspath_prepend(PAPER)
    yield
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", None) or "").startswith(str(ROOT / "examples")):
            del sys.modules[name]


def published(script: ModuleType) -> list[Any]:
    """The tables of a script."""
    found = getattr(script, "TABLES", None) or getattr(script, "TABLE", None)
    return list(found.values()) if isinstance(found, dict) else [found]


def test_there_is_a_script_for_every_table() -> None:
    reported = {number for script in SCRIPTS for number in re.findall(r"\d+", script.stem)}
    assert {"1", "2", "3", "4", "6", "7", "8"} <= reported


def test_help_says_how_to_run_the_script_small_and_for_real(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script.__name__, "--help"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    reported = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"python examples/paper/{script.__name__}.py --tiny" in reported
    assert reported.count(f"python examples/paper/{script.__name__}.py") >= 2


def test_published_rows_fill_their_table_and_are_marked(script: ModuleType) -> None:
    for table in published(script):
        lines = [line for line in table.markdown([]).splitlines() if line.startswith("|")]
        assert {line.count("|") for line in lines} == {len(table.columns) + 2}
        assert len(lines) == 2 + len(table.published)
        assert all(line.startswith("| *published:* ") for line in lines[2:])


def test_published_numbers_are_in_the_paper(script: ModuleType) -> None:
    if not TEXT.exists():
        pytest.skip("the paper's text is not part of the project")
    known = set(re.findall(NUMBER, TEXT.read_text(encoding="utf-8")))
    for table in published(script):
        for row in table.published:
            for cell in row.cells:
                forms = (
                    [[f"{cell:.3f}"], [f"{cell:.2f}"]] if isinstance(cell, float) else [re.findall(NUMBER, cell or "")]
                )
                assert any(known.issuperset(form) for form in forms), (row.name, cell)


SMALL = (
    "--scenes", "6", "--bootstrap", "20",
    "--train-options", "--max-steps 2 --batch-size 2 --min-pixels 3136 --max-pixels 12544",
)  # fmt: skip
"""Too few images and steps for figures that mean anything: that everything runs is what is tested."""

OWN_OPTIONS = {
    "table_2_granularity": (*SMALL, "--max-steps", "2"),
    "table_3_sorting": ("--trials", "2"),
    "table_9_video": (*SMALL, "--frames", "2"),
}

READINGS = {
    "app_table_2_realqa": 2,
    "cot": 8,
    "table_10_levels": 7,
    "table_1_attributes": 2,
    "table_2_granularity": 5,
    "table_3_sorting": 1,
    "table_4_digits": 6,
    "table_5_regression": 4,
    "table_6_ncm": 6,
    "table_7_8_datasets": 4,
    "table_9_video": 2,
    "figure_1_attributes": 9,
}
"""Measured rows of the first table of each script."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all scripts: with two steps for every model, those of the same conversations are the same."""
    return tmp_path_factory.mktemp("paper-runs")


@pytest.fixture
def _one_process(paper: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of a script run in this process, which has loaded torch already."""

    def run(command: list[str], launcher: list[str]) -> str:
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(printed):
            code = realqa_cli.cli.main(command)
        assert not launcher
        assert code in (0, 1), command
        return printed.buffer.getvalue().decode()

    monkeypatch.setattr(importlib.import_module("tables"), "run", run)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
def test_a_script_runs_small_and_prints_its_table(
    script: ModuleType, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = script.__name__
    monkeypatch.setattr(sys, "argv", [name, "--tiny", *OWN_OPTIONS.get(name, SMALL), "--work", str(work)])
    script.main()
    out = capsys.readouterr().out
    assert out.startswith("### ")
    rows = measured_rows(out)
    assert len(rows) == READINGS[name], out
    assert {row.count("|") for row in rows} == {out.splitlines()[2].count("|")}


def measured_rows(printed: str) -> list[str]:
    """The rows of the first table that the paper did not publish."""
    lines = printed.split("\n\n")[1].splitlines()
    return [line for line in lines[2:] if "*published:*" not in line]


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
def test_table_8_is_of_aesthetics(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = importlib.import_module("table_7_8_datasets")
    monkeypatch.setattr(sys, "argv", ["table_8", "--tiny", *SMALL, "--table", "8", "--work", str(work)])
    script.main()
    out = capsys.readouterr().out
    assert "### Tab. 8" in out
    assert len(measured_rows(out)) == READINGS["table_7_8_datasets"]


@pytest.mark.slow
def test_a_script_runs_its_commands_as_processes_and_stops_at_an_error(tmp_path: Path) -> None:
    command = [sys.executable, str(PAPER / "table_3_sorting.py"), "--tiny", "--trials", "1", "--work", str(tmp_path)]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert len(measured_rows(ran.stdout)) == 1
    ran = subprocess.run([*command, "--model", "no-such-model"], env=environment(), capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "unknown model 'no-such-model'" in ran.stderr
    assert "Traceback" not in ran.stderr


LAUNCHERS = {
    "torchrun": "-m torch.distributed.run --nproc-per-node 2",
    "accelerate": "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    " --dynamo_backend no",
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_script_trains_in_the_processes_that_launch_starts(launcher: str, tmp_path: Path) -> None:
    ran = _launched(tmp_path, f"{sys.executable} {LAUNCHERS[launcher]}")
    assert ran.returncode == 0, ran.stderr
    assert len(measured_rows(ran.stdout)) == 2
    assert f"{LAUNCHERS[launcher]} -m realqa_cli train" in ran.stderr
    manifest = json.loads((tmp_path / "work" / "on-photos" / "train.run.json").read_text())
    assert manifest["effective"]["processes"] == 2
    log = (tmp_path / "work" / "on-photos" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2], "the processes share the steps"


@pytest.mark.slow
def test_a_launched_training_that_fails_stops_the_script(tmp_path: Path) -> None:
    ran = _launched(tmp_path, f"{sys.executable} {LAUNCHERS['torchrun']}", "--learning-rate -1")
    assert ran.returncode not in (0, None)
    assert "--learning-rate: must be above 0" in ran.stderr
    assert ran.stderr.splitlines()[-1].endswith("on-photos: the training did not end")
    assert ran.stdout == ""


def _launched(folder: Path, launch: str, *train_options: str) -> "subprocess.CompletedProcess[str]":
    """A script of one training on sample photos, which `launch` starts."""
    labels = folder / "photos.jsonl"
    records = [{"image": str(path), "mos": 1 + i / 2, "mos_range": [1, 5]} for i, path in enumerate(PHOTOGRAPHS)]
    labels.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    training = "--device cpu --max-steps 2 --batch-size 1 --accumulate 1 --min-pixels 3136 --max-pixels 12544"
    command = [
        sys.executable, str(PAPER / "app_table_2_realqa.py"), "--tiny", "--method", "direct", "--bootstrap", "20",
        "--train", f"photos={labels}", "--test", str(labels), "--work", str(folder / "work"), "--launch", launch,
        "--train-options", " ".join([training, *train_options]),
    ]  # fmt: skip
    return subprocess.run(
        command, env=environment(OMP_NUM_THREADS="1"), capture_output=True, text=True, timeout=600, check=False
    )


PHOTOGRAPHS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))[:8]


def test_the_known_attributes_are_correlated_with_the_mos(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(PAPER / "figure_1_attributes.py"),
        "--tiny",
        "--scenes",
        "9",
        "--bootstrap",
        "20",
    ]
    ran = subprocess.run(
        [*command, "--known", "--work", str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    rows = [line for line in ran.stdout.splitlines() if line.startswith("| ")]
    assert rows[0] == "| | SRCC | PLCC | n |"
    assert [row.split(" | ")[0] for row in rows[1:]][:2] == ["| composition", "| eye catching"]
    assert len(rows) == 1 + 9
    assert {row.rsplit("|", 2)[1].strip() for row in rows[1:]} == {"6"}
