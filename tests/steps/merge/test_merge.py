"""`realqa merge`: nothing is missing, nothing occurs twice, nothing contradicts."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from process import PHOTOS

from realqa_cli.cli import main
from realqa_cli.errors import UsageError
from realqa_cli.io.jsonl import dump_line
from realqa_cli.steps.merge.merge import Merge, MergeSettings

COUNT = 3


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def scored(name: str, score: float = 3.0, **more: Any) -> dict[str, Any]:
    return {"image": name, "score": score, "run": "r", "error": None, **more}


def failed(name: str, message: str = "no such file") -> dict[str, Any]:
    return {"image": name, "score": None, "run": "r", "error": {"type": "missing", "message": message}}


def write(file: Path, *records: dict[str, Any]) -> Path:
    file.write_text("".join(dump_line(record) + "\n" for record in records), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The outputs of three shards of the sample photos."""
    folder = tmp_path_factory.mktemp("shards")
    files = [folder / f"part-{index}.jsonl" for index in range(1, COUNT + 1)]
    for index, file in enumerate(files, 1):
        call = ["score", str(PHOTOS), "--backend", "echo", "-q", "--shard", f"{index}/{COUNT}", "-o", str(file)]
        assert main(call) == 0
    return files


def test_all_shards_give_the_records_of_one_run(shards: list[Path], tmp_path: Path) -> None:
    whole, merged = tmp_path / "whole.jsonl", tmp_path / "merged.jsonl"
    assert main(["score", str(PHOTOS), "--backend", "echo", "-q", "-o", str(whole)]) == 0
    assert main(["merge", *map(str, shards), "-o", str(merged), "-q"]) == 0

    def by_name(file: Path) -> list[dict[str, Any]]:
        return sorted(lines_of(file), key=lambda record: str(record["image"]))

    assert by_name(merged) == by_name(whole)
    assert json.loads((tmp_path / "merged.jsonl.run.json").read_text())["completed"] == {
        "1/1": {"items": 11, "failed": 0}
    }


def test_a_missing_shard_is_named(shards: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", str(shards[0]), str(shards[2])]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "realqa: 1 shard missing: 2/3; add their outputs, or --partial\n"
    assert main(["merge", str(shards[0]), str(shards[2]), "--partial"]) == 0


def test_a_shard_whose_run_has_not_ended_is_refused(
    shards: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = tmp_path / "part.jsonl"
    call = ["score", str(PHOTOS), "--backend", "echo", "-q", "--shard", "2/3", "-o", str(part)]
    assert main([*call, "--limit", "1"]) == 0
    parts = [str(shards[0]), str(part), str(shards[2])]
    assert main(["merge", *parts]) == 2
    assert "part.jsonl: its run has not ended; continue it, or add --partial" in capsys.readouterr().err
    assert main(call) == 0
    assert main(["merge", *parts, "-q"]) == 0


def test_other_formats_are_written_by_suffix(shards: list[Path], tmp_path: Path) -> None:
    for name in ("all.jsonl.gz", "all.csv"):
        assert main(["merge", *map(str, shards), "-o", str(tmp_path / name), "-q"]) == 0
    with gzip.open(tmp_path / "all.jsonl.gz", "rt") as packed:
        assert len(packed.readlines()) == 11
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 12


def test_merging_again_changes_nothing(shards: list[Path], tmp_path: Path) -> None:
    merged = tmp_path / "merged.jsonl"
    call = ["merge", *map(str, shards), "-o", str(merged), "-q"]
    assert main(call) == 0
    before = merged.read_bytes()
    assert main(call) == 0
    assert merged.read_bytes() == before
    assert main([*call, "--no-resume"]) == 2
    assert main([*call, "--overwrite"]) == 0
    assert merged.read_bytes() == before


def test_a_failure_gives_way_to_a_result_and_repeated_records_are_left_out(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", failed("a.jpg"), scored("b.jpg"), failed("c.jpg"))
    second = write(tmp_path / "b.jsonl", scored("a.jpg"), scored("b.jpg", run="s"), failed("c.jpg", "broken"))
    merge = Merge([first, second])
    assert [(record["image"], record["error"] is None) for record in merge.records()] == [
        ("b.jpg", True),
        ("c.jpg", False),
        ("a.jpg", True),
    ]
    assert merge.counts.summary(2) == (
        "3 records from 2 files: 1 failed; left out: 2 repeated, 1 failed in one run and not in another"
    )


def test_two_results_for_one_photo_are_refused_with_the_line(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", scored("a.jpg"), scored("b.jpg"))
    second = write(tmp_path / "b.jsonl", scored("c.jpg"), scored("b.jpg", 4.0))
    with pytest.raises(UsageError, match=r"b\.jsonl:2: another result for b\.jpg precedes it"):
        Merge([first, second])


def test_runs_with_other_settings_are_refused_unless_mixed(tmp_path: Path) -> None:
    parts = []
    for run, method in (("r", "direct"), ("s", "cot")):
        part = write(tmp_path / f"{run}.jsonl", scored(f"{run}.jpg", run=run))
        manifest = {"command": "score", "settings": {"method": method}}
        (tmp_path / f"{run}.jsonl.run.json").write_text(json.dumps({"runs": {run: manifest}}))
        parts.append(part)
    with pytest.raises(UsageError, match="runs r and s of score have other settings: method"):
        Merge(parts)
    assert len(list(Merge(parts, MergeSettings(mixed=True)).records())) == 2


@pytest.mark.parametrize(
    ("line", "what"),
    [("{torn", r"a\.jsonl:1"), ('{"score": 3}', r"a\.jsonl:1: the record names no image"), ("[]", r"a\.jsonl:1")],
)
def test_a_line_that_is_not_a_record_is_refused_with_its_number(tmp_path: Path, line: str, what: str) -> None:
    part = tmp_path / "a.jsonl"
    part.write_text(line + "\n")
    with pytest.raises(UsageError, match=what):
        Merge([part])


def test_a_part_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", str(tmp_path / "none.jsonl")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
