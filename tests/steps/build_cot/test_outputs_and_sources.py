"""`realqa build-cot` on data sets and composites, for a given model, and its output after a kill."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import made_datasets
import pytest
from made_attributes import FULL
from process import Realqa, command, environment

from realqa_cli.cli import main
from realqa_cli.models import scorer_config_of


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def label(name: str, **more: Any) -> str:
    return json.dumps({"image": name, "attributes": FULL, "mos": 3.984, "mos_range": [1, 5], **more}) + "\n"


def test_a_data_set_gives_direct_conversations_with_no_labels_in_between(realqa: Realqa, tmp_path: Path) -> None:
    made_datasets.koniq(tmp_path / "koniq10k")
    given = ("koniq10k", "--dataset", "koniq10k", "--split", "training", "--formats", "direct")
    ran = realqa("build-cot", *given, "-o", "train.jsonl", cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "")
    lines = lines_of(tmp_path / "train.jsonl")
    assert lines
    assert {line["format"] for line in lines} == {"direct"}
    for line in lines:
        assert (tmp_path / line["images"][0]).is_file()
        assert (line["mos_range"], line["scale"]) == ([0, 100], [0, 10])
        answer = line["messages"][1]["content"]
        assert float(answer.removeprefix("The score of this image is ")[:-1]) == pytest.approx(
            line["mos"] / 10, abs=0.006
        )


def test_a_photo_of_a_data_set_that_is_not_there_is_an_error_record(realqa: Realqa, tmp_path: Path) -> None:
    made_datasets.koniq(tmp_path / "koniq10k", missing=(0,))
    ran = realqa(
        "build-cot", "koniq10k", "--dataset", "koniq10k", "--split", "all", "--formats", "direct", cwd=tmp_path
    )
    assert ran.code == 1
    assert [line["error"]["type"] for line in ran.records if line.get("error") is not None] == ["missing"]
    assert "realqa: photos that are not there, each with an error record: 1" in ran.said


def test_an_official_table_given_as_labels_says_that_its_photos_are_not_there(realqa: Realqa, tmp_path: Path) -> None:
    made_datasets.koniq(tmp_path / "koniq10k")
    (table,) = (tmp_path / "koniq10k").glob("*.csv")
    ran = realqa("build-cot", str(table), "--mos-range", "0-100", "--formats", "direct", cwd=tmp_path)
    assert ran.code == 1
    assert {line["error"]["type"] for line in ran.records} == {"missing"}
    assert any("give its folder and --dataset NAME" in line for line in ran.said)


def test_stage_one_of_the_release_is_its_own_conversations(realqa: Realqa, tmp_path: Path) -> None:
    folder = made_datasets.release(tmp_path / "RealQA")
    train = json.loads((folder / "realqa_train.json").read_text())
    asked = [("Is it sharp?", "Image Clarity: very clear."), ("And the light?", "It is 3.1 Exposure: overexposed.")]
    for question, answer in [*asked, ("What is there?", "A bed in a hotel room.")]:
        turns = [{"from": "human", "value": f"<image>{question}"}, {"from": "gpt", "value": answer}]
        train.append({"conversations": turns, "images": ["/home/author/RealQA/images/b.jpg"]})
    train.append({**train[-1], "images": ["images/gone.jpg"]})
    (folder / "realqa_train.json").write_text(json.dumps(train))
    given = ("RealQA", "--dataset", "realqa", "--split", "train", "--stage", "attributes")
    ran = realqa("build-cot", *given, "-o", "cold-start.jsonl", cwd=tmp_path)
    assert ran.code == 1
    *lines, failed = lines_of(tmp_path / "cold-start.jsonl")
    assert [(line["messages"][0], line["messages"][1]["content"], line["format"]) for line in lines] == [
        ({"role": "user", "content": "<image>Is it sharp?"}, "Image Clarity: very clear.", "attributes"),
        ({"role": "user", "content": "<image>And the light?"}, "It is 3.1 Exposure: overexposed.", "attributes"),
        ({"role": "user", "content": "<image>What is there?"}, "A bed in a hotel room.", "attributes"),
    ]
    assert all((tmp_path / line["images"][0]).is_file() for line in lines)
    assert failed["error"]["type"] == "missing"
    assert "realqa: conversations that state a score, which belong to --stage score: 3" in ran.said


def test_scale_and_digits_can_be_those_of_the_model_that_training_starts_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made_datasets.photo(tmp_path / "a.png")
    Path("labels.jsonl").write_text(label("a.png", mos=75, mos_range=[0, 100]))
    config = scorer_config_of("realqa-tiny")
    assert config is not None
    assert main(["build-cot", "labels.jsonl", "--formats", "direct", "--for", "realqa-tiny"]) == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (tuple(line["scale"]), line["digits"]) == (config.scale, config.digits)
    assert line["messages"][1]["content"].endswith(f"{config.scale.at(0.75):.2f}.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--for", "realqa-tiny", "--digits", "2"], "--digits: --for realqa-tiny decides it already"),
        (["--for", "."], "--for: . has no realqa.json; give --scale and --digits instead"),
        (["--for", "no such model"], "unknown model"),
        (["--no-resume"], "--no-resume: applies to an output file"),
        (["--dataset", "koniq10k"], "no such folder"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.jsonl").write_text(label("a.png"))
    assert main(["build-cot", "labels.jsonl", *arguments]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert words in said


def test_the_composite_of_a_label_is_scaled_by_the_range_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = []
    for n in range(1, 11):
        made_datasets.photo(tmp_path / f"{n}.png")
        attributes = FULL | {"composition": {"score": n, "reason": "so"}, "eye_catching": {"score": 11 - n}}
        labels.append(json.dumps({"image": f"{n}.png", "attributes": attributes, "ctr": 0.01 * n}) + "\n")
    Path("labels.jsonl").write_text("".join(labels))
    assert main(["composite", "fit", "labels.jsonl", "--target", "ctr", "-o", "weights.json", "-q"]) == 0
    assert main(["composite", "apply", "labels.jsonl", "--weights", "weights.json", "-o", "weighted.jsonl", "-q"]) == 0
    capsys.readouterr()
    assert main(["build-cot", "weighted.jsonl", "--formats", "direct"]) == 0
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    scores = [float(line["messages"][1]["content"].removeprefix("The score of this image is ")[:-1]) for line in lines]
    assert scores == sorted(scores)
    assert scores[0] < 1
    assert scores[-1] > 9, "the range of the text is used, although no rate exceeds 0.1"
    assert all(line["mos"] == pytest.approx(0.01 * (n + 1), abs=1e-6) for n, line in enumerate(lines))
    assert "realqa: scores taken from `composite`, mapped from the range that its weights can reach: 10" in said.err


def test_a_composite_without_its_range_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made_datasets.photo(tmp_path / "a.png")
    Path("labels.jsonl").write_text(json.dumps({"image": "a.png", "attributes": FULL, "composite": 0.05}) + "\n")
    assert main(["build-cot", "labels.jsonl", "--formats", "direct"]) == 1
    assert "apply the weights again, or give --mos-range" in capsys.readouterr().out
    assert main(["build-cot", "labels.jsonl", "--formats", "direct", "--mos-range", "0-0.1"]) == 0
    assert "The score of this image is 5.00." in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_run_leaves_no_file_that_looks_complete_and_the_next_one_continues_it(tmp_path: Path) -> None:
    for n in range(40):
        made_datasets.photo(tmp_path / f"{n}.png")
    labels = [label(f"{n}.png") for n in range(40)]
    (tmp_path / "labels.jsonl").write_text("".join(labels))
    whole = [*command("build-cot", "labels.jsonl", "-q", "-o")]
    subprocess.run([*whole, "undisturbed.jsonl"], cwd=tmp_path, env=environment(), check=True)

    output, part = tmp_path / "train.jsonl", tmp_path / "train.jsonl.part"
    piped = [*command("build-cot", "-", "-q", "-o", "train.jsonl")]
    with subprocess.Popen(piped, cwd=tmp_path, env=environment(), stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("".join(labels[:20]))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while (not part.exists() or part.stat().st_size < 5000) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
    assert part.stat().st_size > 0
    assert not output.exists()

    with part.open("rb+") as torn:
        torn.truncate(part.stat().st_size - 7)  # as a power cut leaves it
    again = subprocess.run([*whole[:-2], "-o", "train.jsonl"], cwd=tmp_path, env=environment(), capture_output=True)
    assert again.returncode == 0
    assert b"of an earlier run kept" in again.stderr
    assert output.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
    assert not part.exists()
    assert {path.name for path in tmp_path.glob("train*")} == {"train.jsonl", "train.jsonl.run.json"}


def test_lines_that_no_longer_come_from_the_labels_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made_datasets.photo(tmp_path / "a.png")
    Path("labels.jsonl").write_text(label("a.png"))
    given = ["build-cot", "labels.jsonl", "--formats", "direct", "-o", "train.jsonl"]
    assert main(given) == 0
    Path("labels.jsonl").write_text(label("a.png", mos=2))
    capsys.readouterr()
    assert main(given) == 0
    assert (
        "lines of an earlier run that do not come from these labels (--overwrite leaves them out): 1"
        in capsys.readouterr().err
    )
    assert len(lines_of(tmp_path / "train.jsonl")) == 2
    assert main([*given, "--overwrite"]) == 0
    assert [line["mos"] for line in lines_of(tmp_path / "train.jsonl")] == [2]
    assert main([*given, "--digits", "2"]) == 2
    assert "holds conversations that were built with other settings" in capsys.readouterr().err
    Path("own.jsonl").write_text('{"note": "not of build-cot"}\n')
    assert main([*given[:-1], "own.jsonl"]) == 2
    assert Path("own.jsonl").read_text() == '{"note": "not of build-cot"}\n'
