"""A model that does not answer with scores is noticed in the summary and in the table."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_models import write

from realqa_cli.cli import main
from realqa_cli.cli.mean_mass import MeanMass
from realqa_cli.cli.views import scores

BEE = Path(__file__).parents[2] / "examples" / "photos" / "bee.jpg"


def record(mass: float | None) -> dict[str, Any]:
    return {"image": "a.jpg", "score": 3.0, "mode": 3.0, "interval": [2, 4], "mass": mass, "scale": [1.0, 5.0]}


def test_an_untrained_model_is_warned_about_with_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(BEE), "--model", str(write(tmp_path / "model")), "--max-pixels", "50176"]) == 0
    output = capfd.readouterr().err
    assert "does not answer with such scores" in output
    assert "--method levels" in output


def test_the_bundled_model_is_not_warned_about(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(BEE), "--max-pixels", "50176"]) == 0
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize(("masses", "warned"), [([0.9, 0.2], False), ([0.7, 0.2], True), ([None], False), ([], False)])
def test_the_mean_decides(masses: list[float | None], warned: bool) -> None:
    mean = MeanMass()
    for mass in masses:
        mean.add(record(mass))
    mean.add({"image": "b.jpg", "error": {"type": "empty", "message": "empty"}})
    assert bool(mean.warnings()) is warned


def test_the_table_marks_such_a_score() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(scores._table([record(1e-6), record(0.99)], 100))
    doubtful, plain = (line for line in console.export_text().splitlines() if "a.jpg" in line)
    assert doubtful.startswith("?")
    assert "1e-06" in doubtful
    assert "?" not in plain
