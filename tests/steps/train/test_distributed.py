"""Training in several processes: the same loss curve and weights as one process, sharded or not, resumed or not."""

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_conversations import write_direct, write_lines
from process import ROOT, environment
from safetensors.numpy import load_file
from small_models import write
from small_training import log_of

from realqa_cli.cli import main
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.data_spec import DataSpec
from realqa_cli.steps.train.arguments import check_sharding, read_accelerate_config
from realqa_cli.steps.train.settings import TrainSettings

CONFIGS = ROOT / "examples" / "paper" / "accelerate"
SPEC = DataSpec(Scale(1, 5), 3, None, {"direct": 1})
ACCELERATE = ["accelerate.commands.launch", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
TORCHRUN = ["torch.distributed.run", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_direct(tmp_path_factory.mktemp("data"), 13)  # not a multiple of anything


def arguments(base: Path, data: Path, output: Path, *more: str) -> list[str]:
    given = ["-m", "realqa_cli", "train", str(data), "--model", str(base), "--output", str(output), "--device", "cpu"]
    given += ["--batch-size", "2", "--effective-batch-size", "4", "--min-pixels", "3136", "--max-pixels", "7056"]
    return [*given, "--tuning", "full", "--learning-rate", "1e-3", "--epochs", "2", *more]


def run(launcher: list[str], given: list[str]) -> str:
    ran = subprocess.run(
        [sys.executable, *(["-m", *launcher] if launcher else []), *given],
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert not ran.stdout
    return ran.stderr


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in load_file(folder / "model.safetensors").items()}


def curve(folder: Path) -> list[float]:
    return [line["loss"] for line in log_of(folder)]


def assert_same_validation(folder: Path, expected: Path) -> None:
    """The figures of the validation photos, whose scores agree to about 1e-3."""
    found, wanted = ([line for line in log_of(one) if "validation_n" in line] for one in (folder, expected))
    assert [line["step"] for line in found] == [line["step"] for line in wanted] == [4, 8]
    for line, other in zip(found, wanted, strict=True):
        assert line["validation_n"] == other["validation_n"] == 5
        for name in ("plcc", "ncm", "ncm_star"):
            assert line[f"validation_{name}"] == pytest.approx(other[f"validation_{name}"], rel=1e-2, abs=1e-3)


@pytest.fixture(scope="module")
def validation(data: Path) -> list[str]:
    """The options for validation on five photos, which two processes cannot share evenly."""
    records = [{"image": f"{i}.png", "mos": 1 + 3.9 * i / 12, "mos_range": [1, 5]} for i in range(0, 13, 3)]
    return ["--validation", str(write_lines(data.parent / "dev.jsonl", records)), "--eval-steps", "4", "--keep", "last"]


@pytest.fixture(scope="module")
def one(base: Path, data: Path, validation: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in one process."""
    output = tmp_path_factory.mktemp("runs") / "one"
    run([], arguments(base, data, output, *validation))
    assert len(curve(output)) == 8
    return output


@pytest.mark.slow
def test_accelerate_launch_gives_the_loss_curve_of_one_process(
    base: Path, data: Path, validation: list[str], one: Path, tmp_path: Path
) -> None:
    launcher = [*ACCELERATE, "--multi_gpu", "--num_processes", "2"]
    err = run(launcher, arguments(base, data, tmp_path / "two", *validation))
    assert_same_validation(tmp_path / "two", one)
    assert curve(tmp_path / "two") == pytest.approx(curve(one), rel=1e-5)
    for line, expected in zip(log_of(tmp_path / "two"), log_of(one), strict=True):
        assert line["ncm"] == pytest.approx(expected["ncm"], rel=1e-4)
    trained, expected_weights = weights(tmp_path / "two"), weights(one)
    assert max(float(np.abs(trained[name] - expected_weights[name]).max()) for name in trained) < 1e-4
    manifest = json.loads((tmp_path / "two" / "train.run.json").read_text())
    assert (manifest["effective"]["processes"], manifest["effective"]["accumulate"]) == (2, 1)
    assert err.count("realqa: 8 steps on 13 conversations") == 1, "only the main process writes to stderr"


@pytest.mark.slow
def test_torchrun_shards_by_fsdp_and_gives_the_loss_curve_of_one_process(
    base: Path, data: Path, validation: list[str], one: Path, tmp_path: Path
) -> None:
    config = json.loads((CONFIGS / "fsdp2.json").read_text()) | {"activation_checkpointing": False}
    (tmp_path / "fsdp2.json").write_text(json.dumps(config))
    more = ("--fsdp", str(tmp_path / "fsdp2.json"), *validation)
    err = run(TORCHRUN, arguments(base, data, tmp_path / "two", *more))
    assert_same_validation(tmp_path / "two", one)
    assert curve(tmp_path / "two") == pytest.approx(curve(one), rel=1e-4)
    trained, expected = weights(tmp_path / "two"), weights(one)
    assert trained.keys() == expected.keys()
    assert max(float(np.abs(trained[name] - expected[name]).max()) for name in trained) < 1e-3
    assert "find_unused_parameters" not in err


@pytest.mark.slow
def test_a_killed_run_of_two_processes_resumes_to_the_same_weights(base: Path, data: Path, tmp_path: Path) -> None:
    more = ("--epochs", "6", "--save-steps", "4")
    run(TORCHRUN, arguments(base, data, tmp_path / "whole", *more))
    given = arguments(base, data, tmp_path / "killed", *more)
    process = subprocess.Popen(
        [sys.executable, "-m", *TORCHRUN, *given],
        env=environment(OMP_NUM_THREADS="1"),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not [*(tmp_path / "killed").glob("checkpoint-*")] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    kill_group(process)
    assert not (tmp_path / "killed" / "realqa.json").exists(), "the run must be killed on its way"
    run(TORCHRUN, given)
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert not [name for name in whole if not np.array_equal(whole[name], killed[name])]
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    import os

    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_launcher_that_starts_one_process_only_is_noticed(base: Path, data: Path, tmp_path: Path) -> None:
    given = arguments(base, data, tmp_path / "run", "--max-steps", "1")
    err = run([*ACCELERATE, "--cpu", "--num_processes", "2"], given)
    assert "accelerate launch --cpu starts a single process on this machine" in err


class TestEffectiveBatchSize:
    @pytest.mark.parametrize(
        ("given", "processes", "expected"),
        [
            ({}, 1, (2, 8, 16)),
            ({}, 4, (2, 2, 16)),
            ({}, 8, (2, 1, 16)),
            ({}, 16, (1, 1, 16)),
            ({"batch_size": 4}, 2, (4, 2, 16)),
            ({"effective_batch_size": 64}, 8, (2, 4, 64)),
            ({"batch_size": 2, "accumulate": 3}, 2, (2, 3, 12)),
        ],
    )
    def test_it_holds_over_any_number_of_processes(
        self, given: dict[str, Any], processes: int, expected: tuple[int, int, int]
    ) -> None:
        settled = TrainSettings(device="cpu", **given).settle(SPEC, processes)
        assert (settled.batch_size, settled.accumulate, settled.effective_batch_size) == expected

    def test_what_cannot_hold_is_refused_or_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(UsageError, match=r"--effective-batch-size: 10 is not a multiple of 6 .*; use 6"):
            TrainSettings(device="cpu", effective_batch_size=10).settle(SPEC, 3)
        with pytest.raises(UsageError, match="mutually exclusive"):
            TrainSettings(device="cpu", effective_batch_size=8, accumulate=2).check()
        caplog.set_level("WARNING", "realqa")
        assert TrainSettings(device="cpu").settle(SPEC, 32).effective_batch_size == 32
        assert "32 conversations per step instead of 16, for 32 processes" in caplog.text


class TestConfigurations:
    def test_every_file_is_shipped_with_a_line_in_the_readme(self) -> None:
        page = (CONFIGS / "README.md").read_text()
        for file in CONFIGS.iterdir():
            assert file.name == "README.md" or f"`{file.name}`" in page

    @pytest.mark.parametrize("name", ["ddp.yaml", "fsdp2.yaml"])
    def test_accelerate_parses_its_own(self, name: str) -> None:
        from accelerate.commands.config.config_args import load_config_from_file

        config = load_config_from_file(str(CONFIGS / name))
        assert config.num_processes == 8
        assert (config.fsdp_config or {"fsdp_version": 2})["fsdp_version"] == 2

    @pytest.mark.parametrize("stage", [2, 3])
    def test_accelerate_parses_those_of_deepspeed(self, stage: int) -> None:
        from accelerate.utils.deepspeed import HfDeepSpeedConfig

        config = read_accelerate_config(CONFIGS / f"zero{stage}.json", "--deepspeed")
        assert config["zero_optimization"]["stage"] == stage
        auto = {name for name, value in config.items() if value == "auto"}
        assert auto == {
            "gradient_accumulation_steps", "gradient_clipping", "train_batch_size", "train_micro_batch_size_per_gpu",
        }  # fmt: skip
        if stage == 3:
            assert config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"], "or nothing can be loaded"
        assert HfDeepSpeedConfig(config).is_zero3() == (stage == 3)

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("gone.json", None, r"--fsdp: cannot read .*gone\.json: .*; check the file"),
            ("bad.json", "{", r"--fsdp: cannot read .*bad\.json"),
            ("bad.yaml", "a: [", r"--fsdp: cannot read .*bad\.yaml"),
            ("list.json", "[1]", r"--fsdp: .*list\.json is not a configuration"),
        ],
    )
    def test_a_file_that_is_not_one_is_refused(self, name: str, text: str | None, message: str, tmp_path: Path) -> None:
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=message):
            read_accelerate_config(tmp_path / name, "--fsdp")

    @pytest.mark.parametrize("text", ["{}", '{"zero_optimization": 2}', '{"zero_optimization": {"stage": 4}}'])
    def test_what_is_not_a_configuration_of_deepspeed_is_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "zero.json").write_text(text)
        with pytest.raises(UsageError, match=r"--deepspeed: .*zero\.json has no zero_optimization of stage 1, 2 or 3"):
            check_sharding(TrainSettings(device="cpu", deepspeed=str(tmp_path / "zero.json")))

    @pytest.mark.parametrize("stage", [2, 3])
    def test_the_shipped_ones_of_deepspeed_are_accepted(self, stage: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("realqa_cli.steps.train.arguments.find_spec", lambda name: name)
        check_sharding(TrainSettings(device="cpu", deepspeed=str(CONFIGS / f"zero{stage}.json")))

    @pytest.mark.parametrize(
        ("more", "env", "message"),
        [
            (["--deepspeed", "ZERO"], {}, "--deepspeed: needs the package deepspeed; pip install deepspeed"),
            (["--deepspeed", "no.json"], {}, "--deepspeed: cannot read no.json"),
            (
                ["--deepspeed", "ZERO", "--validation", "dev.jsonl"],
                {},
                "--validation: is not supported with DeepSpeed; use --fsdp",
            ),
            ([], {"ACCELERATE_USE_DEEPSPEED": "true"}, "accelerate launch: needs the package deepspeed"),
            (
                ["--validation", "dev.jsonl"],
                {"ACCELERATE_USE_DEEPSPEED": "true"},
                "--validation: is not supported with DeepSpeed; use FSDP2",
            ),
        ],
    )
    def test_deepspeed_that_cannot_be_used_is_one_line_before_anything_is_read(
        self, more: list[str], env: dict[str, str], message: str, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        if "needs the package" in message and find_spec("deepspeed") is not None:
            pytest.skip("deepspeed is installed")
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        given = [str(CONFIGS / "zero3.json") if word == "ZERO" else word for word in more]
        code = main(["train", str(tmp_path / "conversations.jsonl"), "-o", str(tmp_path / "run"), *given])
        output = capfd.readouterr()
        assert (code, output.out) == (2, "")
        assert len(output.err.splitlines()) == 1
        assert output.err.startswith(f"realqa: {message}")
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("more", [{"fsdp": "a", "deepspeed": "b"}, {"deepspeed": "a", "validation": "c"}])
    def test_contradictions_are_refused(self, more: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=r"mutually exclusive|not supported with DeepSpeed"):
            TrainSettings(device="cpu", **more).check()
