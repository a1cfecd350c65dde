"""Read and write Parquet files, by the optional package pyarrow."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import IO, Any

from realqa_cli.errors import UsageError, one_line

MARK = b"realqa"
"""Key in the metadata of the files that realqa writes."""

BATCH = 4096
"""Rows that are in memory at a time."""


def require_pyarrow(where: str) -> None:
    """Raises `UsageError`, naming `where`, if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        remedy = "pip install 'realqa[parquet]', or use .csv"
        raise UsageError("Parquet files need pyarrow, which is not installed", where=where, remedy=remedy)


def read_parquet(file: Path) -> Iterator[tuple[int, Sequence[Any]]]:
    """(row from 0, cells) of each row; row 0 holds the names of the columns. Raises `UsageError`."""
    require_pyarrow(str(file))
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as table:
            names = table.schema_arrow.names
            yield 0, names
            rows = chain.from_iterable(
                zip(*(column.to_pylist() for column in batch.columns), strict=True)
                for batch in table.iter_batches(BATCH)
            )
            yield from enumerate(rows, 1)
    except (ArrowException, OSError) as error:
        what = f"cannot be read as Parquet ({one_line(error, 200)})"
        raise UsageError(what, where=str(file), remedy="check that it is the right file") from error


def is_own_parquet(file: Path) -> bool:
    """Whether realqa wrote the file; False also where it cannot be read."""
    require_pyarrow(str(file))
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        return MARK in (read_metadata(file).metadata or {})
    except (ArrowException, OSError):
        return False


def write_parquet(stream: IO[bytes], columns: Mapping[str, set[type]], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows with these columns; `columns` holds the types of each column's cells, None aside.

    Numbers become int64 or float64, lists `list<float64>`; columns with several types become text.
    """
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    schema = pyarrow.schema([(name, _type(types)) for name, types in columns.items()], metadata={MARK: b"records"})
    as_text = [name for name in columns if schema.field(name).type == pyarrow.string()]
    with ParquetWriter(stream, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            cells = {name: row.get(name) for name in columns}
            batch.append(cells | {name: _text(cells[name]) for name in as_text})
            if len(batch) == BATCH:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pyarrow.Table.from_pylist(batch, schema))


def _type(types: set[type]) -> Any:
    import pyarrow

    if types == {list}:
        return pyarrow.list_(pyarrow.float64())
    if types == {bool}:
        return pyarrow.bool_()
    if types == {int}:
        return pyarrow.int64()
    return pyarrow.float64() if types and types <= {int, float} else pyarrow.string()


def _text(cell: Any) -> str | None:
    """The cell as text that is valid UTF-8."""
    if cell is None:
        return None
    text = str(cell).lower() if isinstance(cell, bool) else str(cell)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
