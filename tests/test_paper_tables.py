"""The scripts of the paper's tables: they explain themselves, their published rows are the paper's, and they run."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from process import ROOT, environment

PAPER = ROOT / "examples" / "paper"
SCRIPTS = sorted(path for pattern in ("*table_*.py", "figure_*.py", "cot.py") for path in PAPER.glob(pattern))
NUMBER = r"[-+]?\d+\.\d+"
TEXT = ROOT.parent / "shared" / "paper" / "paper.txt"


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A script as a module; what it brings along is forgotten again."""
    monkeypatch.syspath_prepend(PAPER)
    before = set(sys.modules)
    yield importlib.import_module(request.param.stem)
    for name in set(sys.modules) - before:
        if not name.startswith(("realqa_cli", "numpy", "scipy", "PIL")):
            del sys.modules[name]


def published(script: ModuleType) -> list[Any]:
    """The tables of a script."""
    found = getattr(script, "TABLES", None) or getattr(script, "TABLE", None)
    return list(found.values()) if isinstance(found, dict) else [found]


def test_there_is_a_script_for_every_table() -> None:
    told = {number for script in SCRIPTS for number in re.findall(r"\d+", script.stem)}
    assert {"1", "2", "3", "4", "6", "7", "8"} <= told


def test_help_says_how_to_run_the_script_small_and_for_real(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script.__name__, "--help"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    told = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"python examples/paper/{script.__name__}.py --tiny" in told
    assert told.count(f"python examples/paper/{script.__name__}.py") >= 2


def test_published_rows_fill_their_table_and_are_marked(script: ModuleType) -> None:
    for table in published(script):
        lines = [line for line in table.markdown([]).splitlines() if line.startswith("|")]
        assert {line.count("|") for line in lines} == {len(table.columns) + 2}
        assert len(lines) == 2 + len(table.published)
        assert all(line.startswith("| *published:* ") for line in lines[2:])


def test_published_numbers_stand_in_the_paper(script: ModuleType) -> None:
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


SMALL = ("--tiny", "--scenes", "6", "--bootstrap", "20", "--train-options", "--max-steps 2")
"""Too few images and steps for figures that mean anything: that everything runs is what is tested."""

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


@pytest.mark.slow
@pytest.mark.parametrize("script_file", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_runs_small_and_prints_its_table(script_file: Path, tmp_path: Path) -> None:
    own = {"table_3_sorting": ("--tiny", "--trials", "2"), "table_2_granularity": (*SMALL, "--max-steps", "2")}
    small = own.get(script_file.stem, SMALL)
    ran = subprocess.run(
        [sys.executable, str(script_file), *small, "--work", str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout.startswith("### ")
    table = ran.stdout.split("\n\n")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "*published:*" not in line]
    assert len(rows) == 1 + READINGS[script_file.stem], ran.stdout


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
