"""The ledger: every reply that was paid for, on disk before anybody reads what it says.

A JSON Lines file beside the output, `FILE.replies.jsonl`; one line a reply, keyed by the photo's bytes, the
model, the prompt and the parameters. A run asks only for what it has not; reading replies again after a
change of the parser costs nothing. One process writes at a time. Knows neither servers nor attributes.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from realqa_cli.errors import OutputError, RecordError
from realqa_cli.io.appender import Appender
from realqa_cli.io.jsonl import dump_line, parse_line, read_lines

SUFFIX = ".replies.jsonl"
Turn = tuple[str, int]
"""A key, and 0 for the answer to the question or 1 for the one to the request to mend it."""


@dataclass(frozen=True)
class RequestSpec:
    """What a reply answers, but for the photo: equal ones get equal replies. prompt: a hash."""

    model: str
    prompt: str
    parameters: Mapping[str, Any]

    def key(self, content: str) -> str:
        """The key of a photo's replies, 57 characters; `content` is `media.files.content_id`."""
        told = json.dumps([content, self.model, self.prompt, self.parameters], sort_keys=True)
        photo = content.removeprefix("sha256:")[:40]
        return f"{photo}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class LedgerEntry:
    """A reply, as it came. cost: US dollars when it was paid, None where the price was unknown.

    batch: whether it came by the batch API, at its price.
    """

    reply: Mapping[str, Any]
    cost: float | None = None
    batch: bool = False

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """From a line of the file. Raises OutputError for a line of another kind."""
        match line:
            case {"reply": dict(reply), "cost_usd": float() | int() | None as cost}:
                return cls(reply, cost, line.get("batch") is True)
        raise OutputError("holds a line that is no reply", remedy="move the file away")


class Ledger:
    """The open file; a context manager, which locks it. Several threads may share one.

    repaired: what was mended of a last line that a crash had cut, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repaired: str | None = None
        self._file = Appender(path, key=lambda line: (str(line.get("key")), str(line.get("turn"))))
        self._lock = threading.Lock()
        self._places: dict[Turn, int] = {}  # where in the file the last reply of a turn begins
        self._fresh: set[str] = set()
        self._open = False

    def __enter__(self) -> Self:
        """Raises OutputError, also where another run is writing it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file.__enter__()
        self.repaired, self._open = self._file.repaired, True
        try:
            self._places = places(self.path)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        with self._lock:  # a reply that comes after this is nobody's any more
            if self._open:
                self._open = False
                self._file.__exit__(*raised)

    def get(self, key: str, turn: int) -> LedgerEntry | None:
        """The reply of that turn; None where there is none yet."""
        place = self._places.get((key, turn))
        if place is None:
            return None
        with self.path.open("rb") as file:
            file.seek(place)
            return LedgerEntry.of(parse_line(file.readline()))

    def put(self, key: str, turn: int, asked: RequestSpec, content: str, entry: LedgerEntry) -> None:
        """Writes a reply; it is on disk when this returns. A later one of the same turn takes its place.

        Raises OutputError, on a full disk for example.
        """
        line = {
            "key": key,
            "turn": turn,
            "content": content,
            "model": asked.model,
            "prompt": asked.prompt,
            "parameters": dict(asked.parameters),
            "cost_usd": entry.cost,
            **({"batch": True} if entry.batch else {}),
            "reply": _plain(entry.reply),
        }
        with self._lock:
            if not self._open:
                raise OutputError("is closed", where=str(self.path))
            place = self.path.stat().st_size
            self._file.append(line, sync=True)
            self._places[key, turn] = place
            self._fresh.add(key)
            if turn == 0:
                self._places.pop((key, 1), None)  # it was to mend another answer

    def fresh(self, key: str) -> bool:
        """Whether a reply with this key was written since the file was opened."""
        return key in self._fresh

    def entries(self) -> Iterator[tuple[str, LedgerEntry]]:
        """Every reply ever paid for, with its model."""
        for line in read_replies(self.path):
            yield str(line.get("model")), LedgerEntry.of(line)


def places(path: Path) -> dict[Turn, int]:
    """Where the last line of each turn begins, in bytes; {} where there is no file."""
    found: dict[Turn, int] = {}
    place = 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        for data in file:
            with suppress(RecordError):  # a last line that is being written
                line = parse_line(data)
                key, turn = str(line.get("key")), int(line.get("turn", 0))
                found[key, turn] = place
                if turn == 0:
                    found.pop((key, 1), None)
            place += len(data)
    return found


def read_replies(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a ledger, which another run may be writing; none where there is no file."""
    if path.is_file():
        for _, line in read_lines(path):
            if isinstance(line, dict):
                yield line


def _plain(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The reply as strict JSON: servers write NaN among log probabilities."""
    try:
        dump_line(reply)
        return dict(reply)
    except ValueError:
        plain: dict[str, Any] = json.loads(json.dumps(reply), parse_constant=lambda name: None)
        return plain
