"""Graphs that are loaded ahead in a thread: used once, and never a reason for another result or exit code."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from realqa_cli import models
from realqa_cli.backends.onnx import preload
from realqa_cli.backends.onnx.graphs import Graphs
from realqa_cli.backends.onnx.preload import preload_bundled, preloaded
from realqa_cli.steps.score.score import Scorer

TINY = models.path("realqa-tiny")


@pytest.fixture(autouse=True)
def nothing_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "_started", {})


def test_what_was_loaded_ahead_is_taken_once() -> None:
    preload_bundled()
    preload_bundled()  # the same as once
    assert isinstance(preloaded(TINY), Graphs)
    assert preloaded(TINY) is None


def test_without_a_start_there_is_nothing() -> None:
    assert preloaded(TINY) is None


def test_a_scorer_gives_the_same_distribution_with_graphs_that_were_loaded_ahead(photos: Path) -> None:
    photo = photos / "bee.jpg"
    expected = Scorer(distribution=True).score(photo)
    preload_bundled()
    found = Scorer(distribution=True).score(photo)
    assert preloaded(TINY) is None
    assert np.allclose(found["distribution"], expected["distribution"], rtol=0, atol=1e-9)
    assert found["run"] == expected["run"]


def test_a_failure_is_left_to_the_one_who_needs_the_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "model"
    shutil.copytree(TINY, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    monkeypatch.setattr(models, "path", lambda name: broken)
    preload_bundled()
    assert preloaded(broken) is None


def test_the_end_of_a_process_waits_for_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is interrupted there ends the process with SIGABRT."""
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    preload_bundled()
    assert [thread.daemon for thread in started] == [False]
