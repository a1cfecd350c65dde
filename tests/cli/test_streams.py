"""Standard streams that are closed: every command has the right exit code, and at most one line of explanation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import every_command
import pytest
from process import ROOT, command, environment

WRITE_NO_RECORDS = {"split", "train"}
"""Commands that print nothing to stdout, so that it may be closed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    every_command.make_inputs(folder)
    return folder


@pytest.mark.slow
def test_every_command_with_a_closed_stream_has_the_right_exit_code(folder: Path) -> None:
    env = environment(XDG_DATA_HOME=str(folder / "data"))
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    call = [sys.executable, every_command.__file__, "codes.json"]
    ran = subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert "fault of realqa" not in ran.stderr
    codes = json.loads((folder / "codes.json").read_text())
    expected = {name: 0 for name in every_command.RUNS if name != "train"}
    assert codes["stdin"] == expected
    assert codes["stderr"] == expected
    assert codes["stdout"] == {name: 0 if name in WRITE_NO_RECORDS else 2 for name in every_command.RUNS}


def shell(arguments: list[str], redirection: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command whose streams a shell redirects."""
    call = ["bash", "-c", f'"$@" {redirection}', "bash", *command(*arguments)]
    ran = subprocess.run(call, cwd=folder, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return ran.returncode, ran.stdout, ran.stderr


SCORE = ["score", "bee.jpg", "--backend", "echo", "-q"]


@pytest.mark.parametrize("arguments", [SCORE, ["--version"], ["score", "--help"]], ids=["records", "version", "help"])
def test_a_closed_stdout_is_one_line(arguments: list[str], folder: Path) -> None:
    code, _, err = shell(arguments, ">&-", folder)
    assert code == 2
    assert err == "realqa: standard output is closed; redirect it to a file or to a program\n"


def test_a_closed_stdin_is_one_line_where_it_is_read(folder: Path) -> None:
    code, out, err = shell(["score", "-", "--backend", "echo", "-q"], "<&-", folder)
    assert (code, out) == (2, "")
    assert err == "realqa: standard input is closed; pipe the records in, or name a file\n"


def test_closed_streams_do_not_keep_the_records_from_a_file(folder: Path) -> None:
    assert shell([*SCORE, "-o", "scores.jsonl"], "<&- >&- 2>&-", folder)[0] == 0
    (record,) = map(json.loads, (folder / "scores.jsonl").read_text().splitlines())
    assert record["error"] is None


def test_a_closed_stderr_keeps_the_exit_code_of_an_error(folder: Path) -> None:
    assert shell(["score", "bee.jpg", "--backend", "nope"], "2>&-", folder) == (2, "", "")


@pytest.mark.parametrize("name", ["score", "eval", "build-cot", "composite apply"])
def test_a_closed_pipe_is_quiet(name: str, folder: Path) -> None:
    code, _, err = shell([*every_command.RUNS[name], "-q"], "| true; exit ${PIPESTATUS[0]}", folder)
    assert (code, err) == (0, "")
