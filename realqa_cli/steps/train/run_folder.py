"""The folder of a training run: its log, its checkpoints, its result. The one place that knows how they fail.

    log.jsonl            a line a logging step
    train.run.json       what the run was started with; `--resume` wants the same again
    checkpoint-120/      the last whole checkpoint; a folder of this name is never half written
    realqa.json, ...     the trained model; `realqa.json` comes last and says that the run is complete

Everything is written under `.saving/`, synced, and renamed. A crash leaves the old state or the new one.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realqa_cli.errors import OutputError, UsageError
from realqa_cli.io.jsonl import dump_line, read_lines, write_atomic
from realqa_cli.io.manifest import Manifest
from realqa_cli.models import realqa_json

LOG, RUN = "log.jsonl", "train.run.json"
_SAVING, _LOCK = ".saving", ".lock"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class RunFolder:
    """`--output` of one run. In a distributed run only the first process (`writes`) touches files."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes

    @property
    def saving(self) -> Path:
        """Where things are written before they get their names."""
        return self.path / _SAVING

    @property
    def complete(self) -> bool:
        """Whether the trained model is there."""
        return (self.path / realqa_json.CONFIG_FILE).is_file()

    def begin(self, manifest: Manifest, *, resume: bool, overwrite: bool) -> Path | None:
        """Makes the folder ready and returns the checkpoint to go on from, or None for the start.

        Raises OutputError for a folder that must not be written to, UsageError where a run is resumed with
        other settings than it began with.
        """
        where = str(self.path)
        if not self.writes:  # the first process was here before, and has checked everything
            return self._last() if resume else None
        if self.path.exists() and not self.path.is_dir():
            raise OutputError("is a file", where=where, remedy="choose another folder")
        if self.path.is_dir() and any(entry.name != _LOCK for entry in self.path.iterdir()):
            ours = (self.path / RUN).is_file()
            if not ours:
                raise OutputError("is not empty, and no training run", where=where, remedy="choose another folder")
            if not resume and not overwrite:
                remedy = "add --resume to go on, --overwrite to start over, or choose another folder"
                raise OutputError("holds a training run", where=where, remedy=remedy)
            self._take()
            if resume:
                self._check(manifest)
                return self._resume()
            for entry in self.path.iterdir():
                if entry.name != _LOCK:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.path.mkdir(parents=True, exist_ok=True)
        self._take()
        write_atomic(self.path / RUN, json.dumps(manifest.as_json(), indent=1) + "\n")
        return None

    def append(self, record: Mapping[str, Any]) -> None:
        """One line of the log; on the disk before the next checkpoint is."""
        if self.writes:
            with (self.path / LOG).open("a", encoding="utf-8") as stream:
                stream.write(dump_line(record) + "\n")

    @contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        """The folder in which `checkpoint-<step>` is to be made, in `saving`; it gets its name at the end."""
        yield self.saving / f"checkpoint-{step}"
        if not self.writes:
            return
        _sync(self.path / LOG)
        made, final = self.saving / f"checkpoint-{step}", self.path / f"checkpoint-{step}"
        _sync_all(made)
        if final.exists():
            shutil.rmtree(final)
        made.rename(final)
        _sync(self.path)
        self._clear(keep=step)

    @contextmanager
    def result(self) -> Iterator[Path]:
        """The folder in which the trained model is to be made; its files then move up, `realqa.json` last."""
        made = self.saving / "result"
        if self.writes:
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
        yield made
        if not self.writes:
            return
        _sync_all(made)
        for file in sorted(made.iterdir(), key=lambda file: (file.name == realqa_json.CONFIG_FILE, file.name)):
            file.replace(self.path / file.name)
        _sync(self.path)
        self._clear(keep=None)

    def _take(self) -> None:
        """Keeps other runs out, until this process ends. Raises OutputError where one is in already."""
        from filelock import FileLock, Timeout

        self._lock = FileLock(self.path / _LOCK, timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            remedy = "wait until it ends, or choose another folder"
            raise OutputError("another run is writing it", where=str(self.path), remedy=remedy) from error

    def _resume(self) -> Path | None:
        """The last checkpoint; lines of the log that came after it go, because they will come again."""
        shutil.rmtree(self.saving, ignore_errors=True)
        last, log = max(self._checkpoints(), default=0), self.path / LOG
        if log.is_file() and not self.complete:
            lines = [line for _, line in read_lines(log)]
            kept = [line for line in lines if isinstance(line, dict) and line["step"] <= last]
            write_atomic(log, "".join(dump_line(line) + "\n" for line in kept))
        return self._last()

    def _last(self) -> Path | None:
        found = self._checkpoints()
        return found[max(found)] if found else None

    def _checkpoints(self) -> dict[int, Path]:
        found = ((_CHECKPOINT.fullmatch(entry.name), entry) for entry in self.path.iterdir())
        return {int(match[1]): entry for match, entry in found if match}

    def _clear(self, keep: int | None) -> None:
        for step, entry in self._checkpoints().items():
            if step != keep:
                # By another name first: a crash in the middle must not leave a stump that looks whole.
                entry = entry.rename(self.saving / f"old-{step}")
                shutil.rmtree(entry)
        shutil.rmtree(self.saving)

    def _check(self, manifest: Manifest) -> None:
        file = self.path / RUN
        try:
            began = json.loads(file.read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError("cannot be read", where=str(file), remedy="start over with --overwrite") from error
        now = json.loads(json.dumps(dict(manifest.settings)))
        for name in sorted(began.keys() | now.keys()):
            if began.get(name) != now.get(name):
                raise UsageError(
                    f"the run began with {name} {_short(began.get(name))}, not {_short(now.get(name))}",
                    where=str(self.path),
                    remedy="resume with the same settings and data, or start over with --overwrite",
                )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _sync_all(folder: Path) -> None:
    for entry in folder.rglob("*"):
        _sync(entry)
    _sync(folder)


def _sync(path: Path) -> None:
    """Makes a file, or a folder's names, survive a power cut, where the system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open folders
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
