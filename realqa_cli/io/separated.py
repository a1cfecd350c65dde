"""Text tables in the dialects that spreadsheets write: delimiters, encodings, the ``sep=`` line.

The delimiter is the one that gives every row the same number of cells. Text is UTF-8 or UTF-16, or else
Windows-1252, with a warning.
"""

import csv
import io
import logging
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from realqa_cli.errors import UsageError
from realqa_cli.io.jsonl import open_binary

log = logging.getLogger("realqa")

DELIMITERS = (",", "\t", ";", "|")

_SAMPLE = 50  # rows that the delimiter is chosen by
_HINT = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


def read_separated(
    file: Path, known: Sequence[str] = (), delimiter: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """(line from 1, cells) of each row; a quoted cell may span lines. Raises `UsageError`.

    `known` are usual names of columns, which decide where two delimiters fit equally well. A `delimiter` is not
    looked for; a space stands for any white space, and such cells are not quoted.
    """
    text = read_text(file)
    if delimiter == " ":
        yield from ((number, line.split()) for number, line in enumerate(text.splitlines(), 1))
        return
    hint = _HINT.match(text)
    skipped = 1 if hint and text[hint.end() - 1] in "\r\n" else 0
    text = text[hint.end() :] if hint and skipped else text
    mark = delimiter or (hint[1] if hint and skipped else _delimiter(text, known))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        for cells in reader:
            yield reader.line_num + skipped, cells
    except csv.Error as error:
        where = f"{file}:{reader.line_num + skipped}"
        raise UsageError(f"cannot be read as CSV ({error})", where=where, remedy="correct the line") from error


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, UTF-16 or Windows-1252. Raises `UsageError`."""
    with open_binary(file) as stream:
        try:
            data = stream.read()
        except OSError as error:
            raise UsageError(f"cannot be read ({error.strerror or error})", where=str(file)) from error
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return _decode(data, encoding, file)
    if b"\0" in data[:4]:
        return _decode(data, "utf-16-be" if data[:1] == b"\0" else "utf-16-le", file)
    if b"\0" in data:
        raise UsageError("this is not a text file", where=str(file), remedy="check that it is the right one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = _decode(data, "cp1252", file)
    log.warning("%s: not in UTF-8; read as Windows-1252. Save it as UTF-8 if names look wrong", file)
    return text


def _decode(data: bytes, encoding: str, file: Path) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"{file}:{line}"
        what = f"neither UTF-8 nor {encoding} ({error.reason})" if encoding == "cp1252" else f"not valid {encoding}"
        raise UsageError(what, where=where, remedy="save it as UTF-8") from error


def _delimiter(text: str, known: Sequence[str]) -> str:
    """The delimiter with which the rows have equally many cells, and most of them; else one of the header's."""
    fitting = []
    for i, mark in enumerate(DELIMITERS):
        header, *rows = _sample(text, mark) or [[]]
        if len(header) > 1 and all(_fits(row, header) for row in rows):
            names = sum(cell.strip().casefold() in known for cell in header)
            fitting.append((len(header), names, -i, mark))
    if fitting:
        return max(fitting)[-1]
    first = text.partition("\n")[0]
    return next((mark for mark in DELIMITERS if mark in first), ",")


def _sample(text: str, mark: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        return list(islice((cells for cells in reader if any(cells)), _SAMPLE))
    except csv.Error:
        return []


def _fits(row: Sequence[str], header: Sequence[str]) -> bool:
    return len(row) == len(header) or not any(cell.strip() for cell in [*row[len(header) :], *header[len(row) :]])
