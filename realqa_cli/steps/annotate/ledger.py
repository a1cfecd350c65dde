"""The ledger: every paid reply, on disk before it is parsed.

A JSON Lines file next to the output, `FILE.replies.jsonl`, with one line per reply. Replies are found by the
photo's bytes, the model, the prompt and the parameters: a run requests only what is missing, and parsing the
replies again costs nothing. Only one process may write at a time, and only its user may read the file.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from realqa_cli.errors import OutputError, RecordError
from realqa_cli.io.appender import Appender
from realqa_cli.io.jsonl import dump_line, parse_line, read_lines, writing

SUFFIX = ".replies.jsonl"
Turn = tuple[str, int]
"""A key, and 0 for the answer to the prompt or 1 for the answer to the repair request."""


@dataclass(frozen=True)
class RequestSpec:
    """What requests have in common except for the photo; equal ones get equal replies. prompt: a hash."""

    model: str
    prompt: str
    parameters: Mapping[str, Any]

    def key(self, content: str) -> str:
        """The key of a photo's replies, 57 characters; `content` is `media.files.content_id`."""
        text = json.dumps([content, self.model, self.prompt, self.parameters], sort_keys=True)
        photo = content.removeprefix("sha256:")[:40]
        return f"{photo}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class LedgerEntry:
    """A reply as the server sent it.

    cost: US dollars when it was paid, None where the price was unknown.  batch: whether it came by the batch
    API, at its price.
    """

    reply: Mapping[str, Any]
    cost: float | None = None
    batch: bool = False

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """From a line of the file. Raises `OutputError` for a line of another kind."""
        match line:
            case {"reply": dict(reply), "cost_usd": float() | int() | None as cost}:
                return cls(reply, cost, line.get("batch") is True)
        raise OutputError("this ledger has a line that is not a reply", remedy="move the file away")


class Ledger:
    """The open file; a context manager, which locks it. Thread-safe.

    repaired: what was repaired of a last line that a crash had cut, or None.  full: why no further request
    may be sent, after a write failed.  lost: replies that could not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repaired: str | None = None
        self.full: OutputError | None = None
        self.lost = 0
        self._file = Appender(path, key=lambda line: (str(line.get("key")), str(line.get("turn"))))
        self._lock = threading.Lock()
        self._offsets: dict[Turn, int] = {}  # where the last reply of a turn starts, in bytes
        self._written: set[str] = set()
        self._open = False
        self._reserve = path.with_name(f".{path.name}.reserve")

    def __enter__(self) -> Self:
        """Raises `OutputError`, also where another run is writing the file."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _make_private(self.path)
        self._file.__enter__()
        self.repaired, self._open = self._file.repaired, True
        try:
            self._offsets = read_offsets(self.path)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        with self._lock:  # a reply that arrives later can no longer be written
            self._reserve.unlink(missing_ok=True)
            if self._open:
                self._open = False
                self._file.__exit__(*raised)

    def reserve_space(self, size: int) -> None:
        """Occupy `size` bytes of disk, which `put` frees when the disk is full. Raises `OutputError`.

        Requests are sent only after this, so that the replies in flight always fit.
        """
        try:
            with writing(self.path), self._reserve.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.write(bytes(size))
        except OutputError:
            self._reserve.unlink(missing_ok=True)
            raise

    def get(self, key: str, turn: int) -> LedgerEntry | None:
        """The last reply of that turn; None where there is none yet."""
        offset = self._offsets.get((key, turn))
        if offset is None:
            return None
        with self.path.open("rb") as file:
            file.seek(offset)
            return LedgerEntry.of(parse_line(file.readline()))

    def put(self, key: str, turn: int, spec: RequestSpec, content: str, entry: LedgerEntry) -> None:
        """Write a reply, which is on disk when this returns. A later reply of the same turn replaces it.

        Where the disk is full, the reserved space is used and `full` is set. Raises `OutputError` where the
        reply could not be written; `lost` counts them.
        """
        line = {
            "key": key,
            "turn": turn,
            "content": content,
            "model": spec.model,
            "prompt": spec.prompt,
            "parameters": dict(spec.parameters),
            "cost_usd": entry.cost,
            **({"batch": True} if entry.batch else {}),
            "reply": _strict(entry.reply),
        }
        with self._lock:
            if not self._open:
                self.lost += 1
                raise OutputError("the ledger is closed", where=str(self.path))
            offset = self.path.stat().st_size
            self._append(line)
            self._offsets[key, turn] = offset
            self._written.add(key)
            if turn == 0:
                self._offsets.pop((key, 1), None)  # it was to repair another answer

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.append(line, sync=True)
        except OutputError as error:
            self.full = error
            self._reserve.unlink(missing_ok=True)
            try:
                self._file.append(line, sync=True)
            except OutputError:
                self.lost += 1
                raise

    def was_written(self, key: str) -> bool:
        """Whether a reply with this key was written since the file was opened."""
        return key in self._written

    def entries(self) -> Iterator[tuple[str, LedgerEntry]]:
        """Every reply in the file, with its model."""
        for line in read_replies(self.path):
            yield str(line.get("model")), LedgerEntry.of(line)


def read_offsets(path: Path) -> dict[Turn, int]:
    """Where the last line of each turn starts, in bytes; {} where there is no file."""
    offsets: dict[Turn, int] = {}
    offset = 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        for data in file:
            with suppress(RecordError):  # a last line that is being written
                line = parse_line(data)
                key, turn = str(line.get("key")), int(line.get("turn", 0))
                offsets[key, turn] = offset
                if turn == 0:
                    offsets.pop((key, 1), None)
            offset += len(data)
    return offsets


def read_replies(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a ledger, which another run may be writing; none where there is no file."""
    if path.is_file():
        for _, line in read_lines(path):
            if isinstance(line, dict):
                yield line


def _make_private(path: Path) -> None:
    """Create the file if it is missing, readable by its owner only."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600))
    with suppress(OSError):  # a file of someone else, or a file system without permissions
        path.chmod(0o600)


def _strict(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The reply as strict JSON: some servers write NaN among log probabilities."""
    try:
        dump_line(reply)
        return dict(reply)
    except ValueError:
        strict: dict[str, Any] = json.loads(json.dumps(reply), parse_constant=lambda name: None)
        return strict
