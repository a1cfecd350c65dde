"""`--resume-by`: a finished photo is not opened again, and one that may have changed is."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from process import Ran, Realqa, command, environment, run

from realqa_cli.io.record_index import index_file

ECHO = ("--backend", "echo")
LONG_AGO = 10**9
HOOK = """
import os, sys
_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def _hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        os.write(_log, os.path.abspath(os.fsdecode(arguments[0])).encode() + b"\\n")
sys.addaudithook(_hook)
"""

Audited = Callable[..., tuple[Ran, list[str]]]


_opened: list[str] = []
_here = os.getpid()


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike) and os.getpid() == _here:
        _opened.append(os.path.abspath(os.fsdecode(arguments[0])))


sys.addaudithook(_note_opened)


@pytest.fixture
def audited(realqa_here: Realqa) -> Audited:
    """Runs a command in this process; gives the files that it opens and that end in .jpg."""

    def run_audited(*arguments: object) -> tuple[Ran, list[str]]:
        _opened.clear()
        ran = realqa_here(*arguments)
        return ran, [name for name in _opened if name.endswith(".jpg")]

    return run_audited


@pytest.fixture
def audited_process(tmp_path: Path) -> Audited:
    """The same in a process of its own, with the processes that it starts."""
    folder = tmp_path / "hook"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")

    def run_audited(*arguments: object) -> tuple[Ran, list[str]]:
        log = folder / "opened"
        log.write_bytes(b"")
        path = f"{folder}{os.pathsep}{environment()['PYTHONPATH']}"
        ran = run(*arguments, env=environment(PYTHONPATH=path, AUDIT_LOG=str(log)))
        return ran, [name for name in log.read_text().splitlines() if name.endswith(".jpg")]

    return run_audited


@pytest.fixture
def old(photo_files: list[Path], tmp_path: Path) -> list[Path]:
    """Six photos, last modified long ago."""
    folder = tmp_path / "old"
    folder.mkdir()
    made = []
    for file in photo_files[:6]:
        made.append(Path(shutil.copy(file, folder / file.name)))
        os.utime(made[-1], (LONG_AGO, LONG_AGO))
    return made


def records_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_finished_photo_is_not_opened(audited_process: Audited, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    first, opened = audited_process("score", *old[:4], *ECHO, "-o", output)
    assert first.said == ["realqa: 4 items: 4 scored"]
    assert {Path(name) for name in opened} == set(old[:4]), "the hook sees what a run opens"
    again, opened = audited_process("score", *old, *ECHO, "-o", output)
    assert again.said == ["realqa: 6 items: 2 scored, 4 done before"]
    assert {Path(name) for name in opened} == set(old[4:])
    assert [record["image"] for record in records_in(output)] == [str(file) for file in old]


@pytest.mark.parametrize("source", ["folder", "list", "json lines"])
def test_neither_folders_nor_lists_open_a_finished_photo(
    audited: Audited, old: list[Path], tmp_path: Path, source: str
) -> None:
    (tmp_path / "names.txt").write_text("".join(f"{file}\n" for file in old))
    (tmp_path / "names.jsonl").write_text("".join(json.dumps({"image": str(file)}) + "\n" for file in old))
    given: Any = {
        "folder": [old[0].parent],
        "list": ["--files-from", tmp_path / "names.txt"],
        "json lines": [tmp_path / "names.jsonl"],
    }[source]
    output = tmp_path / "scores.jsonl"
    audited("score", *given, *ECHO, "-o", output)
    again, opened = audited("score", *given, *ECHO, "-o", output)
    assert again.said == ["realqa: 6 items: 6 done before"]
    assert opened == []


def test_self_label_does_not_open_them_either(audited: Audited, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "labels.jsonl"
    audited("self-label", *old, *ECHO, "-o", output)
    again, opened = audited("self-label", *old, *ECHO, "-o", output)
    assert again.said == ["realqa: 6 items: 6 done before"]
    assert opened == []


def test_other_shards_do_not_open_a_photo(audited: Audited, old: list[Path], tmp_path: Path) -> None:
    seen: list[str] = []
    for shard in ("1/2", "2/2"):
        output = tmp_path / f"part-{shard[0]}.jsonl"
        _, opened = audited("score", *old, *ECHO, "--shard", shard, "-o", output)
        assert set(opened) == {record["image"] for record in records_in(output)}
        seen += set(opened)
    assert sorted(seen) == sorted(map(str, old))


def test_by_content_every_photo_is_read(audited: Audited, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    audited("score", *old, *ECHO, "-o", output)
    again, opened = audited("score", *old, *ECHO, "-o", output, "--resume-by", "content")
    assert again.said == ["realqa: 6 items: 6 done before"]
    assert {Path(name) for name in opened} == set(old)


def test_another_value_is_refused(realqa: Realqa, old: list[Path]) -> None:
    ran = realqa("score", old[0], *ECHO, "--resume-by", "name")
    assert (ran.code, ran.said) == (
        2,
        ["realqa: --resume-by: unknown value 'name'; use one of: stat, content"],
    )


def test_a_changed_photo_is_scored_again(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", *old, *ECHO, "-o", output)
    shutil.copy(old[1], old[0])
    os.utime(old[0], (LONG_AGO + 1, LONG_AGO + 1))
    assert realqa("score", *old, *ECHO, "-o", output).said == ["realqa: 6 items: 1 scored, 5 done before"]
    assert records_in(output)[-1]["content"] == records_in(output)[1]["content"]


def test_a_photo_that_was_only_touched_is_read_once_more(audited: Audited, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    audited("score", *old, *ECHO, "-o", output)
    os.utime(old[0], (LONG_AGO + 1, LONG_AGO + 1))
    for expected in ([str(old[0])], []):
        again, opened = audited("score", *old, *ECHO, "-o", output)
        assert again.said == ["realqa: 6 items: 6 done before"]
        assert list(dict.fromkeys(opened)) == expected


def test_a_photo_as_new_as_the_run_is_not_trusted(audited: Audited, old: list[Path], tmp_path: Path) -> None:
    """It may change after it was read, with the same size and within the same tick of the clock."""
    output = tmp_path / "scores.jsonl"
    now = time.time()
    os.utime(old[0], (now, now))
    audited("score", *old, *ECHO, "-o", output)
    data = bytearray(old[0].read_bytes())
    data[-3] ^= 1
    old[0].write_bytes(data)
    os.utime(old[0], (now, now))
    again, opened = audited("score", *old, *ECHO, "-o", output)
    assert again.said == ["realqa: 6 items: 1 scored, 5 done before"]
    assert set(opened) == {str(old[0])}


def test_changed_settings_are_other_work(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", *old, *ECHO, "-o", output)
    greedy = ("score", *old, *ECHO, "-o", output, "--decode", "greedy")
    assert realqa(*greedy).said == ["realqa: 6 items: 6 scored"]
    assert realqa(*greedy).said == ["realqa: 6 items: 6 done before"]


def test_the_same_photo_under_another_name_is_other_work(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", old[0], *ECHO, "-o", output)
    link = old[0].with_name("link.jpg")
    link.symlink_to(old[0])
    assert realqa("score", link, *ECHO, "-o", output).said == ["realqa: 1 item: 1 scored"]


def test_another_file_of_the_same_relative_name_is_other_work(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    for number, file in enumerate(old[:2]):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = file.read_bytes().ljust(10**6, b"\0")
        (folder / "a.jpg").write_bytes(data)
        os.utime(folder / "a.jpg", (LONG_AGO, LONG_AGO))
        assert realqa("score", "a.jpg", *ECHO, "-o", output, cwd=folder).said == ["realqa: 1 item: 1 scored"]


def test_a_photo_that_is_listed_twice_has_two_records(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", old[0], *ECHO, "-o", output)
    twice = ("score", old[0], old[0], *ECHO, "-o", output)
    assert realqa(*twice).said == ["realqa: 2 items: 1 scored, 1 done before"]
    assert realqa(*twice).said == ["realqa: 2 items: 2 done before"]


def test_overwriting_forgets_what_was_done(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", *old, *ECHO, "-o", output)
    assert realqa("score", *old[:2], *ECHO, "-o", output, "--overwrite").said == ["realqa: 2 items: 2 scored"]
    assert realqa("score", *old, *ECHO, "-o", output).said == ["realqa: 6 items: 4 scored, 2 done before"]


def damage(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:100] + b"\xff" * 5000)


@pytest.mark.parametrize("spoil", [Path.unlink, damage], ids=["lost", "damaged"])
def test_a_lost_or_damaged_index_is_made_again(
    audited: Audited, old: list[Path], tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    output = tmp_path / "scores.jsonl"
    audited("score", *old, *ECHO, "-o", output)
    spoil(index_file(output))
    for count in (6, 0):
        again, opened = audited("score", *old, *ECHO, "-o", output)
        assert again.said == ["realqa: 6 items: 6 done before"]
        assert len(set(opened)) == count, "the index has no times until the photos are read once more"


def test_a_removed_record_is_made_again(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa("score", *old, *ECHO, "-o", output)
    lines = output.read_text().splitlines(keepends=True)
    output.write_text("".join(lines[:2] + lines[3:]))
    assert realqa("score", *old, *ECHO, "-o", output).said == ["realqa: 6 items: 1 scored, 5 done before"]


def test_a_file_of_someone_else_is_not_replaced_by_an_index(realqa: Realqa, old: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    with sqlite3.connect(index_file(output)) as other:
        other.execute("CREATE TABLE mine (a)")
    other.close()
    before = index_file(output).read_bytes()
    ran = realqa("score", *old, *ECHO, "-o", output)
    assert ran.code == 2
    assert "exists and is not an index of realqa; move it away" in ran.err
    assert index_file(output).read_bytes() == before


def test_after_a_kill_nothing_is_lost_repeated_or_opened_twice(
    audited: Audited, old: list[Path], tmp_path: Path
) -> None:
    """Records of the last second before a kill may lack in the index, but not in the output: their photos are read once."""
    output = tmp_path / "scores.jsonl"
    call = [*command("score", "-", *ECHO, "-o", output, "--batch-size", 1)]
    with subprocess.Popen(
        call, env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        for number, file in enumerate(old[:4]):
            process.stdin.write(json.dumps({"image": str(file)}) + "\n")
            process.stdin.flush()
            while not output.exists() or output.read_bytes().count(b"\n") <= number:
                assert process.poll() is None
                time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    with output.open("ab") as stream:
        stream.write(b'{"image": "torn')
    again, opened = audited("score", *old, *ECHO, "-o", output)
    assert again.said == [
        f"realqa: {output}: removed an incomplete last line, 15 bytes, of an interrupted run",
        "realqa: 6 items: 2 scored, 4 done before",
    ]
    assert {Path(name) for name in opened} >= set(old[4:])
    again, opened = audited("score", *old, *ECHO, "-o", output)
    assert again.said == ["realqa: 6 items: 6 done before"]
    assert opened == []
    assert [record["image"] for record in records_in(output)] == [str(file) for file in old]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_continue_without_opening_photos(audited: Audited, old: list[Path], tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"scores{suffix}"
    audited("score", *old[:4], *ECHO, "-o", output)
    again, opened = audited("score", *old, *ECHO, "-o", output)
    assert again.said == ["realqa: 6 items: 2 scored, 4 done before"]
    assert {Path(name) for name in opened} == set(old[4:])


@pytest.mark.slow
def test_several_processes_leave_finished_photos_to_nobody(audited: Audited, old: list[Path], tmp_path: Path) -> None:
    """The process that reads the list does not open photos for others either, unless it has to compare them."""
    code = (
        "import sys; from realqa_cli import cli; from realqa_cli.inference import inputs;"
        "inputs.identify_item = None; sys.exit(cli.main(sys.argv[1:]))"
    )
    output = tmp_path / "scores.jsonl"
    call = ["score", *map(str, old), *ECHO, "--device", "cpu", "-o", str(output)]
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-c", code, *call], env=environment(REALQA_WORKERS="2"), capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
    assert "6 items: 6 done before" in ran.stderr
    assert len(records_in(output)) == 6
