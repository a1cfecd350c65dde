"""Validation during training: figures in the log, the best weights kept, one line for unusable data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_conversations import load, write_direct, write_lines
from safetensors.numpy import load_file
from small_models import write
from small_training import _one_thread, log_of, settings  # noqa: F401  (pytest finds the fixture by its name)

from realqa_cli import Scorer
from realqa_cli.domain import metrics
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing.conversations import read_conversations
from realqa_cli.io.summary_records import TrainLogRecord
from realqa_cli.steps.ncm.ncm import NcmSettings, measure_ncm
from realqa_cli.steps.train.progress import TrainProgress
from realqa_cli.steps.train.train import train

pytestmark = pytest.mark.slow

FIGURES = {"srcc", "plcc", "ncm", "ncm_star", "ncm_star_release", "n"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_direct(tmp_path_factory.mktemp("data"), 12)


@pytest.fixture(scope="module")
def records(data: Path) -> Path:
    lines = [{"image": f"{i}.png", "mos": 1 + 3.9 * i / 11, "mos_range": [1, 5]} for i in range(0, 12, 2)]
    return write_lines(data.parent / "dev.jsonl", lines)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in load_file(next(folder.glob("*.safetensors"))).items()}


def validated(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """(step, figures) of the lines of the log with validation."""
    return [
        (line["step"], {name: line[f"validation_{name}"] for name in FIGURES})
        for line in log_of(folder)
        if "validation_srcc" in line
    ]


def how(base: Path, file: Path, **more: Any) -> Any:
    given = {"tuning": "full", "max_steps": 10, "learning_rate": 5e-3, "validation": str(file), "eval_steps": 4}
    return settings(base, **{**given, **more})


def test_the_figures_are_those_of_score_and_ncm(base: Path, data: Path, records: Path, tmp_path: Path) -> None:
    train([data], tmp_path / "run", how(base, records, keep="last"))
    figures = validated(tmp_path / "run")
    assert [step for step, _ in figures] == [4, 8, 10], "every four steps and at the end"
    last = figures[-1][1]
    labels = [json.loads(line) for line in records.read_text().splitlines()]
    scores = [r["score"] for r in Scorer(str(tmp_path / "run")).score([data.parent / one["image"] for one in labels])]
    truth = [one["mos"] for one in labels]
    assert last["srcc"] == pytest.approx(metrics.srcc(scores, truth), abs=1e-6)
    assert last["plcc"] == pytest.approx(metrics.plcc(scores, truth), abs=1e-4)
    assert last["n"] == 6
    assert set(log_of(tmp_path / "run")[-1]) == set(TrainLogRecord.model_fields)
    part = write_lines(data.parent / "part.jsonl", [json.loads(x) for x in data.read_text().splitlines()[::2]])
    measured = measure_ncm(read_conversations([part]), NcmSettings(model=str(tmp_path / "run")))
    assert last["ncm"] == pytest.approx(measured["ncm"], rel=1e-3)


def test_the_best_weights_become_the_result(base: Path, data: Path, records: Path, tmp_path: Path) -> None:
    # A learning rate that destroys the model after a while: its best step is not its last one.
    train([data], tmp_path / "best", how(base, records, learning_rate=0.05, warmup=0.0, max_steps=12, eval_steps=1))
    train(
        [data],
        tmp_path / "last",
        how(base, records, learning_rate=0.05, warmup=0.0, max_steps=12, eval_steps=1, keep="last"),
    )
    figures = validated(tmp_path / "best")
    best = max(-2 if one["srcc"] is None else one["srcc"] for _, one in figures)
    kept = json.loads((tmp_path / "best" / "best.json").read_text())
    assert kept["srcc"] == best
    assert kept["step"] == next(step for step, one in figures if one["srcc"] == best)
    labels = [json.loads(line) for line in records.read_text().splitlines()]
    scored = Scorer(str(tmp_path / "best")).score([data.parent / one["image"] for one in labels])
    assert metrics.srcc([r["score"] for r in scored], [one["mos"] for one in labels]) == pytest.approx(best)
    one, other = weights(tmp_path / "best"), weights(tmp_path / "last")
    same = all(np.array_equal(one[name], other[name]) for name in one)
    assert same == (kept["step"] == 12)
    assert not (tmp_path / "best" / "best").exists()


@pytest.mark.parametrize("objective", ["levels", "regression"])
def test_the_baselines_are_validated_too(objective: str, base: Path, data: Path, records: Path, tmp_path: Path) -> None:
    train([data], tmp_path / "run", how(base, records, objective=objective, keep="last", max_steps=4))
    (_, figures), *_ = validated(tmp_path / "run")
    labels = [json.loads(line) for line in records.read_text().splitlines()]
    scores = [r["score"] for r in Scorer(str(tmp_path / "run")).score([data.parent / one["image"] for one in labels])]
    assert figures["plcc"] == pytest.approx(metrics.plcc(scores, [one["mos"] for one in labels]), abs=1e-3)
    assert figures["ncm"] is None


def test_validation_does_not_change_the_training(base: Path, data: Path, records: Path, tmp_path: Path) -> None:
    more = {"tuning": "lora", "lora_dropout": 0.3, "keep": "last"}
    train([data], tmp_path / "with", how(base, records, **more))
    train([data], tmp_path / "without", how(base, records, **more | {"validation": None, "eval_steps": None}))
    one, other = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert not [name for name in one if not np.array_equal(one[name], other[name])]


@pytest.mark.slow
def test_a_resumed_run_keeps_the_best_of_all_steps(base: Path, data: Path, records: Path, tmp_path: Path) -> None:
    given = how(base, records, save_steps=5, eval_steps=2)
    train([data], tmp_path / "whole", given)

    def stop(record: Any, steps: int) -> None:
        if record["step"] == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([data], tmp_path / "stopped", given, progress=TrainProgress(on_step=stop))
    train([data], tmp_path / "stopped", given)
    assert validated(tmp_path / "stopped") == validated(tmp_path / "whole")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert not [name for name in one if not np.array_equal(one[name], other[name])]


def test_so_many_checkpoints_are_kept(base: Path, data: Path, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look(record: Any, steps: int) -> None:
        seen.append(sorted(entry.name for entry in (tmp_path / "run").glob("checkpoint-*")))

    given = settings(base, max_steps=8, save_steps=2, save_total_limit=2)
    train([data], tmp_path / "run", given, progress=TrainProgress(on_step=look))
    assert seen[-1] == ["checkpoint-4", "checkpoint-6"]


def test_tensorboard_gets_the_figures(base: Path, data: Path, records: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train([data], tmp_path / "run", how(base, records, report_to="tensorboard", keep="last"))
    (file,) = (tmp_path / "run").rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file.parent)).Reload()
    tags = events.Tags()["scalars"]
    assert {"train/loss", "train/ncm", "train/validation_srcc"} <= set(tags)
    assert [event.step for event in events.Scalars("train/validation_srcc")] == [4, 8, 10]


class TestMistakes:
    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ({"image": "0.png"}, r"dev\.jsonl:2: the record has no mos"),
            ({"mos": 3}, r"dev\.jsonl:2: the record has no image"),
            ({"image": "gone.png", "mos": 3}, r"dev\.jsonl:2: image not found"),
            ({"image": "0.png", "mos": 30}, r"dev\.jsonl:2: the MOS 30 is outside its range 1-5"),
        ],
    )
    def test_a_bad_line_is_named(self, line: dict[str, Any], message: str, base: Path, tmp_path: Path) -> None:
        own = write_direct(tmp_path / "data", 2)
        file = write_lines(own.with_name("dev.jsonl"), [{"image": "0.png", "mos": 3}, line])
        with pytest.raises(UsageError, match=message):
            train([own], tmp_path / "run", how(base, file))

    @pytest.mark.parametrize("more", [{"eval_steps": 5}, {"keep": "best"}])
    def test_options_of_validation_need_a_file(self, more: dict[str, Any], base: Path) -> None:
        with pytest.raises(UsageError, match="needs validation data; add --validation FILE"):
            settings(base, **more).check()

    def test_a_reporter_that_is_not_installed_is_one_line(
        self, base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from realqa_cli.steps.train import arguments

        monkeypatch.setattr(arguments, "find_spec", lambda name: None)
        with pytest.raises(UsageError, match=r"--report-to: needs the package wandb; pip install 'realqa\[wandb\]'"):
            train([data], tmp_path / "run", settings(base, max_steps=1, report_to="wandb"))


def test_the_backend_that_is_measured_is_the_model_that_is_trained(base: Path) -> None:
    from realqa_cli.models import find
    from realqa_cli.steps.train.tuning import Tuning, prepare_model

    model, backend = prepare_model(find(str(base)), Tuning(rank=2), "float32")
    assert model.get_base_model() is backend.model
    assert type(load(base).model) is type(backend.model)
