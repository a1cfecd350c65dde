"""Running `realqa` in a process of its own, as a person does, and where the project's files are."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fork_server import ForkServer

ROOT = Path(__file__).resolve().parent.parent.parent
PHOTOS = ROOT / "examples" / "photos"
CLOSING = tuple(f"realqa: {word}: " for word in ("speed", "best", "worst", "files", "report", "next"))


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
        """The lines of stderr for people, without the manifest and the closing lines of `score`."""
        return [line for line in self.err.splitlines() if not line.startswith(("{", *CLOSING))]

    @property
    def closing(self) -> list[str]:
        """The closing lines of `score`."""
        return [line for line in self.err.splitlines() if line.startswith(CLOSING)]


Realqa = Callable[..., Ran]


def environment(**more: str) -> dict[str, str]:
    """A clean one: no model of the developer's, no colours forced or forbidden."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("REALQA_", "NO_COLOR", "FORCE_COLOR"))}
    return clean | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"} | more


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "realqa_cli", *map(str, arguments)]


@functools.cache
def fork_server() -> ForkServer:
    """The one of this process of the tests."""
    return ForkServer(environment())


def run(
    *arguments: object,
    stdin: str | bytes | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Ran:
    """`realqa ARGUMENTS` in a process of its own: a fork, or a new interpreter with the environment `env`."""
    given = stdin.encode() if isinstance(stdin, str) else stdin or b""
    if env is not None or sys.platform == "darwin":  # where libraries of the system do not survive a fork
        done = subprocess.run(
            command(*arguments), input=given, capture_output=True, cwd=cwd, env=env or environment(), timeout=300
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(given)
        source.seek(0)
        code = fork_server().run([*map(str, arguments)], str(cwd or Path.cwd()), environment(), [source, out, err])
        for stream in (out, err):
            stream.seek(0)
        return Ran(code, out.read().decode(), err.read().decode())
