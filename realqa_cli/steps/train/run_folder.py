"""The output folder of a training run: its log, checkpoints and result, written so that a crash loses nothing.

    log.jsonl            one line per logging step
    train.run.json       the manifest; a run is resumed only with the same settings and data
    left-out.json        photos that cannot be decoded, found before the first step
    checkpoint-120/      the last complete checkpoints; a folder of this name is never partly written
    best/                the model with the best validation so far, with best.json
    realqa.json, ...     the trained model; `realqa.json` is written last and marks the run as complete

Everything is written under `.saving/`, synced, and renamed: a crash leaves either the old or the new state.
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

LOG, MANIFEST, LEFT_OUT, BEST, BEST_FIGURES = "log.jsonl", "train.run.json", "left-out.json", "best", "best.json"
_SAVING, _LOCK = ".saving", ".lock"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class RunFolder:
    """The folder `--output` of one run. In a distributed run only the main process (`writes`) changes files."""

    def __init__(self, path: Path, *, writes: bool = True, keep_checkpoints: int = 1) -> None:
        self.path, self.writes, self.keep_checkpoints = path, writes, keep_checkpoints

    @property
    def saving(self) -> Path:
        """The folder in which files are written before they are renamed."""
        return self.path / _SAVING

    @property
    def complete(self) -> bool:
        """Whether the folder contains the trained model."""
        return (self.path / realqa_json.CONFIG_FILE).is_file()

    def begin(self, manifest: Manifest, *, resume: bool, overwrite: bool) -> Path | None:
        """Prepare the folder; return the checkpoint to resume from, or None to start from the beginning.

        resume: whether a run in the folder is continued.  overwrite: whether it is replaced instead.

        Raises OutputError for a folder that must not be written to, UsageError if a run would be resumed with
        other settings or data.
        """
        if not self.writes:  # the main process has already prepared and checked the folder
            return self._last_checkpoint() if resume and not overwrite else None
        where = str(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise OutputError("is a file", where=where, remedy="choose another folder")
        if self.path.is_dir() and any(entry.name != _LOCK for entry in self.path.iterdir()):
            if not (self.path / MANIFEST).is_file():
                what = "the folder is not empty and not a training run"
                raise OutputError(what, where=where, remedy="choose another folder")
            if not resume and not overwrite:
                remedy = "add --overwrite to replace it, or choose another folder"
                raise OutputError("the folder contains a training run", where=where, remedy=remedy)
            self._lock_folder()
            if not overwrite:
                self._check_settings(manifest)
                return self._resume()
            self._remove_contents()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock_folder()
        self.write_manifest(manifest)
        return None

    def write_manifest(self, manifest: Manifest, effective: Mapping[str, Any] | None = None) -> None:
        """Write the manifest. effective: settings as used, where the options leave them to the model or the data."""
        if self.writes:
            content = manifest.as_json() | ({"effective": effective} if effective else {})
            write_atomic(self.path / MANIFEST, json.dumps(content, indent=1) + "\n")

    def left_out(self) -> dict[str, str] | None:
        """The photos that are left out, with the error of each; None before `leave_out`."""
        file = self.path / LEFT_OUT
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None

    def leave_out(self, photos: Mapping[str, str]) -> None:
        """Record the photos that are left out, so that a resumed run leaves out the same."""
        write_atomic(self.path / LEFT_OUT, json.dumps(dict(photos), indent=1) + "\n")

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a line to the log; the next checkpoint syncs it to disk."""
        if self.writes:
            with (self.path / LOG).open("a", encoding="utf-8") as stream:
                stream.write(dump_line(record) + "\n")

    @contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        """Yield the folder in which to write `checkpoint-<step>`; it is renamed into place at the end."""
        written, final = self.saving / f"checkpoint-{step}", self.path / f"checkpoint-{step}"
        yield written
        if not self.writes:
            return
        _sync(self.path / LOG)
        _sync_all(written)
        if final.exists():
            shutil.rmtree(final)
        written.rename(final)
        _sync(self.path)
        self._remove_checkpoints(keep=self.keep_checkpoints)

    def best_figures(self) -> dict[str, Any] | None:
        """The figures of the model in `best/`: `step`, `srcc`, ...; None without one."""
        file = self.path / BEST / BEST_FIGURES
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None

    @contextmanager
    def best(self, figures: Mapping[str, Any]) -> Iterator[Path]:
        """Yield the folder in which to write the best model so far; it replaces the previous one at the end."""
        written, final = self.saving / BEST, self.path / BEST
        if self.writes:
            shutil.rmtree(written, ignore_errors=True)
            written.mkdir(parents=True)
        yield written
        if not self.writes:
            return
        (written / BEST_FIGURES).write_text(json.dumps(figures) + "\n", encoding="utf-8")
        _sync_all(written)
        if final.exists():
            final.rename(self.saving / "old-best")
        written.rename(final)
        _sync(self.path)
        shutil.rmtree(self.saving)

    @contextmanager
    def result(self) -> Iterator[Path]:
        """Yield the folder in which to write the trained model; its files are moved up, `realqa.json` last."""
        written = self.saving / "result"
        if self.writes:
            shutil.rmtree(written, ignore_errors=True)
            written.mkdir(parents=True)
        yield written
        if not self.writes:
            return
        _sync_all(written)
        for file in sorted(written.iterdir(), key=lambda file: (file.name == realqa_json.CONFIG_FILE, file.name)):
            file.replace(self.path / file.name)
        _sync(self.path)
        self._remove_checkpoints(keep=0)
        shutil.rmtree(self.path / BEST, ignore_errors=True)

    def _lock_folder(self) -> None:
        """Lock the folder until this process ends. Raises OutputError if another run has locked it."""
        from filelock import FileLock, Timeout

        self._lock = FileLock(self.path / _LOCK, timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            remedy = "wait until it ends, or choose another folder"
            raise OutputError("another run is writing to this folder", where=str(self.path), remedy=remedy) from error

    def _remove_contents(self) -> None:
        for entry in self.path.iterdir():
            if entry.name != _LOCK:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _resume(self) -> Path | None:
        """Return the last checkpoint; remove log lines after it, because those steps will run again."""
        shutil.rmtree(self.saving, ignore_errors=True)
        last, log = max(self._checkpoints(), default=0), self.path / LOG
        if log.is_file() and not self.complete:
            lines = [line for _, line in read_lines(log)]
            kept = [line for line in lines if isinstance(line, dict) and line["step"] <= last]
            write_atomic(log, "".join(dump_line(line) + "\n" for line in kept))
        return self._last_checkpoint()

    def _last_checkpoint(self) -> Path | None:
        checkpoints = self._checkpoints()
        return checkpoints[max(checkpoints)] if checkpoints else None

    def _checkpoints(self) -> dict[int, Path]:
        """Folder by step."""
        entries = ((_CHECKPOINT.fullmatch(entry.name), entry) for entry in self.path.iterdir())
        return {int(match[1]): entry for match, entry in entries if match}

    def _remove_checkpoints(self, keep: int) -> None:
        """Remove all checkpoints except for the last `keep`."""
        checkpoints = self._checkpoints()
        for step in sorted(checkpoints)[: len(checkpoints) - keep]:
            # Renamed first: a crash while deleting must not leave an incomplete folder that looks complete.
            shutil.rmtree(checkpoints[step].rename(self.saving / f"old-{step}"))
        shutil.rmtree(self.saving)

    def _check_settings(self, manifest: Manifest) -> None:
        file = self.path / MANIFEST
        try:
            previous = json.loads(file.read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError("cannot be read", where=str(file), remedy="start over with --overwrite") from error
        settings = json.loads(json.dumps(dict(manifest.settings)))
        for name in sorted(previous.keys() | settings.keys()):
            if previous.get(name) != settings.get(name):
                raise UsageError(
                    f"the run began with {name} {_short(previous.get(name))}, not {_short(settings.get(name))}",
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
    """Flush a file, or the entries of a folder, to disk where the system supports it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open folders
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
