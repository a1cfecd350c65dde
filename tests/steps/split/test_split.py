"""`realqa split`: groups stay together, the choice is reproducible, nothing is lost or replaced."""

import json
from pathlib import Path

import pytest
from made_conversations import cot, direct, write_lines

from realqa_cli.cli import main
from realqa_cli.errors import UsageError
from realqa_cli.steps.split.split import SplitSettings, split_lines


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = [[direct(f"{i}.png", "3.98", scene=f"s{i % 5}"), cot(f"{i}.png", "3.98")] for i in range(40)]
    return write_lines(tmp_path / "c.jsonl", [line for pair in lines for line in pair])


def photos(lines: list[dict[str, object]]) -> set[str]:
    return {Path(line["images"][0]).name for line in lines}  # type: ignore[index]


def test_conversations_of_a_photo_stay_together_and_none_is_lost(file: Path) -> None:
    halves = split_lines([file], SplitSettings(share=0.25))
    assert len(halves.train) + len(halves.held_out) == 80
    assert not photos(halves.train) & photos(halves.held_out)
    assert (halves.train_groups, halves.held_out_groups) == (30, 10)
    assert all(Path(line["images"][0]).parent == file.parent for line in halves.train)


def test_the_choice_depends_on_groups_and_seed_only(file: Path) -> None:
    first = split_lines([file], SplitSettings(share=0.25))
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(reversed(lines)))
    again = split_lines([file], SplitSettings(share=0.25))
    assert photos(again.held_out) == photos(first.held_out)
    assert photos(split_lines([file], SplitSettings(share=0.25, seed=1)).held_out) != photos(first.held_out)


def test_a_field_names_the_groups(file: Path) -> None:
    lines = [line for line in map(json.loads, file.read_text().splitlines()) if "scene" in line]
    halves = split_lines([write_lines(file, lines)], SplitSettings(share=0.4, by="scene"))
    assert (halves.train_groups, halves.held_out_groups) == (3, 2)
    assert not {line["scene"] for line in halves.train} & {line["scene"] for line in halves.held_out}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SplitSettings(share=1.5), "--share: must be between 0 and 1, not 1.5"),
        (SplitSettings(by="scene"), r"c\.jsonl:2: the line has no scene"),
        (SplitSettings(by="mos_range"), "need at least 2 groups to split, found 1"),
    ],
)
def test_mistakes_are_one_line(settings: SplitSettings, message: str, file: Path) -> None:
    with pytest.raises(UsageError, match=message):
        split_lines([file], settings)


def test_the_command_writes_both_files_and_replaces_nothing_unasked(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit, dev = tmp_path / "fit.jsonl", tmp_path / "dev.jsonl"
    given = ["split", str(file), "-o", str(fit), "--held-out", str(dev)]
    assert main(given) == 0
    assert "72 lines in 36 groups to" in capsys.readouterr().err
    assert main(given) == 0, "the same lines are already there"
    assert main([*given, "--no-resume"]) == 2
    assert main([*given, "--seed", "5"]) == 2
    assert "the file is not empty; replace it by --overwrite" in capsys.readouterr().err
    assert main([*given, "--seed", "5", "--overwrite"]) == 0
    assert len(dev.read_text().splitlines()) == 8
    assert main(["split", str(file), "-o", str(file), "--held-out", str(dev)]) == 2
