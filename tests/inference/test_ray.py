"""Scoring on a Ray cluster: the same records in the same order as without it. One test starts Ray for real."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from process import Ran, Realqa, environment

from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.errors import UsageError
from realqa_cli.steps.score.score import ScoreSettings, open_scorer

TWO_WORKERS = (
    "import sys; from realqa_cli import cli; from realqa_cli.inference import ray; ray.CPUS = 1;"
    " sys.exit(cli.main(sys.argv[1:]))"
)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_cluster_gives_the_records_of_this_process(bundled: Ran, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    local = bundled.records
    out.write_text("".join(json.dumps(record) + "\n" for record in local[:1]))  # scored before, by a run without Ray
    (tmp_path / "out.jsonl.run.json").write_text(json.dumps({"runs": {local[0]["run"]: manifest_of(bundled)}}))
    command = ["score", photos, tmp_path / "missing.jpg", "--distribution", "--engine", "ray", "-o", out]
    ran = subprocess.run(
        [sys.executable, "-c", TWO_WORKERS, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0"),
        timeout=300,
    )
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout == ""
    assert f"{len(local) + 1} items: {len(local) - 1} scored, 1 done before, 1 failed" in ran.stderr
    *records, missing = [json.loads(line) for line in out.read_text().splitlines()]
    assert missing["error"]["type"] == "missing"
    assert [record["image"] for record in records] == [record["image"] for record in local]
    for record, here in zip(records, local, strict=True):
        assert record.keys() == here.keys()
        assert record["run"] == here["run"]
        assert record["score"] == pytest.approx(here["score"], abs=1e-5)


def fed(photos: list[Path], output: Path) -> "subprocess.Popen[str]":
    """A run with two workers on the first ten photos, of which records are written; it waits for more on stdin."""
    call = ["score", "-", "--backend", "echo", "--batch-size", "1", "--engine", "ray", "-o", str(output)]
    run = subprocess.Popen(
        [sys.executable, "-c", TWO_WORKERS, *call],
        env=environment(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    feed(run, photos[:10])
    while not output.exists() or output.read_bytes().count(b"\n") < 4:
        assert run.poll() is None, run.stderr
        time.sleep(0.05)
    return run


def feed(run: "subprocess.Popen[str]", photos: list[Path]) -> None:
    assert run.stdin is not None
    run.stdin.writelines(json.dumps({"image": str(photo)}) + "\n" for photo in photos)
    run.stdin.flush()


def links(photo_files: Sequence[Path], folder: Path) -> list[Path]:
    """Thirty photos under names of their own."""
    made = [folder / f"{number:02}.jpg" for number in range(30)]
    for number, link in enumerate(made):
        link.symlink_to(photo_files[number % len(photo_files)])
    return made


def names_in(output: Path) -> list[str]:
    return [json.loads(line)["image"] for line in output.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_repeated(
    photo_files: Sequence[Path], tmp_path: Path
) -> None:
    photos, output = links(photo_files, tmp_path), tmp_path / "out.jsonl"
    with fed(photos, output) as run:
        workers = [each for each in psutil.Process(run.pid).children(recursive=True) if "ray::Worker" in each.name()]
        assert len(workers) == 2
        workers[0].kill()
        feed(run, photos[10:])
        assert run.stdin is not None
        assert run.stderr is not None
        run.stdin.close()
        said = run.stderr.read()
        assert run.wait(timeout=120) == 0, said
    assert "a worker is lost" in said
    assert "30 items: 30 scored" in said
    assert names_in(output) == [str(photo) for photo in photos]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_after_the_driver_is_killed_nothing_is_lost_or_repeated(photo_files: Sequence[Path], tmp_path: Path) -> None:
    photos, output = links(photo_files, tmp_path), tmp_path / "out.jsonl"
    with fed(photos, output) as run:
        run.kill()
    before = len(names_in(output))
    assert 4 <= before <= 10
    again = subprocess.run(
        [
            sys.executable,
            "-c",
            TWO_WORKERS,
            "score",
            *map(str, photos),
            "--backend",
            "echo",
            "--engine",
            "ray",
            "-o",
            output,
        ],
        env=environment(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert again.returncode == 0, again.stderr
    assert f"30 items: {30 - before} scored, {before} done before" in again.stderr
    assert names_in(output) == [str(photo) for photo in photos]


def manifest_of(ran: Ran) -> dict[str, object]:
    found: dict[str, object] = json.loads(next(line for line in ran.err.splitlines() if line.startswith("{")))
    return found


def test_without_ray_there_is_one_clear_line(photos: Path, realqa: Realqa, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('no ray')")
    clean = environment()
    clean["PYTHONPATH"] = f"{tmp_path}:{clean['PYTHONPATH']}"
    ran = realqa("score", photos, "--engine", "ray", env=clean)
    assert (ran.code, ran.out) == (2, "")
    assert ran.said == ["realqa: --engine ray: Ray is not installed; pip install 'realqa[ray]'"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ScoreSettings(engine="dask"), "unknown value 'dask'; use one of: local, ray"),
        (ScoreSettings(engine="ray", server=ServerSettings("http://x/v1")), "mutually exclusive"),
    ],
)
def test_unknown_engines_and_ray_with_a_server_are_refused(settings: ScoreSettings, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_scorer(settings)
