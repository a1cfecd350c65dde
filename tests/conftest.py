"""What the tests share: the sample photos, and running the command as a person does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Small models gain nothing from threads, and two workers of the suite would only wait for each other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The machine may be busy with other things: no example is too slow, and every run tries the same ones.
settings.register_profile("realqa", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("realqa")

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT / "examples" / "photos"


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def said(self) -> list[str]:
        """The lines of stderr for people, without the manifest."""
        return [line for line in self.err.splitlines() if not line.startswith("{")]


Realqa = Callable[..., Ran]


def environment(**more: str) -> dict[str, str]:
    """A clean one: no model of the developer's, no colours forced or forbidden."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("REALQA_", "NO_COLOR", "FORCE_COLOR"))}
    return clean | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"} | more


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "realqa_cli", *map(str, arguments)]


def run(
    *arguments: object,
    stdin: str | bytes | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Ran:
    """`realqa ARGUMENTS` in a process of its own."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        command(*arguments), input=given, capture_output=True, cwd=cwd, env=env or environment(), timeout=300
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


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
def realqa_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Realqa:
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
