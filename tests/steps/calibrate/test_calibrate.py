"""`realqa calibrate`: the error falls, intervals hold, and a calibration says where it does not."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process import Realqa

from realqa_cli.io.records import ScoreRecord
from realqa_cli.io.summary_records import CalibrationRecord
from realqa_cli.steps.calibrate import curves, fitting
from realqa_cli.steps.calibrate.calibration_file import read_calibration

BOUNDS = (0.0, 100.0)


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores on 1-5 and labels on 0-100 that follow them along a curve, with noise."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(1.5, 4.5, n)
    labels = np.clip(100 / (1 + np.exp(-2.5 * (scores - 3.4))) + rng.normal(0, 8, n), 0, 100)
    return scores, labels


def write_files(folder: Path, n: int, **more: Any) -> tuple[Path, Path]:
    """scores.jsonl and labels.jsonl of n photos that need not exist."""
    scores, labels = made(n)
    fixed: dict[str, Any] = {
        "scale": [1.0, 5.0],
        "run": "0123456789abcdef",
        "method": "direct",
        "decode": "exact",
        "text": "",
    }
    fixed |= {"std": 0.5, "mode": 3.0, "interval": [2.0, 4.0], "mass": 1.0, "flags": [], "content": None, "error": None}
    lines = [{"image": f"{i}.jpg", "score": float(score), **fixed, **more} for i, score in enumerate(scores)]
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [{"image": f"{i}.jpg", "mos": float(label), "mos_range": [0, 100]} for i, label in enumerate(labels)]
    (folder / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rows))
    return folder / "scores.jsonl", folder / "labels.jsonl"


@pytest.mark.parametrize("name", curves.FITS)
def test_a_curve_ascends_stays_in_bounds_and_follows_the_labels(name: str) -> None:
    scores, labels = made(400)
    curve = curves.FITS[name](scores, labels, BOUNDS)
    grid = curve(np.linspace(-50, 50, 2001))
    assert (np.diff(grid) >= 0).all()
    assert grid.min() >= 0
    assert grid.max() <= 100
    assert np.sqrt(np.mean((curve(scores) - labels) ** 2)) < 9


@pytest.mark.parametrize("coverage", [0.8, 0.9])
@pytest.mark.parametrize("name", curves.FITS)
def test_intervals_hold_for_new_photos(name: str, coverage: float) -> None:
    inside = []
    for seed in range(20):
        scores, labels = made(90, seed)
        found = fitting.fit_curve(name, scores, labels, range(90), BOUNDS, coverage=coverage, seed=seed)
        new_scores, new_labels = made(200, 1000 + seed)
        low, high = fitting.interval_of(found.curve(new_scores), found.half_width, BOUNDS)
        inside.append(np.mean((low <= new_labels) & (new_labels <= high)))
    assert coverage - 0.02 <= np.mean(inside) <= coverage + 0.08


def test_rows_of_one_photo_are_not_parted() -> None:
    scores, labels = made(60)
    groups = [i // 2 for i in range(60)]
    found = fitting.fit_curve("logistic", scores, labels, groups, BOUNDS, coverage=0.8, seed=0)
    assert found.held_out == 20


@pytest.mark.parametrize(("coverage", "least"), [(0.8, 12), (0.9, 27), (0.95, 57), (0.99, 297)])
def test_the_least_number_of_photos_is_exactly_enough(coverage: float, least: int) -> None:
    assert fitting.least_photos(coverage) == least
    scores, labels = made(least)
    fitting.fit_curve("logistic", scores, labels, range(least), BOUNDS, coverage=coverage, seed=0)


def test_fit_and_apply_lower_the_error(realqa_here: Realqa, tmp_path: Path) -> None:
    scores, labels = write_files(tmp_path, 120)
    file = tmp_path / "my.calibration.json"
    ran = realqa_here("calibrate", "fit", labels, "--scores", scores, "-o", file)
    record = CalibrationRecord.model_validate(json.loads(ran.out))
    assert ran.code == 0
    assert record.rmse < 0.75 * record.rmse_before
    assert 0.85 <= record.measured_coverage <= 1
    assert record.rmse == min(record.rmse_by_curve.values())
    assert record.calibration == read_calibration(file).ident
    again = realqa_here("calibrate", "fit", labels, "--scores", scores, "-o", file)
    assert again.out == ran.out
    assert "has this calibration already" in again.err
    applied = realqa_here("calibrate", "apply", "--calibration", file, scores)
    found = [json.loads(line) for line in applied.out.splitlines()]
    assert applied.code == 0
    for one in found:
        ScoreRecord.model_validate(one)
        assert one["calibrated_interval"][0] <= one["calibrated"] <= one["calibrated_interval"][1]
        assert one["calibration_warnings"] == []
    truth = made(120)[1]
    assert np.sqrt(np.mean((np.array([one["calibrated"] for one in found]) - truth) ** 2)) < record.rmse_before
    assert "120 calibrated" in applied.err


def test_fewer_than_fifty_labels_are_refused_in_one_line(realqa_here: Realqa, tmp_path: Path) -> None:
    scores, labels = write_files(tmp_path, 49)
    ran = realqa_here("calibrate", "fit", labels, "--scores", scores)
    assert ran.code == 2
    assert "needs at least 50 labelled photos, found 49" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "warning"),
    [({"run": "f" * 16}, "other_model"), ({"scale": [0.0, 10.0]}, "other_scale"), ({"score": 4.99}, "out_of_range")],
)
def test_scores_to_which_the_curve_was_not_fitted_are_marked(
    realqa_here: Realqa, tmp_path: Path, more: dict[str, Any], warning: str
) -> None:
    scores, labels = write_files(tmp_path, 60)
    file = tmp_path / "c.json"
    assert realqa_here("calibrate", "fit", labels, "--scores", scores, "-o", file).code == 0
    scores, _ = write_files(tmp_path, 3, **more)
    ran = realqa_here("calibrate", "apply", "--calibration", file, scores)
    assert [json.loads(line)["calibration_warnings"] for line in ran.out.splitlines()] == [[warning]] * 3
    assert "realqa: warning: 3 scores" in ran.err


def test_labels_may_be_a_table_with_another_field_and_range(realqa_here: Realqa, tmp_path: Path) -> None:
    scores, _ = write_files(tmp_path, 70)
    with (tmp_path / "stars.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", "stars"])
        rows.writerows([f"{i}.jpg", 1 + label / 25] for i, label in enumerate(made(70)[1]))
    arguments = ("calibrate", "fit", tmp_path / "stars.csv", "--target", "stars", "--scores", scores)
    assert json.loads(realqa_here(*arguments, "--range", "1-5").out)["range"] == [1, 5]
    seen = realqa_here(*arguments)
    assert "do not say their range" in seen.err
    narrow = realqa_here(*arguments, "--range", "2-3")
    assert narrow.code == 2
    assert "outside of 2-3" in narrow.err
    missing = realqa_here("calibrate", "fit", tmp_path / "stars.csv", "--scores", scores, "--target", "nope")
    assert missing.code == 2
    assert "nope" in missing.err


def test_failed_and_unlabelled_photos_are_counted(realqa_here: Realqa, tmp_path: Path) -> None:
    scores, labels = write_files(tmp_path, 60)
    failed = {"image": "x.jpg", "error": {"type": "missing", "message": "no such file"}}
    other = json.loads(scores.read_text().splitlines()[0]) | {"image": "unlabelled.jpg"}
    scores.write_text(scores.read_text() + json.dumps(failed) + "\n" + json.dumps(other) + "\n")
    file = tmp_path / "c.json"
    ran = realqa_here("calibrate", "fit", labels, "--scores", scores, "-o", file)
    assert ran.code == 0
    assert "skipped: 1" in ran.err
    assert "without a label, left out: 1" in ran.err
    applied = realqa_here("calibrate", "apply", "--calibration", file, scores)
    assert applied.code == 1
    assert json.loads(applied.out.splitlines()[60]) == failed


@pytest.mark.parametrize("content", ["{}", "[1]", "nope", '{"kind": "realqa calibration", "curve": {"kind": "x"}}'])
def test_another_file_is_not_a_calibration(realqa_here: Realqa, tmp_path: Path, content: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(content)
    ran = realqa_here("calibrate", "apply", "--calibration", file, tmp_path / "scores.jsonl")
    assert ran.code == 2
    assert "realqa calibrate fit" in ran.err


def test_score_adds_calibrated_scores_and_knows_its_own_model(
    realqa_here: Realqa, tmp_path: Path, photos: Path
) -> None:
    scored = tmp_path / "scored.jsonl"
    photo = photos / "bee.jpg"
    assert realqa_here("score", photo, "-o", scored).code == 0
    own = json.loads(scored.read_text())
    scores, labels = write_files(tmp_path, 60, run=own["run"])
    (tmp_path / "scores.jsonl.run.json").write_text((tmp_path / "scored.jsonl.run.json").read_text())
    file = tmp_path / "c.json"
    assert realqa_here("calibrate", "fit", labels, "--scores", scores, "-o", file).code == 0
    out = tmp_path / "calibrated.jsonl"
    ran = realqa_here("score", photo, "nope.jpg", "--calibration", file, "-o", out)
    first, failed = (json.loads(line) for line in out.read_text().splitlines())
    ScoreRecord.model_validate(first)
    assert ran.code == 1
    assert first["score"] == own["score"]
    assert first["calibration_warnings"] == []
    assert first["run"] != own["run"]
    assert first["run"] in json.loads((tmp_path / "calibrated.jsonl.run.json").read_text())["runs"]
    assert first["calibrated"] == pytest.approx(float(read_calibration(file).curve(np.array([own["score"]]))[0]))
    assert failed["calibrated"] is None
    assert [*failed][-1] == "error"
    assert "1 done before" in realqa_here("score", photo, "--calibration", file, "-o", out).err
    other = realqa_here("score", photo, "--calibration", file, "--max-pixels", 100_352)
    assert json.loads(other.out)["calibration_warnings"] == ["other_model"]
    assert "fit the calibration again" in other.err
