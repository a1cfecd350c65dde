"""Before the first step: special tokens are refused, photos are decoded, and no run ends early unnoticed."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_conversations import cot, direct, photo, write_direct, write_lines
from small_models import write
from small_training import _one_thread, log_of, settings  # noqa: F401  (pytest finds the fixture by its name)

from realqa_cli.cli import main
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.inference.teacher_forcing.conversations import read_conversations
from realqa_cli.steps.train import preparation
from realqa_cli.steps.train.progress import TrainProgress
from realqa_cli.steps.train.train import train
from realqa_cli.steps.train.trainer import ScoreTrainer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "base")


def with_text(folder: Path, place: int, text: str) -> Path:
    """Four conversations, the third of which has `text` in a turn."""
    lines = [direct(photo(folder, i), "3.98") for i in range(4)]
    lines[2]["messages"][place]["content"] += text
    return write_lines(folder / "c.jsonl", lines)


class TestSpecialTokens:
    @pytest.mark.parametrize("objective", ["ntp", "regression"])
    @pytest.mark.parametrize("token", ["<|image_pad|>", "<|im_end|>", "<|video_pad|>", "<|endoftext|>"])
    def test_in_a_question_they_are_refused_with_file_and_line(
        self, token: str, objective: str, base: Path, tmp_path: Path
    ) -> None:
        file = with_text(tmp_path, 0, f" {token}")
        with pytest.raises(UsageError) as raised:
            train([file], tmp_path / "run", settings(base, objective=objective, max_steps=1))
        assert str(raised.value).startswith(f"{file}:3: a text of the user contains {token!r}, a special token")

    def test_in_an_answer_too_and_in_ncm(self, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = with_text(tmp_path, 1, "<|image_pad|>")
        for verb in (["train", "-o", str(tmp_path / "run"), "--device", "cpu"], ["ncm"]):
            assert main([verb[0], str(file), *verb[1:], "--model", str(base)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert f"{file}:3: a text of the assistant contains '<|image_pad|>'" in line

    def test_other_angle_brackets_are_text(self, base: Path, tmp_path: Path) -> None:
        file = with_text(tmp_path, 0, " <b>bold</b> a < b <|not a token|> <image_pad>")
        assert train([file], tmp_path / "run", settings(base, max_steps=1))["steps"] == 1


class TestPhotos:
    def broken(self, folder: Path) -> Path:
        """Six conversations about five photos, two of which cannot be decoded."""
        file = write_direct(folder, 5)
        (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:200])
        (folder / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return write_lines(file, [*lines, cot("3.png", "3.98")])

    @pytest.mark.parametrize("more", [{}, {"max_steps": 1}])
    def test_bad_ones_are_left_out_counted_and_listed(self, more: dict[str, Any], base: Path, tmp_path: Path) -> None:
        file = self.broken(tmp_path / "data")
        stages: list[tuple[str, int | None]] = []
        progress = TrainProgress(stage=lambda name, total: stages.append((name, total)))
        summary = train([file], tmp_path / "run", settings(base, **more), progress=progress)
        assert [Path(name).name for name in summary["left_out"]] == ["1.png", "3.png"]
        assert (summary["conversations"], summary["formats"]) == (3, {"direct": 3})
        prepared = [("checking photos", 5), ("preparing the model", None), ("preparing conversations", 3)]
        assert stages == [*prepared, ("training", summary["steps"])]
        config = json.loads((tmp_path / "run" / "realqa.json").read_text())
        assert config["trained_on"] == "direct.jsonl: 3 conversations (3 direct)"
        assert [*json.loads((tmp_path / "run" / "left-out.json").read_text())] == [*summary["left_out"]]

    def test_the_command_lists_them_and_exits_with_1(
        self, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = self.broken(tmp_path / "data")
        given = ["train", str(file), "--model", str(base), "--device", "cpu", "--max-steps", "1"]
        given += ["--min-pixels", "3136", "--max-pixels", "7056"]
        assert main([*given, "-o", str(tmp_path / "run")]) == 1
        err = capsys.readouterr().err
        assert [line for line in err.splitlines() if "left out: " in line and "1.png" in line]
        assert "2 photos cannot be decoded and were left out" in err
        assert main([*given, "-o", str(tmp_path / "strict"), "--strict"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "2 photos of the conversations cannot be decoded, the first of them" in line
        assert "1.png" in line

    @pytest.mark.slow
    def test_a_resumed_run_leaves_out_the_same(self, base: Path, tmp_path: Path) -> None:
        file = self.broken(tmp_path / "data")
        how = settings(base, max_steps=4, save_steps=2, accumulate=1)

        def stop(record: Any, steps: int) -> None:
            if record["step"] == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train([file], tmp_path / "run", how, progress=TrainProgress(on_step=stop))
        write_direct(tmp_path / "data2", 5)
        (tmp_path / "data" / "1.png").write_bytes((tmp_path / "data2" / "1.png").read_bytes())
        summary = train([file], tmp_path / "run", how)
        assert (len(summary["left_out"]), summary["conversations"], summary["steps"]) == (2, 3, 4)

    def test_without_any_good_one_there_is_nothing_to_train_on(self, base: Path, tmp_path: Path) -> None:
        file = write_direct(tmp_path / "data", 2)
        for index in (0, 1):
            (tmp_path / "data" / f"{index}.png").write_bytes(b"no photo")
        with pytest.raises(UsageError, match="2 photos of the conversations cannot be decoded"):
            train([file], tmp_path / "run", settings(base, max_steps=1))


class TestEarlyEnd:
    def test_a_stop_iteration_in_the_collator_is_an_error(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = write_direct(tmp_path / "data", 8)
        collate = Collator.__call__

        def stopping(self: Collator, conversations: Any) -> dict[str, Any]:
            if any(one.where.endswith(":3") for one in conversations):
                next(iter(()))
            return collate(self, conversations)

        monkeypatch.setattr(Collator, "__call__", stopping)
        with pytest.raises(RuntimeError, match=r"the collator ended early at .*direct\.jsonl:3"):
            train([file], tmp_path / "run", settings(base, epochs=1.0))

    def test_fewer_steps_than_planned_are_an_error(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = write_direct(tmp_path / "data", 8)
        samples = ScoreTrainer.get_batch_samples

        def fewer(self: ScoreTrainer, *given: Any) -> Any:
            self.control.should_training_stop = self.state.global_step >= 1
            return samples(self, *given)

        monkeypatch.setattr(ScoreTrainer, "get_batch_samples", fewer)
        with pytest.raises(UsageError, match=r"run: training ended after \d of 4 steps"):
            train([file], tmp_path / "run", settings(base, epochs=2.0))
        assert not (tmp_path / "run" / "realqa.json").exists()

    @pytest.mark.slow
    def test_all_conversations_are_used_in_every_epoch(self, base: Path, tmp_path: Path) -> None:
        file = write_direct(tmp_path / "data", 7)
        summary = train([file], tmp_path / "run", settings(base, epochs=3.0, accumulate=1))
        assert summary["steps"] == 12
        assert log_of(tmp_path / "run")[-1]["epoch"] == 3


@pytest.mark.slow
def test_many_conversations_are_tokenised_in_several_processes_to_the_same_lengths(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from made_conversations import load

    lines = [direct(photo(tmp_path, 0), "3.98"), cot("0.png", "3.98")] * 100
    conversations = read_conversations([write_lines(tmp_path / "c.jsonl", lines)])

    class Lengths:
        def __init__(self) -> None:
            self.collator = Collator(load(base).processor, digits=3, max_length=2048, takes_mask=True)

        def check(self, part: Any) -> list[int]:
            return self.collator.check(part)

    objective: Any = Lengths()
    alone = preparation.row_lengths(objective, conversations, TrainProgress())
    monkeypatch.setattr(preparation, "_PARALLEL_FROM", 1)
    count = [0]
    progress = TrainProgress(advance=lambda: count.__setitem__(0, count[0] + 1))
    assert preparation.row_lengths(objective, conversations, progress) == alone
    assert len(set(alone)) == 2
    assert count == [200]
