"""The keys of the records in a JSON Lines file, on disk, so that a run continues without reading the file again.

`FILE.index.sqlite` next to the file holds digests of 12 bytes. It says how many bytes of the file it covers; these
bytes are on the disk before the index says so. What was appended after them is read again, and where the file does
not have the record at which the index ends, the whole index is made again. It can be deleted at any time.

Keys of the current run go to the end of an unsorted table, which costs next to nothing, and are sorted in when the
file is opened or closed. Main memory holds one bit for a record and the caches of SQLite, whatever the size.
"""

import logging
import sqlite3
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from hashlib import blake2b
from pathlib import Path

from realqa_cli.errors import OutputError

log = logging.getLogger("realqa")

SUFFIX = ".index.sqlite"
_APPLICATION, _VERSION = 0x7265616C, 1  # "real" in ASCII
_CACHE_KILOBYTES = 32_000
_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS sorted (key BLOB, record INTEGER, PRIMARY KEY (key, record)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unsorted (key BLOB, record INTEGER);
CREATE TABLE IF NOT EXISTS covered (bytes INTEGER, lines INTEGER, records INTEGER, length INTEGER, digest BLOB);
"""
_DAMAGED = (sqlite3.Error, TypeError, ValueError)


@dataclass(frozen=True)
class Covered:
    """The first part of the file: its end in bytes, lines and records, and the length and digest of its last line."""

    end: int = 0
    lines: int = 0
    records: int = 0
    length: int = 0
    digest: bytes = b""

    def is_start_of(self, file: Path) -> bool:
        """Whether the file begins with it, as far as its last line shows."""
        try:
            with file.open("rb") as stream:
                stream.seek(self.end - self.length)
                return line_digest(stream.read(self.length)) == self.digest
        except (OSError, ValueError, OverflowError):
            return False


def index_file(file: Path) -> Path:
    """The index of a JSON Lines file."""
    return file.with_name(file.name + SUFFIX)


def remove_index(file: Path) -> None:
    """Remove the index of a file that is removed itself."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        index_file(file).with_name(f"{index_file(file).name}{suffix}").unlink(missing_ok=True)


class RecordIndex:
    """The keys of a file's records by the number of the record, from 1. The caller has locked the file.

    path: of the index; None keeps it in memory, for files that are small or read in full anyway.
    covered: what of the file it knows.  known: the number of records of earlier runs.
    """

    def __init__(self, path: Path | None) -> None:
        """Raises `OutputError` for a file of something else."""
        self.path = path
        self.covered = Covered()
        self.known = 0
        self._writable, self._settled = True, False
        self._taken = bytearray()
        self._taken_count = 0
        self._connection = self._connect()

    @property
    def unclaimed(self) -> int:
        """How many records of earlier runs were not claimed."""
        return self.known - self._taken_count

    def close(self) -> None:
        """Sort in what this run has added, so that the next run starts at once."""
        if self.path is not None and self._writable:
            with suppress(sqlite3.Error):  # the next run sorts, or makes it again
                self._sort()
                self._connection.execute("COMMIT")
        self._connection.close()

    def clear(self) -> None:
        """Forget all records. Raises `OutputError`."""
        self.covered = Covered()
        try:
            for table in ("sorted", "unsorted", "covered"):
                self._connection.execute(f"DELETE FROM {table}")
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def add(self, keys: Iterable[bytes], covered: Covered) -> None:
        """Note the next record of the file, which ends where `covered` does."""
        record = self.covered.records + 1
        self._insert((key, record) for key in keys)
        self.covered = replace(covered, records=record)

    def pass_over(self, covered: Covered) -> None:
        """Note a line that is not a record."""
        self.covered = replace(covered, records=self.covered.records)

    def learn(self, record: int, key: bytes) -> None:
        """Note one more key of a record."""
        self._insert([(key, record)])

    def settle(self) -> None:
        """From now on the records so far are those of earlier runs, which can be claimed. Raises `OutputError`."""
        self.known, self._settled = self.covered.records, True
        self._taken = bytearray(self.known // 8 + 1)
        try:
            self._sort()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        self.commit()

    def commit(self) -> None:
        """Bring the index to the disk; the file is there up to the end of `covered` already."""
        if self.path is None or not self._writable:
            return
        try:
            self._connection.execute("DELETE FROM covered")
            self._connection.execute("INSERT INTO covered VALUES (?, ?, ?, ?, ?)", astuple(self.covered))
            self._connection.execute("COMMIT")
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            self.stop_writing(error)

    def stop_writing(self, reason: object) -> None:
        """Leave the index as it is on the disk. The next run reads the records that it does not have."""
        if self.path is None or not self._writable:
            return
        log.warning("%s: cannot be written (%s); the next run reads the records again", self.path, reason)
        self._writable = False
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def claim(self, key: bytes) -> int | None:
        """The first record of an earlier run with this key that was not claimed yet; None where there is none."""
        for record in self._find(key):
            if not self._taken[record >> 3] & 1 << (record & 7):
                self._taken[record >> 3] |= 1 << (record & 7)
                self._taken_count += 1
                return record
        return None

    def has(self, key: bytes) -> bool:
        """Whether an earlier run has a record with this key."""
        return bool(self._find(key))

    def _find(self, key: bytes) -> list[int]:
        if not self.known:
            return []
        try:
            rows = self._connection.execute("SELECT record FROM sorted WHERE key = ? ORDER BY record", (key,))
            return [record for (record,) in rows if record <= self.known]
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _insert(self, rows: Iterable[tuple[bytes, int]]) -> None:
        if not self._writable or (self.path is None and self._settled):
            return
        try:
            self._connection.executemany("INSERT INTO unsorted VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            self.stop_writing(error)

    def _sort(self) -> None:
        """Move the keys of all records that are covered."""
        moved = "SELECT key, record FROM unsorted WHERE record <= ? ORDER BY key, record"
        self._connection.execute(f"INSERT OR IGNORE INTO sorted {moved}", (self.covered.records,))
        self._connection.execute("DELETE FROM unsorted")

    def _connect(self) -> sqlite3.Connection:
        if self.path is None:
            return self._open(":memory:")
        _check_ours(self.path)
        try:
            return self._open(str(self.path))
        except _DAMAGED:  # or of another version
            try:
                remove_index(self.path.with_name(self.path.name.removesuffix(SUFFIX)))
                return self._open(str(self.path))
            except (*_DAMAGED, OSError) as error:  # a file system that SQLite cannot use
                log.warning("%s: cannot be used (%s); the records are kept in memory", self.path, error)
                self.path = None
                return self._open(":memory:")

    def _open(self, path: str) -> sqlite3.Connection:
        """Raises `sqlite3.Error`, also for an index of another version."""
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # The lock of the file keeps others out, and a log ahead of the database survives every crash.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, _VERSION):
                raise sqlite3.DatabaseError("another version")
            if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")  # into the file itself, not the log
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KILOBYTES}")
            connection.executescript(_SCHEMA)
            row = connection.execute("SELECT * FROM covered").fetchone()
            self.covered = Covered(*row) if row else Covered()
            connection.execute("BEGIN")
        except BaseException:
            connection.close()
            raise
        return connection

    def _unusable(self, error: Exception) -> OutputError:
        return OutputError(f"cannot be read ({error})", where=str(self.path), remedy="delete it, and run again")


def key_digest(key: Hashable) -> bytes:
    """12 bytes for a key of any size."""
    return blake2b(repr(key).encode("utf-8", "surrogatepass"), digest_size=12).digest()


def line_digest(line: bytes) -> bytes:
    """12 bytes for a line as it is in the file, with its line end."""
    return blake2b(line, digest_size=12).digest()


def _check_ours(path: Path) -> None:
    """Raises `OutputError` for a file that is not an index."""
    try:
        with path.open("rb") as stream:
            head = stream.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot be read ({error.strerror})", where=str(path), remedy="delete it") from error
    if head and (head[:16] != b"SQLite format 3\0" or int.from_bytes(head[68:72], "big") != _APPLICATION):
        what = "exists and is not an index of realqa"
        raise OutputError(what, where=str(path), remedy="move it away, or choose another output")
