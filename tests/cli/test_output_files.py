"""Every output option of every command: its suffix, and what it never replaces. New options are found by themselves."""

import inspect
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from realqa_cli.cli import main
from realqa_cli.cli.app import build_app
from realqa_cli.cli.output_files import OutputFile, OutputKind, output_files

INPUTS = {
    "prices", "weights", "log", "image_root", "conversations", "files", "preset_file", "calibration", "parts", "root", "pairs",
}  # fmt: skip
"""Parameters of type Path that name inputs, or folders."""
FOLDERS = {("train", "output"), ("leaderboard", "output"), ("rank", "copy_to"), ("rank", "link_to")}
"""Outputs that are folders, which `run_folder` and the step check."""

ARGUMENTS: dict[str, list[str]] = {
    "score": ["{photos}", "--backend", "echo"],
    "self-label": ["{photos}", "--backend", "echo"],
    "annotate": ["{photos}", "--server", "http://localhost:1/v1", "--model", "fake"],
    "build-cot": ["{labels}"],
    "split": ["{labels}", "-o", "one.jsonl", "--held-out", "two.jsonl"],
    "train": ["{labels}", "-o", "run"],
    "eval": ["{labels}"],
    "ncm": ["--log", "{labels}"],
    "sort-probe": ["--model", "echo"],
    "composite fit": ["{labels}", "--target", "ctr"],
    "composite apply": ["{labels}", "--weights", "{labels}"],
    "rank": ["{photos}", "--backend", "echo"],
    "merge": ["{labels}"],
    "compare": ["{photos}/bee.jpg", "{photos}/bee.jpg", "--backend", "echo"],
    "explain": ["{photos}/bee.jpg"],
    "leaderboard": ["--models", "echo", "--datasets", "csv:{labels}", "-o", "board"],
    "calibrate fit": ["{labels}", "--scores", "{labels}"],
    "calibrate apply": ["{labels}", "--calibration", "{labels}"],
}
"""What each command needs besides its output options."""

Case = tuple[str, OutputFile, str, OutputKind]


def commands(group: Any, words: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{words}{name} ")
        else:
            yield f"{words}{name}", command


def cases() -> Iterator[Case]:
    """(command, option, format or "", kind) of every output option."""
    for name, command in commands(typer.main.get_command(build_app())):
        for output in output_files(command).values():
            kinds = {"": output.kind} if isinstance(output.kind, OutputKind) else output.kind
            for form, kind in kinds.items():
                yield name, output, form, kind


EVERY = list(cases())
every = pytest.mark.parametrize(
    "case", EVERY, ids=[f"{name} {output.flag} {form}".strip() for name, output, form, _ in EVERY]
)


@pytest.fixture
def folder(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a photo and a file of labels."""
    (tmp_path / "photos").mkdir()
    shutil.copy(photos / "bee.jpg", tmp_path / "photos" / "bee.jpg")
    (tmp_path / "labels.jsonl").write_text('{"image": "photos/bee.jpg", "text": "of the user"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(case: Case, file: Path | str, *more: str) -> int:
    name, output, form, _ = case
    given = [word.format(photos="photos", labels="labels.jsonl") for word in ARGUMENTS[name]]
    return main([*name.split(), *given, output.flag, *([form] if form else []), str(file), *more])


def refused(case: Case, file: Path | str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line that refuses the file."""
    assert call(case, file, *more) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert line.startswith(f"realqa: {case[1].flag}: ")
    return line


def test_every_option_that_names_a_path_is_an_output_or_a_known_input() -> None:
    for name, command in commands(typer.main.get_command(build_app())):
        declared = output_files(command)
        for parameter in inspect.signature(command.callback).parameters.values():
            kinds = str(get_args(parameter.annotation)[:1])
            if "Path" in kinds and parameter.name not in declared and (name, parameter.name) not in FOLDERS:
                assert parameter.name in INPUTS or parameter.name == "from_", f"{name} {parameter.name}"


def test_no_output_option_is_forgotten() -> None:
    found = {(name, output.flag) for name, output, _, _ in EVERY}
    assert {("score", "--output"), ("score", "--report"), ("eval", "--plot"), ("annotate", "--to")} <= found
    assert len(EVERY) >= 12


@every
def test_a_name_without_the_suffix_is_refused(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = folder / "photos" / "bee.jpg"
    before = photo.read_bytes()
    for more in ([], ["--overwrite"]):
        assert "suffix" in refused(case, photo, capsys, *more)
    assert photo.read_bytes() == before
    refused(case, "new.xyz", capsys)
    assert not (folder / "new.xyz").exists()


@every
def test_a_file_of_someone_else_is_not_replaced(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in case[3].suffixes:
        file = folder / f"mine{suffix}"
        for content in (b'{"image": "a.jpg", "text": "of the user"}\n', b"<html>of the user</html>", b"\x89PNG\r\n"):
            file.write_bytes(content)
            assert call(case, file) == 2
            assert "realqa: " in capsys.readouterr().err
            assert file.read_bytes() == content


@every
def test_an_input_is_never_an_output(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = folder / "photos" / "bee.jpg"
    before = photo.read_bytes()
    link = folder / f"link{case[3].suffixes[0]}"
    os.link(folder / "labels.jsonl", link)
    texts = {path: path.read_bytes() for path in (folder / "labels.jsonl", link)}
    if any("{labels}" in word for word in ARGUMENTS[case[0]]):
        assert "is also an input" in refused(case, link, capsys, "--overwrite")
    assert {path: path.read_bytes() for path in texts} == texts
    assert photo.read_bytes() == before


@every
def test_a_folder_and_a_missing_folder_are_refused(
    case: Case, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix = case[3].suffixes[0]
    (folder / f"folder{suffix}").mkdir()
    assert "is a folder" in refused(case, f"folder{suffix}", capsys)
    assert "no folder nowhere" in refused(case, f"nowhere/file{suffix}", capsys)


def test_a_report_never_replaces_a_photo_of_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = folder / "photos" / "wave.html"
    shutil.copy(folder / "photos" / "bee.jpg", photo)
    (folder / "list.jsonl").write_text(json.dumps({"image": "photos/wave.html"}) + "\n")
    arguments = ["score", "list.jsonl", "--backend", "echo", "--report", str(photo)]
    for more in ([], ["--overwrite"]):
        assert main([*arguments, *more]) == 2
        assert "--report" in capsys.readouterr().err
    assert photo.read_bytes() == (folder / "photos" / "bee.jpg").read_bytes()


def test_a_plot_never_replaces_a_photo_of_a_data_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = folder / "photos" / "wave.png"
    shutil.copy(folder / "photos" / "bee.jpg", photo)
    before = photo.read_bytes()
    arguments = ["eval", "labels.jsonl", "--labels", "photos", "--dataset", "koniq10k", "--plot", str(photo)]
    assert main([*arguments, "--overwrite"]) == 2
    assert "is one of the photos or videos of this run" in capsys.readouterr().err
    assert photo.read_bytes() == before


def test_our_own_report_is_replaced_and_another_page_only_with_overwrite(folder: Path) -> None:
    arguments = ["score", "photos", "--backend", "echo", "-q", "--report", "page.html"]
    assert main(arguments) == 0
    first = (folder / "page.html").read_text()
    assert main([*arguments, "--decode", "greedy"]) == 0
    assert (folder / "page.html").read_text() != first
    (folder / "page.html").write_text("<html>another page</html>")
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0
    assert "generator" in (folder / "page.html").read_text()


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_our_own_plot_is_replaced(folder: Path, suffix: str) -> None:
    rows = [{"image": f"{i}.jpg", "score": 1 + i / 2, "mos": 1 + i / 3, "scale": [1, 5]} for i in range(8)]
    (folder / "preds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["eval", "preds.jsonl", "--bootstrap", "0", "-q", "--plot", f"plot{suffix}"]
    for _ in range(2):
        assert main(arguments) == 0
    (folder / f"plot{suffix}").write_bytes(b"something else")
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0


def test_overwrite_needs_an_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--overwrite", "--no-resume"):
        assert main(["score", "photos", "--backend", "echo", option]) == 2
        assert f"{option}: applies to an output file; add --output FILE" in capsys.readouterr().err
