"""Lists of photos and videos in files of any suffix: JSON Lines, a JSON list, a table, or one path a line.

What a list is, is decided by its content; tables are recognised by their suffix.
"""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from realqa_cli.errors import RecordError, UsageError, one_line
from realqa_cli.io.jsonl import finite_or_none, is_json_lines, open_binary, records_of, text_lines
from realqa_cli.io.record_files import NumberedRecord as NumberedRecord
from realqa_cli.io.record_files import read_table_records
from realqa_cli.io.separated import read_text
from realqa_cli.io.tables import TABLES
from realqa_cli.media.kinds import SURE_SUFFIXES, kind_of_file, suffix_of

PATH_LISTS = (".txt", ".lst", ".list")


def is_list(path: str) -> bool:
    """Whether a source is a list by its suffix or its first byte, and not a photo or video by suffix or content."""
    suffix = suffix_of(path)
    if is_json_lines(path):
        return True
    if suffix in SURE_SUFFIXES:  # without opening it
        return False
    if not os.path.isfile(path) or kind_of_file(path) is not None:
        return False
    return suffix in (*TABLES, *PATH_LISTS) or _begins_json(path)


def read_whole_list(path: str) -> list[NumberedRecord] | None:
    """All records of a JSON list, a table or a list of paths; None for JSON Lines, which are read line by line.

    Raises `UsageError`.
    """
    suffix = suffix_of(path)
    if is_json_lines(path):
        return None
    if suffix in TABLES:
        return [*read_table_records(Path(path), remedy=None)]
    if _begins_json(path):
        return read_json_items(Path(path))
    text = read_text(Path(path))
    return [(number, {"image": line}) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def read_json_items(file: Path) -> list[NumberedRecord] | None:
    """The items of a JSON list, or one JSON object; None where the file is JSON Lines. Raises `UsageError`."""
    try:
        whole = json.loads(read_text(file), parse_constant=finite_or_none, parse_float=finite_or_none)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return None
        what = f"cannot be read as JSON ({one_line(error, 200)})"
        raise UsageError(what, where=str(file), remedy="correct it, or write one object a line") from error
    items = whole if isinstance(whole, list) else [whole]
    return [(number, _record(item, f"{file}:{number}")) for number, item in enumerate(items, 1)]


def records_on_stdin(lines: Iterable[bytes | str]) -> Iterator[NumberedRecord]:
    """The records of JSON Lines, or of a list of paths, as `ls` and `find` print them: the first line decides."""
    numbered = enumerate(lines, 1)
    blank = []
    for number, line in numbered:
        if not line.strip():
            blank.append(line)
            continue
        rest = (each for _, each in numbered)
        if _is_json(line):
            yield from records_of(chain(blank, [line], rest), "<stdin>")
        else:
            yield from (
                (n, {"image": name}) for n, each in enumerate(chain([line], rest), number) if (name := _name(each))
            )


def paths_of(lines: Iterable[bytes | str]) -> Iterator[NumberedRecord]:
    """A record for each line that is not empty: the line is a path, whatever it looks like."""
    for number, line in enumerate(lines, 1):
        if name := _name(line):
            yield number, {"image": name}


def _is_json(line: bytes | str) -> bool:
    name = _name(line).lstrip("\ufeff \t")
    return name[:1] in ("{", "[") and not os.path.lexists(name)


def _name(line: bytes | str) -> str:
    """The line as a path, without its line end; bytes that are not UTF-8 as Python represents file names."""
    return (line if isinstance(line, str) else os.fsdecode(line)).rstrip("\r\n")


def first_character(file: Path) -> str:
    """The first character of a text file that is not blank; "" where there is none. Raises `UsageError`."""
    with open_binary(file) as stream:
        for line in text_lines(stream):
            text = line if isinstance(line, str) else line[:256].decode("utf-8", "replace")
            if text := text.lstrip("\ufeff \t\r\n"):
                return text[0]
    return ""


def _begins_json(path: str) -> bool:
    try:
        return first_character(Path(path)) in ("{", "[")
    except (OSError, UsageError, UnicodeDecodeError):
        return False


def _record(item: object, where: str) -> dict[str, Any] | RecordError:
    if isinstance(item, str):
        return {"image": item}
    if isinstance(item, dict):
        return item
    return RecordError(
        f"an item of the list is of type {type(item).__name__}, not an object", type="record", where=where
    )
