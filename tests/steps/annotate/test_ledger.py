"""The ledger: a reply is on disk before it is read, keyed by what it answers, and no two runs write it."""

import errno
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from realqa_cli.errors import OutputError
from realqa_cli.io.appender import Appender
from realqa_cli.steps.annotate.ledger import Ledger, LedgerEntry, RequestSpec, read_offsets

ASKED = RequestSpec("gpt-4o", "sha256:1", {"max_pixels": 100, "temperature": 0})
PHOTO = f"sha256:{'ab' * 32}"
KEY = ASKED.key(PHOTO)


def reply(text: str) -> Mapping[str, Any]:
    return {"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 1}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "labels.jsonl.replies.jsonl"


def put(ledger: Ledger, turn: int, text: str, key: str = KEY) -> None:
    ledger.put(key, turn, ASKED, PHOTO, LedgerEntry(reply(text), 0.25))


def test_a_reply_is_in_the_file_as_soon_as_it_is_put(path: Path) -> None:
    with Ledger(path) as ledger:
        put(ledger, 0, "hello")
        (line,) = map(json.loads, path.read_text().splitlines())
    assert line == {
        "key": KEY,
        "turn": 0,
        "content": PHOTO,
        "model": "gpt-4o",
        "prompt": "sha256:1",
        "parameters": {"max_pixels": 100, "temperature": 0},
        "cost_usd": 0.25,
        "reply": reply("hello"),
    }


def test_a_later_run_finds_both_turns(path: Path) -> None:
    with Ledger(path) as ledger:
        put(ledger, 0, "first")
        put(ledger, 1, "second")
        assert ledger.was_written(KEY)
    with Ledger(path) as ledger:
        assert ledger.get(KEY, 0) == LedgerEntry(reply("first"), 0.25)
        assert ledger.get(KEY, 1) == LedgerEntry(reply("second"), 0.25)
        assert ledger.get("another", 0) is None
        assert not ledger.was_written(KEY)
        assert [entry.cost for _, entry in ledger.entries()] == [0.25, 0.25]


def test_a_new_first_reply_makes_the_old_second_one_void(path: Path) -> None:
    with Ledger(path) as ledger:
        put(ledger, 0, "first")
        put(ledger, 1, "second")
        put(ledger, 0, "again")
        assert ledger.get(KEY, 1) is None
    with Ledger(path) as ledger:
        assert ledger.get(KEY, 0) == LedgerEntry(reply("again"), 0.25)
        assert ledger.get(KEY, 1) is None


@pytest.mark.parametrize(
    "other",
    [
        RequestSpec("gpt-4o-mini", "sha256:1", ASKED.parameters),
        RequestSpec("gpt-4o", "sha256:2", ASKED.parameters),
        RequestSpec("gpt-4o", "sha256:1", {"max_pixels": 101, "temperature": 0}),
    ],
    ids=["model", "prompt", "parameters"],
)
def test_whatever_decides_a_reply_is_in_its_key(other: RequestSpec) -> None:
    assert other.key(PHOTO) != KEY
    assert other.key(PHOTO)[:40] == KEY[:40], "the photo can be seen in it"
    assert ASKED.key(f"sha256:{'cd' * 32}") != KEY
    assert len(KEY) <= 64, "what batch services take as an id"


def test_a_line_that_a_kill_cut_short_is_repaired_and_costs_only_itself(path: Path) -> None:
    with Ledger(path) as ledger:
        put(ledger, 0, "first")
        put(ledger, 0, "other", "k2")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with Ledger(path) as ledger:
        assert "incomplete last line" in str(ledger.repaired)
        assert ledger.get(KEY, 0) is not None
        assert ledger.get("k2", 0) is None
        put(ledger, 0, "other", "k2")
    assert path.read_bytes() == whole


def test_two_runs_cannot_pay_into_one_ledger(path: Path) -> None:
    with Ledger(path), pytest.raises(OutputError, match="another run is writing this file"), Ledger(path):
        pass


def test_a_closed_ledger_takes_nothing(path: Path) -> None:
    with Ledger(path) as ledger:
        pass
    with pytest.raises(OutputError, match="is closed"):
        put(ledger, 0, "late")


def test_a_file_of_something_else_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("hello\n")
    with pytest.raises(OutputError, match="this line is not a record"), Ledger(path):
        pass
    assert path.read_text() == "hello\n"


def test_numbers_that_json_does_not_have_become_null(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.put(KEY, 0, ASKED, PHOTO, LedgerEntry({"choices": [], "logprob": -math.inf}))
        assert ledger.get(KEY, 0) == LedgerEntry({"choices": [], "logprob": None})


def test_looking_into_a_ledger_neither_creates_nor_locks_it(path: Path) -> None:
    assert read_offsets(path) == {}
    assert not path.parent.exists()
    with Ledger(path) as ledger:
        put(ledger, 0, "first")
        assert read_offsets(path) == {(KEY, 0): 0}


def test_paid_replies_can_be_read_by_their_owner_only(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o644)
    with Ledger(path) as ledger:
        put(ledger, 0, "first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_reply_on_a_full_disk_takes_the_space_that_was_reserved(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = path.with_name(f".{path.name}.reserve")
    append = Appender.append

    def append_while_there_is_space(self: Appender, record: Mapping[str, Any], *, sync: bool = False) -> None:
        if reserve.exists():
            raise OutputError("cannot be written (No space left on device)", where=str(path))
        append(self, record, sync=sync)

    with Ledger(path) as ledger:
        ledger.reserve_space(100_000)
        assert reserve.stat().st_blocks * 512 >= 100_000
        monkeypatch.setattr(Appender, "append", append_while_there_is_space)
        put(ledger, 0, "paid")
        assert (ledger.full is not None, ledger.lost) == (True, 0)
        assert ledger.get(KEY, 0) == LedgerEntry(reply("paid"), 0.25)
    assert not reserve.exists()


def test_a_reply_that_cannot_be_written_is_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Appender, record: Mapping[str, Any], *, sync: bool = False) -> None:
        raise OutputError("cannot be written (No space left on device)", where=str(path))

    with Ledger(path) as ledger:
        monkeypatch.setattr(Appender, "append", fail)
        with pytest.raises(OutputError, match="No space left"):
            put(ledger, 0, "lost")
        assert ledger.lost == 1
        monkeypatch.undo()


def test_without_space_for_the_replies_nothing_is_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Ledger(path) as ledger:
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OutputError, match="No space left"):
            ledger.reserve_space(100_000)
    assert [file.name for file in path.parent.iterdir() if "reserve" in file.name] == []
