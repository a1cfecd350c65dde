"""`realqa score -o FILE`: durable, resumable, one writer at a time, nothing lost and nothing done twice."""

import json
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_hostile import progressive_jpeg
from process import Ran, Realqa, command, environment

ECHO = ("--backend", "echo")


def records_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def many(photo_files: list[Path], tmp_path: Path) -> Path:
    """A folder of 60 photos under names of their own."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(60):
        (folder / f"{i:03}.jpg").symlink_to(photo_files[i % len(photo_files)])
    return folder


def stop_midway(photos: list[Path], output: Path, after: int, how: signal.Signals, *more: str) -> tuple[int, str]:
    """Scores photos that are named on stdin, and sends the signal when `after` records are in the file.

    stdin stays open, so the command waits for more and cannot have ended before the signal.
    """
    call = command("score", "-", "-o", output, "--batch-size", 1, *more)
    with subprocess.Popen(
        call,
        env=environment(),
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.writelines(json.dumps({"image": str(photo)}) + "\n" for photo in photos)
        process.stdin.flush()
        while process.poll() is None and not (output.exists() and output.read_bytes().count(b"\n") >= after):
            time.sleep(0.005)
        process.send_signal(how)
        process.wait(timeout=60)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == ""
        return process.returncode, process.stderr.read()


NOT_TAKEN = "realqa: not taken: 3 other files (.jsonl, .md, .py)"


def test_records_go_to_the_file_and_the_manifest_next_to_it(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    ran = realqa("score", photos, *ECHO, "-o", output)
    assert (ran.code, ran.out) == (0, "")
    assert ran.said == [NOT_TAKEN, "realqa: 11 items: 11 scored"]
    runs = json.loads((tmp_path / "scores.jsonl.run.json").read_text())["runs"]
    assert {record["run"] for record in records_in(output)} == set(runs)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [f"scores.jsonl{suffix}" for suffix in ("", ".index.sqlite", ".lock", ".run.json")]


def test_what_is_done_is_not_done_again(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", photos, *ECHO, "-o", output)
    before = output.read_bytes()
    again = realqa("score", photos, *ECHO, "-o", output)
    assert again.said == [NOT_TAKEN, "realqa: 11 items: 11 done before"]
    assert output.read_bytes() == before


def test_another_batch_size_does_not_make_finished_work_new(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", photos, *ECHO, "-o", output, "--limit", 4)
    again = realqa("score", photos, *ECHO, "-o", output, "--batch-size", 1)
    assert again.said == [NOT_TAKEN, "realqa: 11 items: 7 scored, 4 done before"]
    runs = json.loads((tmp_path / "scores.jsonl.run.json").read_text())["runs"]
    assert {record["run"] for record in records_in(output)} == set(runs)
    assert len(runs) == 2


def test_other_settings_and_other_content_are_new_work(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "bee.jpg", tmp_path / "a.jpg")
    output = tmp_path / "scores.jsonl"

    def said(*more: object) -> list[str]:
        return realqa("score", "a.jpg", *ECHO, "-o", output, *more, cwd=tmp_path).said

    assert said() == ["realqa: 1 item: 1 scored"]
    assert said("--decode", "greedy") == ["realqa: 1 item: 1 scored"]
    shutil.copy(photos / "dogs.jpg", tmp_path / "a.jpg")
    assert said() == ["realqa: 1 item: 1 scored"]
    shutil.copy(photos / "bee.jpg", tmp_path / "a.jpg")
    assert said() == ["realqa: 1 item: 1 done before"]
    assert len(records_in(output)) == 3


def test_failures_are_tried_again_and_not_written_twice(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    output = tmp_path / "scores.jsonl"
    for _ in range(2):
        ran = realqa("score", "a.jpg", *ECHO, "-o", output, cwd=tmp_path)
        assert (ran.code, ran.said) == (1, ["realqa: 1 item: 1 failed"])
        assert len(records_in(output)) == 1
    shutil.copy(photos / "bee.jpg", tmp_path / "a.jpg")
    assert realqa("score", "a.jpg", *ECHO, "-o", output, cwd=tmp_path).code == 0
    assert [record.get("error") is not None for record in records_in(output)] == [True, False]


def test_a_killed_run_goes_on_where_it_was(realqa: Realqa, many: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    code, _ = stop_midway(sorted(many.iterdir())[:40], output, 20, signal.SIGKILL, *ECHO)
    assert code == -signal.SIGKILL
    kept = len(records_in(output))
    assert 20 <= kept <= 40
    ran = realqa("score", many, *ECHO, "-o", output)
    assert ran.code == 0
    assert ran.said[-1] == f"realqa: 60 items: {60 - kept} scored, {kept} done before"
    assert Counter(Path(record["image"]).name for record in records_in(output)) == Counter(
        f"{i:03}.jpg" for i in range(60)
    )


def test_an_interrupted_run_keeps_what_is_finished(realqa: Realqa, many: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    code, err = stop_midway(sorted(many.iterdir())[:40], output, 20, signal.SIGINT, *ECHO)
    kept = len(records_in(output))
    assert code == 130
    assert err == f"realqa: interrupted: {kept} done, kept\n"
    ran = realqa("score", many, *ECHO, "-o", output, "--limit", kept + 5)
    assert ran.said == [f"realqa: {kept + 5} items: 5 scored, {kept} done before"]


@pytest.mark.parametrize("interrupts", [1, 3])
def test_an_interrupt_stops_a_long_decode_and_keeps_what_is_finished(
    photos: Path, tmp_path: Path, interrupts: int
) -> None:
    slow, output = tmp_path / "slow.jpg", tmp_path / "scores.jsonl"
    slow.write_bytes(progressive_jpeg(900, 6_000))  # minutes
    sources = [photos / "bee.jpg", slow]
    call = command("score", *sources, "-o", output, "--batch-size", 1, "--decode-timeout", 600, *ECHO)
    with subprocess.Popen(
        call,
        env=environment(),
        text=True,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while process.poll() is None and not (output.exists() and output.read_bytes().count(b"\n")):
            time.sleep(0.005)
        for _ in range(interrupts):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        process.wait(timeout=60)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        assert process.returncode == 130
    assert [Path(record["image"]).name for record in records_in(output)] == ["bee.jpg"]


@pytest.mark.slow
def test_a_killed_run_of_the_bundled_model_ends_with_the_same_scores(
    realqa: Realqa, bundled: Ran, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scores.jsonl"
    four = ["score", photos, "-o", output, "--limit", 4]
    code, _ = stop_midway(sorted(photos.glob("*.jpg"))[:3], output, 1, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert realqa(*four).code == 0
    expected = {record["image"]: record["score"] for record in bundled.records[:4]}
    assert len(records_in(output)) == 4
    assert {record["image"]: record["score"] for record in records_in(output)} == pytest.approx(expected, abs=1e-4)


def test_a_cut_last_line_is_repaired(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", photos, *ECHO, "-o", output)
    whole = output.read_bytes()
    output.write_bytes(whole[:-50])
    ran = realqa("score", photos, *ECHO, "-o", output)
    assert ran.code == 0
    assert ran.said[-1] == "realqa: 11 items: 1 scored, 10 done before"
    assert len(ran.said) == 3  # it reports the repair
    assert ran.said[1] == NOT_TAKEN
    assert output.read_bytes() == whole


def test_two_writers_of_one_file_are_refused(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    call = command("score", "-", *ECHO, "-o", output, "--batch-size", 1)
    with subprocess.Popen(call, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()) as first:
        assert first.stdin is not None
        first.stdin.write(json.dumps({"image": str(photos / "bee.jpg")}).encode() + b"\n")
        first.stdin.flush()
        while not (output.exists() and output.read_bytes()):
            assert first.poll() is None
            time.sleep(0.01)
        second = realqa("score", photos, *ECHO, "-o", output)
        first.stdin.close()
        assert first.wait() == 0
    assert second.code == 2
    (line,) = second.err.splitlines()
    assert str(output) in line
    assert "another run is writing" in line
    assert len(records_in(output)) == 1


def test_starting_over_never_deletes_silently(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", photos, *ECHO, "-o", output)
    before = output.read_bytes()
    refused = realqa("score", photos, *ECHO, "-o", output, "--no-resume")
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert refused.err.count("\n") == 1
    assert output.read_bytes() == before
    for more in (["--overwrite"], ["--no-resume", "--overwrite"]):
        done = realqa("score", photos, *ECHO, "-o", output, *more, "--limit", 2)
        assert done.said[-1] == "realqa: 2 items: 2 scored"
        assert len(records_in(output)) == 2


def test_starting_over_needs_no_permission_where_nothing_is(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    output.touch()
    assert realqa("score", photos, *ECHO, "-o", output, "--no-resume").code == 0
    assert len(records_in(output)) == 11


def test_the_best_of_the_whole_file_are_printed(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", photos, *ECHO, "-o", output, "--limit", 6)
    ran = realqa("score", photos, *ECHO, "-o", output, "--top", 4)
    whole = sorted(records_in(output), key=lambda record: record["score"], reverse=True)
    assert len(whole) == 11
    assert [{name: value for name, value in r.items() if name != "percentile"} for r in ran.records] == whole[:4]


def test_a_report_of_a_resumed_run_holds_the_whole_file(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    output, page = tmp_path / "scores.jsonl", tmp_path / "scores.html"
    realqa("score", photos, *ECHO, "-o", output, "--limit", 6)
    ran = realqa("score", photos, tmp_path / "no.jpg", *ECHO, "-o", output, "--report", page)
    assert ran.code == 1
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 11
    assert "<b>1</b> failed" in text


def test_a_foreign_file_next_to_the_output_is_not_overwritten(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "scores.jsonl.run.json"
    manifest.write_text("[1, 2]")
    ran = realqa("score", photos, *ECHO, "-o", tmp_path / "scores.jsonl")
    assert ran.code == 2
    assert str(manifest) in ran.err
    assert manifest.read_text() == "[1, 2]"
