"""Progress without a terminal: lines, JSON, and the file for Prometheus."""

import json
import time
from pathlib import Path

import pytest
from process import PHOTOS
from prometheus_client.parser import text_string_to_metric_families

from realqa_cli.cli import main
from realqa_cli.cli.progress import ProgressReports, RunCounts, duration

ECHO = ("--backend", "echo", "--quiet")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (59.6, "1 min 0 s"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (241_200, "2 d 19 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_has_counts_rate_failures_and_the_time_left() -> None:
    clock = Clock()
    counts = RunCounts("score", 10_000_000, clock=clock)
    counts.done, counts.failed = 12_400, 3
    clock.now += 302.44
    assert counts.line() == "12,400/10,000,000  41/s  3 failed  ETA 2 d 19 h"


def test_a_line_without_a_total_has_no_time_left() -> None:
    clock = Clock()
    counts = RunCounts("score", clock=clock)
    counts.done = 3
    clock.now += 10
    assert counts.line() == "3  0.3/s"


def test_the_rate_is_that_of_the_last_reports() -> None:
    clock = Clock()
    counts = RunCounts("score", 1000, clock=clock)
    counts.done_before = 900  # earlier results are counted at once
    for _ in range(20):
        clock.now += 30
        counts.done += 3
        counts.tick()
    assert counts.rate() == pytest.approx(0.1)
    assert counts.seconds_left() == pytest.approx(400)


def test_loading_is_not_part_of_the_rate() -> None:
    clock = Clock()
    counts = RunCounts("loading the model", 10, clock=clock)
    clock.now += 60
    counts.start("score")
    clock.now += 1
    counts.done = 5
    assert counts.rate() == 5


def test_reports_come_at_every_interval_from_a_thread() -> None:
    lines: list[str] = []
    counts = RunCounts("score", 10)
    counts.done = 5
    with ProgressReports(counts, "auto", lines.append, seconds=0.001):
        while len(lines) < 3:
            time.sleep(0.001)
    assert lines[-1].startswith("5/10  ")


def test_a_metrics_file_that_cannot_be_written_is_reported_once(tmp_path: Path) -> None:
    lines: list[str] = []
    file = tmp_path / "gone" / "m.prom"
    with ProgressReports(RunCounts("score"), "auto", lines.append, file, seconds=60):
        pass
    assert [line for line in lines if "cannot be written" in line] == [
        f"warning: {file}: cannot be written (No such file or directory); the run goes on"
    ]


def test_json_progress_ends_with_all_counts(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["score", str(PHOTOS / "bee.jpg"), "missing.jpg", "--backend", "echo", "--progress", "json"])
    assert code == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith('{"progress"')]
    assert lines[-1]["progress"] | {"items_per_second": 0} == {
        "phase": "score",
        "total": 2,
        "finished": 2,
        "failed": 1,
        "done_before": 0,
        "items_per_second": 0,
        "seconds_left": 0,
    }


@pytest.mark.parametrize("more", [("--progress", "off"), ()])
def test_a_short_run_reports_no_progress(more: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(PHOTOS / "bee.jpg"), "--backend", "echo", *more]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "realqa: 1 item: 1 scored" in lines
    assert not [line for line in lines if "1/1" in line or line.startswith('{"progress"')]


def test_the_metrics_file_counts_what_a_resumed_run_found_done(tmp_path: Path) -> None:
    output, metrics = tmp_path / "s.jsonl", tmp_path / "realqa.prom"
    call = ["score", str(PHOTOS / "bee.jpg"), str(PHOTOS / "dogs.jpg"), "missing.jpg", "-o", str(output), *ECHO]
    assert main([*call, "--limit", "1"]) == 0
    assert main([*call, "--metrics-file", str(metrics)]) == 1
    assert main([*call, "--metrics-file", str(metrics)]) == 1  # our own file is replaced
    samples = {
        (sample.name, sample.labels.get("result")): sample.value
        for family in text_string_to_metric_families(metrics.read_text())
        for sample in family.samples
    }
    assert samples["realqa_items", "done_before"] == 2
    assert samples["realqa_items", "failed"] == 1
    assert samples["realqa_items", "succeeded"] == 0
    assert samples["realqa_items_expected", None] == 3
    assert samples["realqa_finished", None] == 1


def test_a_metrics_file_of_somebody_else_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "node.prom"
    other.write_text("# HELP node_load1 1m load average.\n")
    assert main(["score", str(PHOTOS / "bee.jpg"), "--metrics-file", str(other), *ECHO]) == 2
    assert str(other) in capsys.readouterr().err
    assert other.read_text().startswith("# HELP node")


def test_an_unknown_progress_mode_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(PHOTOS / "bee.jpg"), "--progress", "fancy"]) == 2
    assert "--progress: unknown value 'fancy'; use one of: auto, json, off" in capsys.readouterr().err
