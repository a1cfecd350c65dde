"""Several processes give the records of one, in order; they are chosen by the visible GPUs."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.inference import processes
from realqa_cli.inference.model_handle import InferenceSettings
from realqa_cli.inference.processes import ProcessEngine, worker_devices
from realqa_cli.io.sources import read_sources
from realqa_cli.steps.score.score import Scorer, ScoreSettings, open_scorer
from realqa_cli.steps.self_label.self_label import LabelSettings, SelfLabeler, open_labeler

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("bee", "dogs", "mountain"):
        (folder / f"{name}.jpg").write_bytes((PHOTOS / f"{name}.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"broken")
    return folder


def test_two_processes_give_the_records_of_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALQA_WORKERS", "2")
    settings = ScoreSettings(batch_size=1, max_pixels=50_176)
    engine = open_scorer(settings)
    assert isinstance(engine, ProcessEngine)
    records = list(engine.records(read_sources([str(folder)])))
    alone = list(Scorer.from_settings(settings).records(read_sources([str(folder)])))
    assert [record["image"] for record in records] == [record["image"] for record in alone]
    assert [record.get("score") for record in records] == pytest.approx([record.get("score") for record in alone])
    assert [record.get("error") for record in records] == [record.get("error") for record in alone]
    assert {record.get("run") for record in records} == {record.get("run") for record in alone}


def test_labels_come_from_several_processes_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LabelSettings(batch_size=1, max_pixels=50_176)
    assert isinstance(open_labeler(settings), SelfLabeler)
    monkeypatch.setenv("REALQA_WORKERS", "2")
    engine = open_labeler(settings)
    assert isinstance(engine, ProcessEngine)
    first, *_ = engine.records(read_sources([str(folder / "bee.jpg")]))
    assert first["attributes"]


def _die() -> Any:
    import os

    os._exit(3)


def test_a_process_that_dies_is_one_clear_line() -> None:
    with pytest.raises(ModelError, match=r"died, perhaps for lack of memory; run again.*REALQA_WORKERS=1"):
        ProcessEngine([_die, _die], batch_size=1)


def test_an_error_while_loading_is_raised_here() -> None:
    load = partial(Scorer.from_settings, ScoreSettings(model="no-such-model"))
    with pytest.raises(ModelError, match="unknown model 'no-such-model'"):
        ProcessEngine([load, load], batch_size=1)


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_visible_gpus", lambda: ["0", "1", "2", "3"])
    monkeypatch.delenv("REALQA_WORKERS", raising=False)


@pytest.mark.usefixtures("four_gpus")
def test_all_visible_gpus_are_used_unless_the_options_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    all_four = [f"cuda:{index}" for index in range(4)]
    assert worker_devices(InferenceSettings(backend="hf")) == all_four
    assert worker_devices(InferenceSettings(backend="hf", device="cuda")) == all_four
    assert worker_devices(InferenceSettings(backend="hf", device="cuda:1")) == []
    assert worker_devices(InferenceSettings(backend="hf", device="cpu")) == []
    assert worker_devices(InferenceSettings()) == [], "the bundled model runs on the CPU"
    assert worker_devices(InferenceSettings(server=ServerSettings("http://localhost/v1"))) == []
    monkeypatch.setenv("REALQA_WORKERS", "2")
    assert worker_devices(InferenceSettings(backend="hf")) == all_four[:2]
    monkeypatch.setenv("REALQA_WORKERS", "many")
    with pytest.raises(UsageError, match="REALQA_WORKERS: is 'many'"):
        worker_devices(InferenceSettings())


def test_the_environment_limits_the_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Path, "glob", lambda self, pattern: [Path("/dev/nvidia0"), Path("/dev/nvidia1"), Path("/dev/nvidiactl")]
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert processes._visible_gpus() == ["nvidia0", "nvidia1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert processes._visible_gpus() == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert processes._visible_gpus() == []
