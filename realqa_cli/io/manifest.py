"""The manifest of a run, to which the `run` id of its records refers.

Two runs with equal `settings` give the same answers. The `environment` holds what should not affect them but
might: versions, device, batch size. The id is a digest of both.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_CACHE_ABOVE = 64 * 2**20
"""Bytes of a file above which its digest is cached, by path, size and modification time."""
_HASHED_AT_ONCE = 8
"""Most files that are hashed at the same time."""
_MODEL_SUFFIXES = {".json", ".safetensors", ".jinja", ".txt", ".model", ".tiktoken", ".py"}
"""Files of a model folder that affect its answers."""


@dataclass(frozen=True)
class Manifest:
    """The settings and the environment of one run."""

    command: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]

    @cached_property
    def run(self) -> str:
        """The id: the first 16 hex digits of the SHA-256 of command, settings and environment."""
        content = {"command": self.command, "settings": self.settings, "environment": self.environment}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        """The manifest as a JSON object with `run`, `command`, `settings` and `environment`."""
        return {
            "run": self.run,
            "command": self.command,
            "settings": dict(self.settings),
            "environment": dict(self.environment),
        }


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of those `packages` that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def folder_digest(folder: Path) -> str:
    """The digest "sha256:..." of the names and contents of the files of a model that affect its answers.

    These are weights, configurations, tokenizer and template, but not readme files, logs or checkpoints.
    """
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix in _MODEL_SUFFIXES]
    digest = hashlib.sha256()
    for file, of_file in zip(files, _digests(files), strict=True):
        digest.update(f"{file.name} {of_file}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _digests(files: Sequence[Path]) -> list[str]:
    """The digests of the files; several large ones are read at the same time, as hashing releases Python's lock."""
    if sum(file.stat().st_size > _CACHE_ABOVE for file in files) < 2:
        return [file_digest(file) for file in files]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1, _HASHED_AT_ONCE)) as pool:
        return [*pool.map(file_digest, files)]


def file_digest(file: Path) -> str:
    """The SHA-256 of a file in hexadecimal; that of a large file is cached in the user's cache folder."""
    stat = file.stat()
    if stat.st_size <= _CACHE_ABOVE:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    from platformdirs import user_cache_path

    key = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    cached = user_cache_path("realqa") / "digests" / hashlib.sha256(key.encode()).hexdigest()
    try:
        return cached.read_text(encoding="ascii")
    except OSError:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_text(digest, encoding="ascii")
        except OSError:
            pass  # without a writable home the next run computes it again
        return digest
