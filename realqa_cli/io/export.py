"""Outputs in other formats than JSON Lines: `.jsonl.gz`, `.csv` and `.parquet`.

These formats cannot be appended to durably. A run therefore appends its records to a JSON Lines file next to the
output, `FILE.records.jsonl`, as it would to an output in that format, and a later run continues that file. FILE
itself is written from it as a whole when the run ends, also after an interrupt: its name never shows part of a
table. The file of records of a `.jsonl.gz` is removed when the output is complete, because the output holds the same.

CSV is UTF-8, with one line per record and the columns of `flat`; names that are not UTF-8 have escapes such as
``\\udc80``. Parquet has the same columns with types, and needs the package pyarrow.
"""

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, Self

from realqa_cli.errors import OutputError, RecordError
from realqa_cli.io.appender import Appender, Key
from realqa_cli.io.flat import ERROR_COLUMN, flat, is_flat
from realqa_cli.io.jsonl import dump_line, open_binary, read_lines, replacing
from realqa_cli.io.parquet import is_own_parquet, require_pyarrow, write_parquet
from realqa_cli.io.record_index import remove_index

Record = Mapping[str, Any]

GZIP, CSV, PARQUET = (".jsonl.gz", ".ndjson.gz"), ".csv", ".parquet"
EXPORTS = (".jsonl.gz", CSV, PARQUET)
"""The suffixes of these outputs, as messages list them."""

_RECORDS = ".records.jsonl"
_GZIP_LEVEL = 6
_INT64 = 2**63


class Derived(Protocol):
    """Fields that need all records of the file, such as a percentile."""

    def add(self, record: Record) -> None:
        """Take the next record; called for all of them first."""
        ...

    def extended(self, record: Record) -> Record:
        """The record with the fields."""
        ...


def is_export(output: Path) -> bool:
    """Whether an output is written at the end of a run instead of being appended to."""
    return output.name.lower().endswith((*GZIP, CSV, PARQUET))


def records_file(output: Path) -> Path:
    """The JSON Lines file that a run with this output appends to: the output itself or `FILE.records.jsonl`."""
    output = Path(os.path.realpath(output))
    return output.with_name(output.name + _RECORDS) if is_export(output) else output


def has_fields(output: Path, fields: Iterable[str]) -> bool:
    """Whether an existing `.csv` or `.parquet` file is one of ours whose records have these fields."""
    if output.suffix.lower() == PARQUET:
        return is_own_parquet(output)
    with open_binary(output) as stream:
        line = stream.readline(65536).decode("utf-8", "replace")
    columns = next(csv.reader([line]), [])
    return is_flat(columns) and all(field in columns or field == "attributes" for field in fields)


class ExportFile(Appender):
    """An `Appender` of `FILE.records.jsonl` that writes FILE when it is closed.

    derived: fields that FILE has and `FILE.records.jsonl` has not.
    Entering raises `OutputError` where FILE has records that a run cannot continue, and `UsageError` where the
    format needs a package that is not installed.
    """

    def __init__(
        self,
        output: Path,
        *,
        resume: bool = True,
        overwrite: bool = False,
        key: Key = lambda record: None,
        derived: Derived | None = None,
        **more: Any,
    ) -> None:
        """more: further arguments of `Appender`."""
        self.output, self.derived = Path(os.path.realpath(output)), derived
        super().__init__(records_file(output), resume=resume, overwrite=overwrite, key=key, **more)

    def __enter__(self) -> Self:
        if self.output.suffix.lower() == PARQUET:
            require_pyarrow(str(self.output))
        if self.output.exists() and self.output.stat().st_size and not self.path.exists() and not self.overwrite:
            if not self.resume:
                remedy = "add --overwrite to replace it, or choose another output"
                raise OutputError("the file is not empty", where=str(self.output), remedy=remedy)
            self._recover()
        return super().__enter__()

    def __exit__(self, *raised: object) -> None:
        kind = raised[0] if raised else None
        try:
            if kind is None or kind is KeyboardInterrupt:
                self.flush()
                self._export()
        finally:
            super().__exit__(*raised)
        if kind is None and self.output.name.lower().endswith(GZIP):
            self.path.unlink()
            self.path.with_name(f"{self.path.name}.lock").unlink(missing_ok=True)
            remove_index(self.path)

    def _recover(self) -> None:
        """Make `FILE.records.jsonl` again, from a `.jsonl.gz` that an earlier run completed."""
        if not self.output.name.lower().endswith(GZIP):
            what = f"cannot be continued, because {self.path.name} is gone"
            remedy = "add --overwrite to start over, or choose another output"
            raise OutputError(what, where=str(self.output), remedy=remedy)
        with open_binary(self.output) as packed, replacing(self.path) as stream:
            for line in packed:
                stream.write(line)

    def _export(self) -> None:
        if self.derived is not None:
            for record in self._records():
                self.derived.add(record)
        if self.output.name.lower().endswith(GZIP):
            with replacing(self.output) as stream:
                _write_gzip(stream, self._extended())
            return
        columns: dict[str, set[type]] = {}
        for record in self._extended():
            for name, cell in flat(record).items():
                types = columns.setdefault(name, set())
                if cell is not None:
                    types.add(str if isinstance(cell, int) and abs(cell) >= _INT64 else type(cell))
        for name in (ERROR_COLUMN, "error_message"):  # last, also where the first records succeeded
            columns[name] = columns.pop(name, {str})
        write = _write_csv if self.output.suffix.lower() == CSV else write_parquet
        with replacing(self.output) as stream:
            write(stream, columns, map(flat, self._extended()))

    def _records(self) -> Iterator[Record]:
        for _, record in read_lines(self.path):
            if not isinstance(record, RecordError):
                yield record

    def _extended(self) -> Iterator[Record]:
        derived = self.derived
        return self._records() if derived is None else map(derived.extended, self._records())


def _write_gzip(stream: IO[bytes], records: Iterable[Record]) -> None:
    # Without name and time in the head, equal records give equal files.
    with gzip.GzipFile("", "wb", _GZIP_LEVEL, stream, mtime=0) as packed:
        for record in records:
            packed.write(dump_line(record).encode("utf-8") + b"\n")


def _write_csv(stream: IO[bytes], columns: Mapping[str, object], rows: Iterable[Mapping[str, Any]]) -> None:
    text = io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_csv_cell(row.get(name)) for name in columns])
    text.flush()
    text.detach()


def _csv_cell(cell: Any) -> Any:
    if isinstance(cell, bool | list):
        return json.dumps(cell)
    return cell
