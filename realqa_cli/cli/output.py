"""Where a run's records go: to a file or to stdout, as JSON Lines, a table, the best N, and into the report.

A command makes a `RecordWriter`, passes it every record of its step, and returns the exit code of `finish`.
"""

import heapq
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import typer

from realqa_cli.cli.option_values import dataset_selection
from realqa_cli.cli.reporter import ProgressBar, Reporter
from realqa_cli.datasets import DatasetSelection
from realqa_cli.domain.scales import LEAST_MASS
from realqa_cli.io.appender import Appender, Key
from realqa_cli.io.export import Derived, ExportFile, is_export, records_file
from realqa_cli.io.jsonl import dump_line, read_lines, write_atomic
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.run_files import read_completed, read_runs, write_runs
from realqa_cli.io.shards import Shard

if TYPE_CHECKING:
    from realqa_cli.cli.views.report import Report

Record = Mapping[str, Any]
Clear = Callable[[], None]
"""Removes the progress bar from the terminal; called before the first line is printed."""


@dataclass(frozen=True)
class OutputOptions:
    """The options about input and output.

    output: file to append to.  resume: whether to continue after the records in it; otherwise a file that is
    not empty is refused, or with `overwrite` emptied.  top: how many of the best records are printed.
    """

    output: Path | None
    resume: bool = True
    overwrite: bool = False
    json: bool = False
    table: bool = False
    top: int | None = None
    report: Path | None = None
    sources: Sequence[str] = ()
    dataset: DatasetSelection | None = None
    files_from: str | None = None
    shard: Shard | None = None
    limit: int | None = None

    @classmethod
    def of(cls, context: typer.Context) -> Self:
        """From the options of a command that has some of them. `--overwrite` implies `--no-resume`."""
        params = context.params
        overwrite = bool(params.get("overwrite"))
        return cls(
            params["output"],
            resume=not (params.get("no_resume") or overwrite),
            overwrite=overwrite,
            json=bool(params.get("json")),
            table=bool(params.get("table")),
            top=params.get("top"),
            report=params.get("report"),
            sources=params.get("sources") or (),
            dataset=dataset_selection(context) if "dataset" in params else None,
            files_from=params.get("files_from"),
            shard=params.get("shard"),
            limit=params.get("limit"),
        )

    def appender(self, key: Key, derived: Derived | None = None) -> Appender | None:
        """The output file, to be entered; None for stdout. `key` says which records are the same work.

        derived: fields that need all records, for outputs that are written at the end of the run.
        """
        if self.output is None:
            return None
        how: dict[str, Any] = {"resume": self.resume, "overwrite": self.overwrite, "key": key}
        return (
            ExportFile(self.output, **how, derived=derived) if is_export(self.output) else Appender(self.output, **how)
        )


class Sink(Protocol):
    """Takes records one by one; `close` prints what was held back."""

    def write(self, record: Record) -> None:
        """Take the next record."""
        ...

    def close(self) -> None:
        """Print what was held back; there are no more records."""
        ...


class JsonLines:
    """One line per record on stdout, flushed, so that the next program in the pipe sees it at once."""

    def __init__(self, clear: Clear = lambda: None) -> None:
        self._clear = clear if sys.stdout.isatty() else None

    def write(self, record: Record) -> None:
        """Print the record."""
        if self._clear:
            self._clear()
        sys.stdout.buffer.write(dump_line(record).encode() + b"\n")
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Nothing was held back."""


class Best:
    """Passes on the `count` best scores, best first, the earlier of equal ones first. Drops failed items."""

    def __init__(self, count: int, sink: Sink) -> None:
        self._count, self._sink = count, sink
        self._heap: list[tuple[float, int, Record]] = []
        self._index = 0

    def write(self, record: Record) -> None:
        """Keep the record while it is among the best."""
        if record.get("error") is not None:
            return
        self._index += 1  # unique, so that records themselves are never compared
        entry = (record["score"], -self._index, record)
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def close(self) -> None:
        """Pass on what was kept."""
        for _, _, record in sorted(self._heap, key=lambda entry: entry[:2], reverse=True):
            self._sink.write(record)
        self._sink.close()


class Discard:
    """For records that go to a file and are not printed."""

    def write(self, record: Record) -> None:
        """Drop the record."""

    def close(self) -> None:
        """Nothing was held back."""


@dataclass
class MeanMass:
    """The mean of the field `mass` of score records."""

    total: float = 0.0
    count: int = 0

    def add(self, record: Record) -> None:
        """Add the mass of a record that has one."""
        mass = record.get("mass")
        if "scale" in record and isinstance(mass, float):
            self.total, self.count = self.total + mass, self.count + 1

    def warnings(self) -> list[str]:
        """The warning for a mean below `LEAST_MASS`, with what to do."""
        if not self.count or self.total / self.count >= LEAST_MASS:
            return []
        return [
            f"warning: the model gives scores on the scale a probability of {self.total / self.count:.2g} on average"
            " (the field mass): it does not answer with such scores, and they mean little; use a model or an adapter"
            " that was trained for it, check --scale and --digits, or try --method levels"
        ]


@dataclass
class RecordWriter:
    """Takes the records of a run; a context manager, which locks the output file.

    table: makes the sink for a terminal, where the command has one.  did: what the summary says of items.
    """

    options: OutputOptions
    reporter: Reporter
    bar: ProgressBar
    table: Callable[[Clear], Sink] | None = None
    did: str = "scored"
    succeeded: int = 0
    failed: int = 0
    done_before: int = 0
    _runs: frozenset[str] = frozenset()
    _masses: MeanMass = field(default_factory=MeanMass)
    _file: Appender | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        appender = self.options.appender(_key)
        if appender is not None:
            self._file = self._stack.enter_context(appender)
            if self._file.repaired:
                self.reporter.say(f"{self.options.output}: {self._file.repaired}")
        self._sink = self._make_sink()
        self._report = _new_report() if self.options.report else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if isinstance(error, KeyboardInterrupt):
            if self._file is None:
                self._sink.close()
            kept = ", kept" if self._file is not None else ""
            raise KeyboardInterrupt(f"{self.succeeded + self.failed} done{kept}") from None

    def begin(self, manifest: Manifest) -> None:
        """Write the manifest next to the output or to stderr, and find out which items are done already."""
        self.manifest: dict[str, Any] = json.loads(json.dumps(manifest.as_json()))  # as read from a file
        self.bar.working(manifest.command)
        if self.options.output is None:
            self.reporter.manifest(self.manifest)
            return
        runs = read_runs(self.options.output) if self.options.resume else {}
        completed = read_completed(self.options.output) if self.options.resume else None
        same = {run for run, other in runs.items() if other.get("settings") == self.manifest["settings"]}
        self._runs = frozenset(same | {manifest.run})
        self._written = runs | {manifest.run: self.manifest}
        others = {shard: items for shard, items in (completed or {}).items() if shard != self._shard}
        self._completed = others
        write_runs(self.options.output, self._written, others)

    def done(self, name: str, content: str) -> bool:
        """Whether the file has this item from an earlier run with the same settings."""
        if self._file is None or not any(self._file.take((name, content, run)) for run in self._runs):
            return False
        self.done_before += 1
        self.bar.advance(failed=self.failed, done_before=True)
        return True

    def take(self, records: Iterable[Record]) -> None:
        """Write every record as it comes."""
        for record in records:
            failed = record.get("error") is not None
            if self._file is not None:
                self._file.append(record)
            else:
                self._sink.write(record)
            if self._report is not None and (self._file is None or failed):
                self._report.add(record)
            self.succeeded += not failed
            self.failed += failed
            self._masses.add(record)
            self.bar.advance(failed=self.failed)

    def finish(self) -> int:
        """Print and write what needs all records, then the summary. Returns 1 where items failed, else 0."""
        if self._file is not None and (self.options.top or self._report):
            for record in self._records_in_file():
                self._sink.write(record)
                if self._report is not None:
                    self._report.add(record)
        self._sink.close()
        if self._report is not None and self.options.report is not None:
            write_atomic(self.options.report, self._report.html(self.manifest))
        self.bar.stop()
        for line in (*self.reporter.summary, *self._masses.warnings()):
            self.reporter.say(line)
        counts = [(self.succeeded, self.did), (self.done_before, "done before"), (self.failed, "failed")]
        total = sum(count for count, _ in counts)
        parts = ", ".join(f"{count} {word}" for count, word in counts if count)
        self.reporter.say(f"{total} {'item' if total == 1 else 'items'}: {parts or 'nothing to do'}")
        if self.options.output is not None and self.options.limit is None:
            own = {self._shard: {"items": total, "failed": self.failed}}
            write_runs(self.options.output, self._written, self._completed | own)
        return 1 if self.failed else 0

    @property
    def _shard(self) -> str:
        return str(self.options.shard or "1/1")

    def _make_sink(self) -> Sink:
        if self.options.output is not None and self.options.top is None:
            return Discard()
        sink = self._stdout_sink()
        return sink if self.options.top is None else Best(self.options.top, sink)

    def _stdout_sink(self) -> Sink:
        """A table, if the command has one and stdout is a terminal; else JSON Lines."""
        table = self.options.table or (sys.stdout.isatty() and not self.options.json)
        return self.table(self.bar.stop) if self.table and table else JsonLines(self.bar.stop)

    def _records_in_file(self) -> Iterator[dict[str, Any]]:
        """The results in the file that were made with the settings of this run, now or earlier."""
        assert self.options.output is not None
        records = records_file(self.options.output)
        for _, record in read_lines(records if records.exists() else self.options.output):
            if isinstance(record, dict) and record.get("error") is None and record.get("run") in self._runs:
                yield record


def _key(record: Record) -> tuple[str, str, str] | None:
    """What makes two records the same work; None for failed items, which are tried again."""
    match record.get("image") or record.get("video"), record.get("content"), record.get("run"):
        case str(name), str(content), str(run) if record.get("error") is None:
            return name, content, run
    return None


def _new_report() -> "Report":
    """An empty report; its libraries are loaded only where one was requested."""
    from realqa_cli.cli.views.report import Report

    return Report(_path_of)


def _path_of(record: Record) -> Path | None:
    name = record.get("image") or record.get("video")
    return Path(name) if name else None
