"""The index of an output: what it covers, what is read again, and what it does where it cannot be written."""

import json
import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from process import environment

from realqa_cli.io import record_index
from realqa_cli.io.appender import Appender
from realqa_cli.io.record_index import Covered, RecordIndex, index_file, key_digest


def image_of(record: Mapping[str, Any]) -> str | None:
    return None if "error" in record else str(record["image"])


def opened(path: Path) -> Appender:
    return Appender(path, key=image_of, also=lambda record: ("folder", record.get("folder")), indexed=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "out.jsonl"
    with opened(file) as output:
        for name in ("a", "b", "a"):
            output.append({"image": name, "folder": 1}, more=[("file", name)])
    return file


def rows(path: Path, table: str) -> list[Any]:
    connection = sqlite3.connect(index_file(path))
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


def test_a_later_run_finds_records_by_all_their_keys(path: Path) -> None:
    with opened(path) as output:
        assert output.has(("folder", 1))
        assert not output.has(("folder", 2))
        assert [output.take("a") for _ in range(3)] == [True, True, False]
        assert output.take(("file", "b"))
        assert not output.take("b"), "it was claimed by another key"
        assert output.unclaimed == 0


def test_a_record_is_found_by_a_key_that_was_learned_later(path: Path) -> None:
    with opened(path) as output:
        record = output.claim("b")
        assert record is not None
        output.learn(record, ("file", "new"))
        assert not output.take(("file", "new")), "from the next run on"
    with opened(path) as output:
        assert output.take(("file", "new"))


def test_the_file_is_not_read_again(path: Path) -> None:
    """The first records are exchanged for others of the same length, which a run that reads them would notice."""
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"c"', 1))
    with opened(path) as output:
        assert output.take("b")


def test_what_was_appended_after_the_index_is_read(path: Path) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"image": "c"}) + "\n\n" + json.dumps({"image": "d"}))
    for _ in range(2):
        with opened(path) as output:
            assert all(output.take(name) for name in "abcd")
            assert output.unclaimed == 1
    assert path.read_bytes().endswith(b'"d"}\n')


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_an_index_of_another_file_is_made_again(path: Path, kept: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:kept]))
    with opened(path) as output:
        assert output.unclaimed == kept
        assert output.take("a") == (kept > 0)
        assert not output.take(("file", "a"))


def test_an_index_of_another_version_is_made_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_index, "_VERSION", 2)
    monkeypatch.setattr(record_index, "_SCHEMA", record_index._SCHEMA.replace("user_version = 1", "user_version = 2"))
    with opened(path) as output:
        assert output.unclaimed == 3
    assert rows(path, "pragma_user_version") == [(2,)]


def test_the_same_failure_is_found_in_the_index(path: Path) -> None:
    for _ in range(3):
        with opened(path) as output:
            output.append({"image": "x", "error": {"type": "missing"}})
    assert path.read_text().count("missing") == 1


def test_keys_are_sorted_when_the_file_is_closed(path: Path) -> None:
    assert rows(path, "unsorted") == []
    assert len(rows(path, "sorted")) == 3 * 3


def test_an_interrupt_between_a_record_and_its_keys_costs_no_record(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RecordIndex, "add", interrupted)
        with pytest.raises(KeyboardInterrupt), opened(path) as output:
            output.append({"image": "c"})
    with opened(path) as output:
        assert all(output.take(name) for name in "abc")


def test_records_after_such_an_interrupt_are_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as output:
        with monkeypatch.context() as patched:
            patched.setattr(RecordIndex, "_insert", lambda *_: int("an interrupt"))
            with pytest.raises(ValueError, match="an interrupt"):
                output.append({"image": "c"})
        with caplog.at_level(logging.WARNING, "realqa"):
            output.append({"image": "d"})
    assert "an interrupt came between a record and its keys" in caplog.text
    with opened(path) as output:
        assert all(output.take(name) for name in "abcd")


def test_without_a_place_for_the_index_the_records_are_in_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def refuse(name: str, **more: Any) -> sqlite3.Connection:
        if name != ":memory:":
            raise sqlite3.OperationalError("disk I/O error")
        return connect(name, **more)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with caplog.at_level(logging.WARNING, "realqa"), opened(path) as output:
        assert output.take("b")
        output.append({"image": "c"})
        assert output.take("a")
    assert "cannot be used (disk I/O error); the records are kept in memory" in caplog.text


def test_a_full_disk_stops_the_index_and_not_the_run(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as output:
        index = output._index
        index._connection.execute("PRAGMA max_page_count = 1")
        with caplog.at_level(logging.WARNING, "realqa"):
            for number in range(2000):
                output.append({"image": f"n{number}"})
        assert output.take("b"), "it can still be read"
    assert "cannot be written (database or disk is full); the next run reads the records again" in caplog.text
    with opened(path) as output:
        assert output.unclaimed == 2003


def test_what_is_covered_ends_with_a_whole_line(path: Path) -> None:
    (row,) = rows(path, "covered")
    covered = Covered(*row)
    assert (covered.end, covered.lines, covered.records) == (path.stat().st_size, 3, 3)
    assert covered.is_start_of(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not covered.is_start_of(path)


def test_what_was_synced_before_a_kill_is_in_the_index(path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from realqa_cli.io.appender import Appender
with Appender(Path(sys.argv[1]), key=lambda record: record["image"], indexed=True) as output:
    for name in "cd":
        output.append({"image": name}, more=[("file", name)], sync=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = subprocess.run([sys.executable, "-c", code, str(path)], env=environment())
    assert ran.returncode == -signal.SIGKILL
    with opened(path) as output:
        assert all(output.take(("file", name)) for name in "bcd")
        assert output.take("a")


def test_a_digest_has_twelve_bytes() -> None:
    assert len({key_digest(("a", number)) for number in range(100)}) == 100
    assert {len(key_digest(("a", number))) for number in range(100)} == {12}
