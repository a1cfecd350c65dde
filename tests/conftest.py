"""What the tests share: the sample photos, and running the command as a person does."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from process import PHOTOS, Ran, Realqa, run

# Small models gain nothing from threads, and two workers of the suite would only wait for each other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The machine may be busy with other things: no example is too slow, and every run tries the same ones.
settings.register_profile("realqa", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("realqa")


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photos that the project ships."""
    return PHOTOS


@pytest.fixture(scope="session")
def photo_files() -> Sequence[Path]:
    """Their paths, in code-point order."""
    return sorted(PHOTOS.glob("*.jpg"))


@pytest.fixture(scope="session")
def realqa() -> Realqa:
    """Runs `realqa score SOURCES... --backend echo ...` and the like, as a process."""
    return run


@pytest.fixture
def realqa_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Realqa:
    """The same in this process, where starting it would take longest; with a data folder of its own."""
    from realqa_cli.cli import main

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run_here(*arguments: object) -> Ran:
        code = main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return run_here


@pytest.fixture(scope="session")
def bundled(photos: Path) -> Ran:
    """The sample photos by the bundled model, once."""
    return run("score", photos, "--distribution")


@pytest.fixture(autouse=True)
def _package_log() -> Iterator[None]:
    """Restores the package's logger, which a command that runs in this process configures for itself."""
    log = logging.getLogger("realqa")
    log.handlers, log.propagate = [], True  # fixtures of modules run commands, too
    log.setLevel(logging.NOTSET)
    yield
    log.handlers, log.propagate = [], True
    log.setLevel(logging.NOTSET)
