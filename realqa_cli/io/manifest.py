"""The run manifest: what a record's `run` stands for.

Two runs with equal `settings` give the same answers; the `environment` tells apart what ought
not to matter (versions, device, batch size) but might. The id is made from both.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_CACHE_ABOVE = 64 * 2**20
"""Files larger than this (bytes) are digested once and remembered by path, size and time."""


@dataclass(frozen=True)
class Manifest:
    """The settings and the environment of one run."""

    command: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]

    @cached_property
    def run(self) -> str:
        """The id: the first 16 hex digits of a SHA-256 over everything else."""
        content = {"command": self.command, "settings": self.settings, "environment": self.environment}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready: `run`, `command`, `settings`, `environment`."""
        return {
            "run": self.run,
            "command": self.command,
            "settings": dict(self.settings),
            "environment": dict(self.environment),
        }


def versions(*packages: str) -> dict[str, str]:
    """Python's version and those of the installed ones among `packages`."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def folder_digest(folder: Path) -> str:
    """ "sha256:..." over the names and contents of everything in a model folder that decides answers.

    Weights, configurations, tokenizer, template; not readme files, logs or checkpoints.
    """
    whole = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix in {
            ".json",
            ".safetensors",
            ".jinja",
            ".txt",
            ".model",
            ".tiktoken",
            ".py",
        }:
            whole.update(f"{file.name} {file_digest(file)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def file_digest(file: Path) -> str:
    """Hex SHA-256 of a file; a large one's is kept in the user's cache folder."""
    stat = file.stat()
    if stat.st_size <= _CACHE_ABOVE:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    from platformdirs import user_cache_path

    mark = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    note = user_cache_path("realqa") / "digests" / hashlib.sha256(mark.encode()).hexdigest()
    try:
        return note.read_text(encoding="ascii")
    except OSError:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(digest, encoding="ascii")
        except OSError:
            pass  # a read-only home costs time, not correctness
        return digest
