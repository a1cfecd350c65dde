"""The files that commands write: which suffix each kind has, and which existing file may be replaced.

Every option that names an output file is declared with an `OutputFile` among its annotations. Before a command
runs, `check_output_files` checks all of them: the suffix is that of the kind, the folder exists, the file is
neither an input nor an item of the run, and an existing file is one that realqa wrote, of the same kind, unless
--overwrite is given. An existing file that cannot be recognised by its content is never replaced.
"""

import inspect
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import typer

from realqa_cli.errors import UsageError
from realqa_cli.io import export, plots
from realqa_cli.io.jsonl import is_json_lines

PAGE_CREATOR = '<meta name="generator" content="realqa">'
"""The line in the head of HTML reports, by which `is_page` recognises them."""

_HEAD = 65536  # bytes at the start and at the end of a file that are searched


@dataclass(frozen=True)
class OutputKind:
    """A kind of file that a command writes.

    noun: what messages call it.  suffixes: in lower case, the usual one first.  is_ours: whether an existing
    file is one of this kind that realqa wrote.  continues: whether a run continues such a file instead of
    replacing it.
    """

    noun: str
    suffixes: tuple[str, ...]
    is_ours: Callable[[Path], bool]
    continues: bool = False


@dataclass(frozen=True)
class OutputFile:
    """Marks an option as the name of an output file, in its `Annotated` type.

    kind: of the file; for options that take a format and a file, the kind by format.
    """

    flag: str
    kind: OutputKind | Mapping[str, OutputKind]


def records_kind(noun: str, *fields: str, continues: bool = True, exports: bool = False) -> OutputKind:
    """JSON Lines whose records have all of the `fields`, or an error in place of them.

    exports: whether the command also writes the formats of `io.export`.
    """
    suffixes = (".jsonl", ".ndjson", *(export.EXPORTS if exports else ()))
    return OutputKind(noun, suffixes, lambda path: _has_fields(path, fields), continues)


def is_page(path: Path) -> bool:
    """Whether the file is an HTML report that realqa wrote."""
    return PAGE_CREATOR.encode() in _ends_of(path)


def is_plot(path: Path) -> bool:
    """Whether the file is a plot that realqa wrote."""
    return plots.CREATOR.encode() in _ends_of(path)


PLOT = OutputKind("a plot", plots.SUFFIXES, is_plot)
METRICS = OutputKind("a metrics file", (".prom",), lambda path: b"# HELP realqa_" in _ends_of(path))
PAGE = OutputKind("a report", (".html", ".htm"), is_page)


def output_files(command: Any) -> dict[str, OutputFile]:
    """The output options of a command, by the name of their parameter."""
    signature = inspect.signature(command.callback)
    found = {}
    for name, parameter in signature.parameters.items():
        for annotation in get_args(parameter.annotation):
            if isinstance(annotation, OutputFile):
                found[name] = annotation
    return found


def check_output_files(context: typer.Context) -> None:
    """Check every output option of the command that is about to run. Raises `UsageError`."""
    declared = output_files(context.command)
    given = list(_given(context, declared))
    params = context.params
    if not given:
        for name in ("overwrite", "no_resume"):
            if declared and params.get(name) and params.get("output") is None:
                flag = f"--{name.replace('_', '-')}"
                remedy = f"add {next(iter(declared.values())).flag} FILE"
                raise UsageError("applies to an output file", where=flag, remedy=remedy)
        return
    inputs = list(_inputs(context, declared))
    taken: dict[Path, str] = {}
    for flag, kind, path in given:
        _check_name(flag, kind, path)
        real = Path(os.path.realpath(path))
        if real in taken:
            raise UsageError(f"{path} is given twice", where=flag, remedy="choose another file")
        taken[real] = flag
        if any(_is_same(path, source) for source in inputs):
            raise UsageError(f"{path} is also an input", where=flag, remedy="choose another file")
        if path.exists() and _is_item(path, inputs):
            what = f"{path} is one of the photos or videos of this run"
            raise UsageError(what, where=flag, remedy="choose another file")
        for file in {path, export.records_file(path)} if export.is_export(path) else {path}:
            _check_existing(flag, kind, file, overwrite=bool(params.get("overwrite")), can="overwrite" in params)


def _given(context: typer.Context, declared: Mapping[str, OutputFile]) -> Iterator[tuple[str, OutputKind, Path]]:
    """(flag, kind, path) of the output options that were given."""
    for name, output in declared.items():
        value = context.params.get(name)
        if value is None:
            continue
        if isinstance(output.kind, OutputKind):
            yield output.flag, output.kind, value
        elif value[0] in output.kind:  # an unknown format is reported by the command
            yield output.flag, output.kind[value[0]], value[1]


def _inputs(context: typer.Context, declared: Collection[str]) -> Iterator[Path]:
    """Existing files and folders that other parameters of the command name."""

    def leaves(value: Any) -> Iterator[Any]:
        if isinstance(value, list | tuple):
            for part in value:
                yield from leaves(part)
        else:
            yield value

    for name, value in context.params.items():
        if name in declared:
            continue
        for part in leaves(value):
            after_name = part.partition(":")[2] if isinstance(part, str) else ""  # NAME:PATH of a data set
            for path in (part, after_name):
                if isinstance(path, str | Path) and str(path) and _exists(Path(path)):
                    yield Path(path)


def _check_name(flag: str, kind: OutputKind, path: Path) -> None:
    """Raises `UsageError` for a name that no file of this kind can have."""
    if str(path) == "-":
        remedy = "leave it out to have the records on stdout" if kind.continues else "name a file"
        raise UsageError("needs the name of a file", where=flag, remedy=remedy)
    if path.is_dir():
        raise UsageError(f"{path} is a folder", where=flag, remedy="name a file in it")
    if not path.name.lower().endswith(kind.suffixes) or path.name.lower() in kind.suffixes:
        *others, last = kind.suffixes
        ends = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"{path} does not have the suffix of {kind.noun}", where=flag, remedy=f"end it in {ends}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", where=flag, remedy="create it first")


def _check_existing(flag: str, kind: OutputKind, path: Path, *, overwrite: bool, can: bool) -> None:
    """Raises `UsageError` for an existing file that the run may not replace or continue."""
    if overwrite or not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file", where=flag, remedy="choose another file")
    if path.stat().st_size and not kind.is_ours(path):
        remedy = "choose another file, or add --overwrite to replace it" if can else "choose another file"
        raise UsageError(f"{path} exists and is not {kind.noun} of realqa", where=flag, remedy=remedy)


def _is_item(path: Path, inputs: Sequence[Path]) -> bool:
    """Whether an existing file is an item of the run: a medium below a folder, or named in a list."""
    from realqa_cli.media.kinds import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    real = Path(os.path.realpath(path))
    medium = real.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    for source in inputs:
        if source.is_dir():
            if medium and Path(os.path.realpath(source)) in real.parents and not is_plot(path):
                return True
        elif is_json_lines(source) and _is_listed(path, source):
            return True
    return False


def _is_listed(path: Path, source: Path) -> bool:
    """Whether a record of the JSON Lines file names the path as its photo or video."""
    from realqa_cli.io.jsonl import read_lines

    for _, record in read_lines(source):
        if not isinstance(record, dict):
            continue
        names = [record.get("image"), record.get("video"), *(record.get("images") or ())]
        listed = [name for name in names if isinstance(name, str) and os.path.basename(name) == path.name]
        if any(_is_same(path, place / name) for name in listed for place in (source.parent, Path())):
            return True
    return False


def _has_fields(path: Path, fields: Sequence[str]) -> bool:
    """Whether the first records of a file are of the kind with these fields."""
    from realqa_cli.io.jsonl import read_lines

    if not is_json_lines(path):
        return export.has_fields(path, fields)
    for _, record in islice(read_lines(path), 20):
        if not isinstance(record, dict):
            return _is_torn(path)
        if record.get("error") is None:
            return all(field in record for field in fields)
    return True  # failed items only, or nothing


def _is_torn(path: Path) -> bool:
    """Whether the file holds no more than a part of one record, as after a crash; `Appender` repairs that."""
    data = path.read_bytes() if path.stat().st_size < _HEAD else b"\n"
    return b"\n" not in data and data.rstrip(b"\0")[:1] in (b"{", b"")


def _ends_of(path: Path) -> bytes:
    """The start and the end of a file; nothing where it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            stream.seek(max(0, path.stat().st_size - _HEAD))
            return head + stream.read()
    except OSError:
        return b""


def is_json(path: Path, check: Callable[[Any], bool]) -> bool:
    """Whether the file is JSON for which `check` is true."""
    try:
        return check(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, IndexError):
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_same(path: Path, other: Path) -> bool:
    try:
        return os.path.realpath(path) == os.path.realpath(other) or os.path.samefile(path, other)
    except (OSError, ValueError):
        return False
