"""Wrong usage: one line on stderr with the remedy, and exit code 2."""

import subprocess
from pathlib import Path

import pytest
from process import Realqa, command, environment

from realqa_cli import cli
from realqa_cli.cli import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scor", "a.jpg"], "No such command 'scor'. Did you mean 'score'"),
        (["score"], "no sources are given; name photos, folders or .jsonl files, or - for stdin"),
        (["score", "a.jpg", "--batch-sise", "2"], "--batch-size"),
        (["score", "a.jpg", "--batch-size", "0"], "Invalid value for '--batch-size'"),
        (["score", "a.jpg", "--batch-size", "many"], "Invalid value for '--batch-size'"),
        (["score", "a.jpg", "--scale", "5-1"], "is not a scale such as 1-5"),
        (["score", "a.jpg", "--output"], "Option '--output' requires an argument; see realqa score --help"),
        (["score", "a.jpg", "--overwrite"], "--overwrite: applies to an output file; add --output FILE"),
        (["score", "a.jpg", "--no-resume"], "--no-resume: applies to an output file; add --output FILE"),
        (["score", "a.jpg", "--table", "--json"], "--table and --json are mutually exclusive; choose one of the two"),
        (["score", "{list}", "-o", "{list}"], "is also an input; choose another file"),
        (
            ["score", "a.jpg", "-o", "b"],
            "--output: b does not have the suffix of scores; end it in .jsonl, .ndjson, .jsonl.gz",
        ),
        (["score", "a.jpg", "-o", "."], "--output: . is a folder; name a file in it"),
        (
            ["score", "a.jpg", "-o", "-"],
            "--output: needs the name of a file; leave it out to have the records on stdout",
        ),
        (
            ["score", "a.jpg", "-o", "no/such/folder/a.jsonl"],
            "--output: there is no folder no/such/folder; create it first",
        ),
        (
            ["score", "a.jpg", "--report", "no/such/folder/a.html"],
            "--report: there is no folder no/such/folder; create it first",
        ),
        (
            ["score", "{photos}", "--backend", "ecko"],
            "--backend: unknown backend 'ecko'; use one of: auto, onnx, openvino, hf, echo",
        ),
        (["score", "{photos}", "--backend", "echo", "--method", "cots"], "--method: unknown value 'cots'"),
        (["score", "{photos}", "--backend", "echo", "--decode", "beam"], "use one of: exact, greedy"),
        (["score", "{photos}", "--model", "nosuch"], "--model: unknown model 'nosuch'; give a model folder"),
        (["--nope"], "No such option: --nope; see realqa --help"),
    ],
)
def test_wrong_usage_is_one_line_with_the_remedy_and_exit_code_2(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    (tmp_path / "list.jsonl").write_text('{"image": "a.jpg"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REALQA_MODEL", raising=False)
    code = cli.main([word.format(photos=photos, list="list.jsonl") for word in arguments])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("realqa: ")
    assert words in line


def test_an_unknown_model_is_answered_with_the_known_ones(realqa: Realqa, photos: Path) -> None:
    ran = realqa("score", photos, "--model", "nosuch")
    assert all(name in ran.err for name in ("realqa-tiny", "qwen2-vl-2b", "internvl2"))


def test_the_model_of_the_environment_is_taken_and_an_option_wins_over_it(realqa: Realqa, photos: Path) -> None:
    env = environment(REALQA_MODEL="of-the-environment")
    assert "unknown model 'of-the-environment'" in realqa("score", photos, env=env).err
    assert "unknown model 'of-the-option'" in realqa("score", photos, "--model", "of-the-option", env=env).err


def test_an_empty_folder_is_wrong_usage(realqa: Realqa, tmp_path: Path) -> None:
    ran = realqa("score", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert str(tmp_path) in line


def test_a_model_folder_without_weights_is_wrong_usage(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    ran = realqa("score", photos, "--model", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert str(tmp_path) in line
    assert "weights" in line


def test_without_a_command_there_are_three_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert sum(line.strip().startswith("realqa score ") for line in out.splitlines()) == 3
    assert "realqa --help" in out


def test_the_help_groups_the_commands_by_what_they_are_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f" {group} ") for group in ("Use", "Label", "Train", "Research")]
    assert places == sorted(places)
    assert "--install-completion" in out
    assert "<bool>" not in out


def test_the_help_of_a_command_shows_examples_and_everyday_options_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", "--help"]) == 0
    short = capsys.readouterr().out
    assert cli.main(["score", "--help-all"]) == 0
    everything = capsys.readouterr().out
    assert "Usage: realqa score [OPTIONS] [SOURCES...]" in short
    assert short.index("Examples") < short.index("Everyday options")
    assert "--top" in short
    assert "--jpeg-draft" not in short
    assert everything.index("--top") < everything.index("--jpeg-draft")
    assert short.count("\n") < 60
    assert "<bool>" not in everything


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str) -> None:
    complete = {
        "_REALQA_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "realqa sco",
        "COMP_WORDS": "realqa sco",
    }
    env = environment(COMP_CWORD="1", _TYPER_COMPLETE_FISH_ACTION="get-args", **complete)
    ran = subprocess.run(command(), env=env, capture_output=True, text=True)
    assert ran.returncode == 0
    assert "score" in ran.stdout
    assert "annotate" not in ran.stdout


def test_the_version_is_the_packages(realqa: Realqa) -> None:
    from realqa_cli import __version__

    assert realqa("--version").out == f"realqa {__version__}\n"


def test_help_into_a_closed_pipe_is_quiet() -> None:
    line = f"{' '.join(command('score', '--help'))} | head -1; echo ${{PIPESTATUS[0]}} >&2"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment())
    assert ran.stderr == "0\n"


def test_a_full_disk_is_one_line(realqa: Realqa, photos: Path) -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            command("score", photos, "--backend", "echo", "-q"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
    assert (ran.returncode, ran.stderr) == (2, "realqa: No space left on device\n")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: object) -> int:
        raise RuntimeError("a fault\nof ours")

    monkeypatch.setattr(app, "run", fail)


@pytest.mark.usefixtures("broken")
def test_a_fault_of_ours_is_one_line_that_asks_for_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("realqa: unexpected RuntimeError: a fault of ours (a fault of realqa: please report it")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("broken")
def test_the_traceback_of_a_fault_is_there_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALQA_DEBUG", "1")
    with pytest.raises(RuntimeError, match="a fault"):
        cli.main([])


def test_control_characters_of_arguments_never_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    from realqa_cli.cli import main

    assert main(["score", "a.jpg", "--bogus\x1b[31m\x07"]) == 2
    err = capfd.readouterr().err
    assert "\\x1b[31m\\x07" in err
    assert not {"\x1b", "\x07"} & set(err)
