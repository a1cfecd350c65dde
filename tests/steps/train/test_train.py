"""Training gives a scorer, a killed run resumes to the same weights, and mistakes are reported in one line."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_conversations import cot, direct, load, photo, write_direct, write_lines
from process import ROOT, environment
from safetensors.numpy import load_file
from small_models import write
from small_training import SMALL, _one_thread, log_of, settings  # noqa: F401  (pytest finds the fixture by its name)

from realqa_cli import Scorer, models
from realqa_cli.cli import main
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import OutputError, UsageError
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.io.summary_records import TrainLogRecord
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.train import arguments
from realqa_cli.steps.train import train as step
from realqa_cli.steps.train.settings import TrainSettings
from realqa_cli.steps.train.train import train


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_direct(tmp_path_factory.mktemp("data"), 12)


def weights(folder: Path) -> dict[str, np.ndarray]:
    (file,) = folder.glob("*.safetensors")
    return {name: np.asarray(value) for name, value in load_file(file).items()}


def differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not np.array_equal(one[name], other[name])]


@pytest.mark.slow
class TestResult:
    """The folder of a complete run."""

    def test_an_adapter_scores_and_finds_its_base(
        self, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(base.parent)
        summary = train([data], tmp_path / "run", settings(Path("base"), max_steps=3))
        assert (summary["steps"], summary["scale"], summary["digits"]) == (3, (1.0, 5.0), 3)
        monkeypatch.chdir(tmp_path)
        record = Scorer("run").score([data.parent / "3.png"])[0]
        assert 1 <= record["score"] <= 5
        config = json.loads((tmp_path / "run" / "realqa.json").read_text())
        assert config["base_model"] == str(base)
        assert (config["min_pixels"], config["max_pixels"]) == (56 * 56, 84 * 84)
        assert config["trained_on"] == "direct.jsonl: 12 conversations (12 direct)"
        assert config["color_management"] is True
        ScorerConfig.model_validate(config)
        assert not [*(tmp_path / "run").glob("checkpoint-*")]

    def test_every_linear_layer_but_the_head_gets_an_adapter(self, base: Path, data: Path, tmp_path: Path) -> None:
        train([data], tmp_path / "all", settings(base, max_steps=1, lora_rank=2, color_management=False))
        assert json.loads((tmp_path / "all" / "realqa.json").read_text())["color_management"] is False
        names = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in weights(tmp_path / "all")}
        linear = {
            name
            for name, module in load(base).model.named_modules()
            if isinstance(module, torch.nn.Linear) and name != "lm_head"
        }
        assert names == linear
        assert any("visual.merger" in name for name in names)
        train([data], tmp_path / "seeing", settings(base, max_steps=1, lora_rank=2, freeze_vision=True))
        assert not [name for name in weights(tmp_path / "seeing") if "visual" in name]

    def test_full_tuning_learns_and_saves_a_model_that_transformers_loads(
        self, base: Path, data: Path, tmp_path: Path
    ) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

        how = settings(base, tuning="full", number_loss=True, epochs=10, learning_rate=1e-2, accumulate=1)
        train([data], tmp_path / "run", settings=how)
        records = Scorer(str(tmp_path / "run")).score([data.parent / f"{i}.png" for i in range(12)])
        assert all(record["mass"] > 0.5 for record in records)
        assert np.mean([abs(r["score"] - (1 + 3.9 * i / 11)) for i, r in enumerate(records)]) < 0.7
        log = log_of(tmp_path / "run")
        assert [line["step"] for line in log] == [*range(1, 61)]
        assert set(log[0]) == {name for name in TrainLogRecord.model_fields if not name.startswith("validation_")}
        assert np.mean([line["ncm"] for line in log[-10:]]) < np.mean([line["ncm"] for line in log[:10]])
        assert np.mean([line["cross_entropy"] for line in log[-10:]]) < log[0]["cross_entropy"] / 2
        model = AutoModelForImageTextToText.from_pretrained(tmp_path / "run")
        assert model.config.model_type == "qwen2_vl"
        assert AutoTokenizer.from_pretrained(tmp_path / "run").chat_template
        AutoImageProcessor.from_pretrained(tmp_path / "run", backend="pil")
        assert json.loads((tmp_path / "run" / "realqa.json").read_text())["base_model"] is None

    def test_gradient_checkpointing_does_not_change_the_weights(self, base: Path, data: Path, tmp_path: Path) -> None:
        for name, twice in (("once", False), ("twice", True)):
            how = settings(base, max_steps=2, learning_rate=1e-2, gradient_checkpointing=twice)
            train([data], tmp_path / name, how)
        once, twice_ = weights(tmp_path / "once"), weights(tmp_path / "twice")
        assert all(np.allclose(once[name], twice_[name], atol=1e-6) for name in once)

    def test_from_scratch_starts_from_new_weights(self, base: Path, data: Path, tmp_path: Path) -> None:
        how = settings(base, tuning="scratch", max_steps=1, learning_rate=1e-9, seed=1)
        train([data], tmp_path / "run", how)
        matrices = [name for name, value in weights(base).items() if value.ndim > 1]
        assert set(matrices) <= set(differing(weights(base), weights(tmp_path / "run")))

    def test_a_frozen_vision_tower_does_not_change(self, base: Path, data: Path, tmp_path: Path) -> None:
        train([data], tmp_path / "run", settings(base, tuning="full", max_steps=2, freeze_vision=True))
        changed = differing(weights(base), weights(tmp_path / "run"))
        assert changed
        assert not [name for name in changed if "visual" in name]

    def test_other_families_can_be_trained(self, data: Path, tmp_path: Path) -> None:
        base = write(tmp_path / "llava", "llava", merges_digits=True)
        how = settings(base, max_steps=2, number_loss=True, min_pixels=None, max_pixels=None)
        train([data], tmp_path / "run", how)
        assert "score" in Scorer(str(tmp_path / "run")).score([data.parent / "3.png"])[0]
        assert log_of(tmp_path / "run")[0]["ncm"] > 0

    def test_training_continues_from_an_adapter(self, base: Path, data: Path, tmp_path: Path) -> None:
        train([data], tmp_path / "one", settings(base, max_steps=2, lora_rank=4))
        train([data], tmp_path / "two", settings(tmp_path / "one", max_steps=2))
        found = models.find(str(tmp_path / "two"))
        assert (found.base, found.adapter) == (base, tmp_path / "two")
        assert json.loads((tmp_path / "two" / "adapter_config.json").read_text())["r"] == 4
        assert differing(weights(tmp_path / "one"), weights(tmp_path / "two"))
        with pytest.raises(UsageError, match="--lora-rank: the adapter that training continues from has rank 4"):
            train([data], tmp_path / "three", settings(tmp_path / "one", lora_rank=8))

    def test_the_form_of_the_chain_of_thought_is_recorded(self, base: Path, tmp_path: Path) -> None:
        lines = [direct(photo(tmp_path, 0), "3.98"), *[cot("0.png", "3.98")] * 3]
        train([write_lines(tmp_path / "c.jsonl", lines)], tmp_path / "run", settings(base, max_steps=1))
        config = json.loads((tmp_path / "run" / "realqa.json").read_text())
        assert config["form"] == ["composition.score", "image_clarity"]

    def test_the_metric_is_null_for_a_step_without_direct_answers(self, base: Path, tmp_path: Path) -> None:
        file = write_lines(tmp_path / "c.jsonl", [cot(photo(tmp_path, 0), "3.98")] * 2)
        train([file], tmp_path / "run", settings(base, max_steps=1))
        (line,) = log_of(tmp_path / "run")
        assert line["ncm"] is line["ncm_star"] is line["ncm_star_release"] is None
        assert {"step", "loss", "learning_rate", "samples_per_second"} <= line.keys()


class TestDefaults:
    def test_they_depend_on_tuning_and_data(self) -> None:
        scores = DataSpec(Scale(1, 5), 3, None, {"direct": 1})
        thoughts = DataSpec(Scale(1, 5), 3, None, {"cot": 1, "direct": 1})
        attributes = DataSpec(Scale(1, 5), 3, None, {"mix": 1})
        lora, full = TrainSettings(device="cpu"), TrainSettings(device="cpu", tuning="full")
        assert [s.epochs for s in (lora.settle(scores), lora.settle(thoughts))] == [2, 6]
        assert [lora.settle(x).lora_dropout for x in (scores, attributes)] == [0.15, 0.05]
        assert [s.settle(scores).learning_rate for s in (lora, full)] == [1e-4, 1e-5]
        assert [(s.weight_decay, s.adam_beta2) for s in (lora, full)] == [(0, 0.999)] * 2
        assert TrainSettings(device="cpu", tuning="scratch").settle(scores).epochs == 6
        assert lora.settle(scores).dtype == "float32"


class TestResume:
    """A killed run ends like an uninterrupted one."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "more",
        [
            {"lora_dropout": 0.3, "learning_rate": 1e-2},
            {"tuning": "full", "number_loss": True, "learning_rate": 1e-2, "group_by_length": True},
        ],
        ids=["lora", "full"],
    )
    def test_after_sigkill_it_ends_with_the_same_weights(
        self, more: dict[str, Any], base: Path, data: Path, tmp_path: Path
    ) -> None:
        how = settings(base, epochs=6.0, save_steps=5, **more)
        train([data], tmp_path / "whole", how)
        kill_after(tmp_path / "killed" / "checkpoint-10", [data], tmp_path / "killed", how)
        before = [line["step"] for line in log_of(tmp_path / "killed")]
        assert 10 <= len(before) < 18, "the run must be killed on its way"
        partial = tmp_path / "killed" / ".saving" / "checkpoint-15"  # as a kill during a save leaves it
        partial.mkdir(parents=True, exist_ok=True)
        (partial / "trainer_state.json").write_text("{")
        train([data], tmp_path / "killed", how)
        assert not partial.exists()
        assert differing(weights(tmp_path / "whole"), weights(tmp_path / "killed")) == []
        timeless = [
            [{k: v for k, v in line.items() if k != "samples_per_second"} for line in log_of(tmp_path / name)]
            for name in ("whole", "killed")
        ]
        assert timeless[0] == timeless[1]
        assert len(timeless[0]) == 18

    def test_two_runs_cannot_write_one_folder(self, base: Path, data: Path, tmp_path: Path) -> None:
        from filelock import FileLock

        train([data], tmp_path / "run", settings(base, max_steps=1))
        (tmp_path / "run" / "realqa.json").unlink()
        with (
            FileLock(tmp_path / "run" / ".lock"),
            pytest.raises(OutputError, match="another run is writing to this folder"),
        ):
            train([data], tmp_path / "run", settings(base, max_steps=1))

    def test_a_complete_run_is_not_changed(self, base: Path, data: Path, tmp_path: Path) -> None:
        how = settings(base, max_steps=1)
        train([data], tmp_path / "run", how)
        before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").iterdir()}
        assert train([data], tmp_path / "run", how)["steps"] == 0
        assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "run").iterdir()}

    def test_other_settings_or_data_are_refused(self, base: Path, data: Path, tmp_path: Path) -> None:
        train([data], tmp_path / "run", settings(base, max_steps=1))
        with pytest.raises(UsageError, match=r"run: the run began with max_steps 1, not 2"):
            train([data], tmp_path / "run", settings(base, max_steps=2))
        other = write_direct(tmp_path / "data", 3)
        with pytest.raises(UsageError, match=r"run: the run began with data "):
            train([other], tmp_path / "run", settings(base, max_steps=1))

    def test_starting_over_needs_overwrite_and_never_replaces_other_files(
        self, base: Path, data: Path, tmp_path: Path
    ) -> None:
        how = settings(base, max_steps=1)
        train([data], tmp_path / "run", how)
        with pytest.raises(OutputError, match="the folder contains a training run; add --overwrite"):
            train([data], tmp_path / "run", how, resume=False)
        train([data], tmp_path / "run", how, overwrite=True)
        assert len(log_of(tmp_path / "run")) == 1
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years of work")
        with pytest.raises(OutputError, match="the folder is not empty and not a training run"):
            train([data], tmp_path / "mine", how, overwrite=True)
        assert (tmp_path / "mine" / "thesis.txt").exists()


def kill_after(sign: Path, files: list[Path], output: Path, how: TrainSettings) -> None:
    """Train in a new process, and kill it when the path `sign` exists."""
    code = (
        "import sys, torch; torch.set_num_threads(1); sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; from realqa_cli.steps.train.train import train;"
        "from realqa_cli.steps.train.settings import TrainSettings; import time;"
        "from realqa_cli.steps.train.progress import TrainProgress;"
        "train([Path(p) for p in eval(sys.argv[2])], Path(sys.argv[3]), TrainSettings(**eval(sys.argv[4])),"
        " progress=TrainProgress(on_step=lambda record, steps: time.sleep(0.05)))"
    )
    root = str(ROOT)
    given = [root, repr([str(f) for f in files]), str(output), repr(vars(how))]
    process = subprocess.Popen([sys.executable, "-c", code, *given], env=environment())
    deadline = time.monotonic() + 120
    while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


class TestMistakes:
    def test_a_photo_that_breaks_during_training_is_named_across_processes(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = write_direct(tmp_path / "data", 4)
        (tmp_path / "data" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
        monkeypatch.setattr(arguments, "loader_processes", lambda settings: 1)
        monkeypatch.setattr(step, "check_photos", lambda conversations, progress: {})  # it breaks after the check
        with pytest.raises(UsageError) as raised:
            train([file], tmp_path / "run", settings(base))
        assert str(raised.value).startswith(f"{file}:3: {tmp_path / 'data' / '2.png'}: ")
        assert "Traceback" not in str(raised.value)

    def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
        self, base: Path, data: Path, tmp_path: Path
    ) -> None:
        how = settings(base, tuning="full", max_steps=9, save_steps=1, learning_rate=1e30, warmup=0.0)
        with pytest.raises(UsageError, match=r"run: the loss became nan at step \d; the last checkpoint is kept"):
            train([data], tmp_path / "run", how)
        steps = [line["step"] for line in log_of(tmp_path / "run")]
        assert (tmp_path / "run" / f"checkpoint-{steps[-1]}" / "trainer_state.json").is_file()
        assert all(math.isfinite(line["loss"]) for line in log_of(tmp_path / "run"))

    def test_a_model_of_another_objective_is_refused(self, base: Path, data: Path, tmp_path: Path) -> None:
        import shutil

        other = shutil.copytree(base, tmp_path / "regressor")
        (other / "realqa.json").write_text(json.dumps({"format": 1, "objective": "regression"}))
        with pytest.raises(UsageError, match="the model was trained with the objective 'regression'"):
            train([data], tmp_path / "run", settings(other))

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (
                {"objective": "ranking"},
                "--objective: unknown objective 'ranking'; choose one of: ntp, regression, levels",
            ),
            (
                {"objective": "levels", "number_loss": True},
                "--number-loss: applies to --objective ntp only",
            ),
            ({"tuning": "half"}, "--tuning: unknown tuning 'half'; choose one of: lora, full, scratch"),
            ({"batch_size": 0}, "--batch-size: must be above 0, not 0"),
            ({"learning_rate": float("nan")}, "--learning-rate: must be above 0, not nan"),
            ({"tuning": "full", "lora_rank": 8}, "--lora-rank: applies to adapters only"),
            ({"device": "mps"}, "--device: this machine has no mps device"),
            ({"min_pixels": 10_000, "max_pixels": 5_000}, "--min-pixels: the lower pixel bound"),
        ],
    )
    def test_wrong_settings_are_one_line(
        self, more: dict[str, Any], said: str, base: Path, data: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=said):
            train([data], tmp_path / "run", settings(base, **more))


class TestCommand:
    @pytest.mark.slow
    def test_two_processes_give_the_weights_of_one(self, base: Path, data: Path, tmp_path: Path) -> None:
        steps = ["--max-steps", "3", "--lora-dropout", "0", "--learning-rate", "1e-2", "--number-loss"]
        shared = [
            *steps,
            "--min-pixels",
            "3136",
            "--max-pixels",
            "7056",
            "--device",
            "cpu",
            "--model",
            str(base),
        ]
        mine = ["realqa_cli", "train", str(data), "--batch-size", "2", *shared]
        assert main([*mine[1:], "--accumulate", "2", "--output", str(tmp_path / "one")]) == 0
        torchrun = ["torch.distributed.run", "--nproc-per-node", "2"]
        self.launch([*torchrun, "-m", *mine, "--accumulate", "1", "--output", str(tmp_path / "two")])
        one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
        assert max(float(np.abs(one[name] - two[name]).max()) for name in one) < 1e-4
        for alone, together in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
            assert alone["ncm"] == pytest.approx(together["ncm"], rel=1e-3)
            assert alone["loss"] == pytest.approx(together["loss"], rel=1e-3)

    def launch(self, arguments: list[str]) -> None:
        env = environment(OMP_NUM_THREADS="1")
        ran = subprocess.run([sys.executable, "-m", *arguments], env=env, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr.count("realqa: 3 steps on 12 conversations") == 1, "only the main process writes to stderr"
        assert not ran.stdout

    def test_options_reach_the_step_and_the_summary_says_how_to_use_the_result(
        self, base: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given = ["--model", str(base), "--output", str(tmp_path / "run"), "--tuning", "full", "--seed", "3"]
        given += ["--max-pixels", "7056", "--min-pixels", "3136", "--max-steps", "2", "--device", "cpu"]
        given += ["--batch-size", "3", "--accumulate", "1", "--weight-decay", "0.2", "--scale", "1-5"]
        assert main(["train", str(data), *given]) == 0
        settings = json.loads((tmp_path / "run" / "train.run.json").read_text())["settings"]
        assert (settings["tuning"], settings["batch_size"], settings["seed"], settings["weight_decay"]) == (
            "full",
            3,
            3,
            0.2,
        )
        out, err = capsys.readouterr()
        assert not out
        last = f"realqa: 2 steps on 12 conversations; use it by: realqa score photos/ --model {tmp_path / 'run'}"
        assert err.splitlines()[-1] == last
        assert main(["train", str(data), *given, "--resume"]) == 0
        assert "this run is complete, nothing to do" in capsys.readouterr().err

    def test_a_mistake_is_one_line_and_exit_code_2(
        self, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = write_lines(tmp_path / "c.jsonl", [direct("gone.png", "3.98")])
        assert main(["train", str(file), "--model", str(base), "--output", str(tmp_path / "run")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"realqa: {file}:1: image not found: {tmp_path / 'gone.png'}")
        assert not (tmp_path / "run").exists()
