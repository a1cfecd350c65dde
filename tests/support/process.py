"""Running `realqa` in a process of its own, as a person does, and where the project's files are."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
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
