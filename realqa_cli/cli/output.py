"""Where a run's records go: to a file or to stdout, as JSON Lines, a table, the best N, and into the report.

A command makes a `RecordWriter`, passes it every record of its step, and returns the exit code of `finish`.
"""

import json
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from realqa_cli.cli.best import Best
from realqa_cli.cli.mean_mass import MeanMass
from realqa_cli.cli.option_values import dataset_selection
from realqa_cli.cli.percentiles import Percentiles
from realqa_cli.cli.reporter import ProgressBar, Reporter
from realqa_cli.cli.sinks import Clear as Clear
from realqa_cli.cli.sinks import Discard, Record
from realqa_cli.cli.sinks import JsonLines as JsonLines
from realqa_cli.cli.sinks import Sink as Sink
from realqa_cli.datasets import DatasetSelection
from realqa_cli.errors import UsageError
from realqa_cli.io.appender import Appender, Key
from realqa_cli.io.export import Derived, ExportFile, is_export, records_file
from realqa_cli.io.finished_items import RESUME_BY, FinishedItems, ResumeBy, name_key, record_key
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.run_files import read_completed, read_runs, write_runs
from realqa_cli.io.shards import Shard

if TYPE_CHECKING:
    from realqa_cli.cli.score_summary import ScoreSummary
    from realqa_cli.cli.views.report import Report


@dataclass(frozen=True)
class OutputOptions:
    """The options about input and output.

    output: file to append to.  resume: whether to continue after the records in it; otherwise a file that is
    not empty is refused, or with `overwrite` emptied.  top: how many of the best records are printed.
    resume_by: what tells whether an item is finished.
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
    resume_by: ResumeBy = "stat"

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
            resume_by=_resume_by(params.get("resume_by")),
        )

    def appender(self, key: Key, derived: Derived | None = None, **more: Any) -> Appender | None:
        """The output file, to be entered; None for stdout. `key` says which records are the same work.

        derived: fields that need all records, for outputs that are written at the end of the run.
        more: further arguments of `Appender`.
        """
        if self.output is None:
            return None
        how: dict[str, Any] = {"resume": self.resume, "overwrite": self.overwrite, "key": key, **more}
        return (
            ExportFile(self.output, **how, derived=derived) if is_export(self.output) else Appender(self.output, **how)
        )


MOST_FAILURES = 2000
"""Failed items that the table of an output file shows."""


@dataclass
class RecordWriter:
    """Takes the records of a run; a context manager, which locks the output file.

    table: makes the sink for a terminal, where the command has one.  did: what the summary says of items.
    closing: takes the records and gives the last lines of the run, where the command has such lines.
    finished: the items that the output has from runs with the same settings; None without an output, and with `key`.
    key: of records that are not about one item: a name, a content and the run.  noun: what the summary calls them.
    """

    options: OutputOptions
    reporter: Reporter
    bar: ProgressBar
    table: Callable[[Clear], Sink] | None = None
    did: str = "scored"
    closing: "ScoreSummary | None" = None
    key: Key | None = None
    noun: str = "item"
    succeeded: int = 0
    failed: int = 0
    done_before: int = 0
    finished: FinishedItems | None = None
    _runs: frozenset[str] = frozenset()
    _masses: MeanMass = field(default_factory=MeanMass)
    _percentiles: Percentiles = field(default_factory=Percentiles)
    _failures: list[Record] = field(default_factory=list)  # for the table of an output file
    _start: float = 0.0
    _seconds: float = 0.0
    _file: Appender | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        how: dict[str, Any] = {} if self.key else {"also": name_key, "indexed": True}
        appender = self.options.appender(self.key or record_key, self._percentiles, **how)
        if appender is not None:
            self._file = self._stack.enter_context(appender)
            if self._file.repaired:
                self.reporter.say(f"{self.options.output}: {self._file.repaired}")
        self._sink = self._make_sink()
        self._report = _new_report(self.options) if self.options.report else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds = time.monotonic() - self._start
        self._stack.__exit__(kind, error, trace)
        if isinstance(error, KeyboardInterrupt):
            if self._file is None:
                self._sink.close()
            kept = ", kept" if self._file is not None else ""
            raise KeyboardInterrupt(f"{self.succeeded + self.failed} done{kept}") from None

    def begin(self, manifest: Manifest) -> None:
        """Write the manifest next to the output or to stderr, and find out which items are done already."""
        self.manifest: dict[str, Any] = json.loads(json.dumps(manifest.as_json()))  # as read from a file
        self.bar.working(manifest.command)
        self._start = time.monotonic()
        if self.options.output is None:
            self.reporter.manifest(self.manifest)
            return
        runs = read_runs(self.options.output) if self.options.resume else {}
        completed = read_completed(self.options.output) if self.options.resume else None
        same = {run for run, other in runs.items() if other.get("settings") == self.manifest["settings"]}
        self._runs = frozenset(same | {manifest.run})
        self._written = runs | {manifest.run: self.manifest}
        self._percentiles.use_runs(self._written)
        others = {shard: items for shard, items in (completed or {}).items() if shard != self._shard}
        self._completed = others
        write_runs(self.options.output, self._written, others)
        if self._file is not None and self.key is None:
            how: dict[str, Any] = {"resume_by": self.options.resume_by, "on_found": self._count_finished}
            self.finished = FinishedItems(self._file, self._runs, **how)

    def done(self, name: Hashable, content: Hashable) -> bool:
        """Whether the file has a record with this `key` from an earlier run with the same settings."""
        found = self._file is not None and any(self._file.take((name, content, run)) for run in self._runs)
        if found:
            self._count_finished()
        return found

    def take(self, records: Iterable[Record]) -> None:
        """Write every record as it comes."""
        for record in records:
            failed = record.get("error") is not None
            if self._file is not None:
                (self.finished or self._file).append(record)
                if failed and self.options.table and len(self._failures) < MOST_FAILURES:
                    self._failures.append(record)
            else:
                self._sink.write(record)
            if self._report is not None and (self._file is None or failed):
                self._report.add(record)
            self.succeeded += not failed
            self.failed += failed
            self._masses.add(record)
            if self.closing is not None:
                self.closing.add(record)
            self.bar.advance(failed=self.failed)

    def finish(self) -> int:
        """Print and write what needs all records, then the summary. Returns 1 where items failed, else 0."""
        self._read_file()
        self._sink.close()
        if self._report is not None and self.options.report is not None:
            self._report.write(self.options.report, self.manifest, self.reporter.say)
        self.bar.stop()
        for line in (*self.reporter.summary_lines(), *self._masses.warnings()):
            self.reporter.say(line)
        counts = [(self.succeeded, self.did), (self.done_before, "done before"), (self.failed, "failed")]
        total = sum(count for count, _ in counts)
        parts = ", ".join(f"{count} {word}" for count, word in counts if count)
        self.reporter.say(f"{total} {self.noun}{'' if total == 1 else 's'}: {parts or 'nothing to do'}")
        if self.options.output is not None and self.options.limit is None:
            own = {self._shard: {"items": total, "failed": self.failed}}
            write_runs(self.options.output, self._written, self._completed | own)
        if self.closing is not None:
            done = self.succeeded + self.failed
            for line in self.closing.lines(self.options.output, self.options.report, done, self._seconds):
                self.reporter.say(line)
        return 1 if self.failed else 0

    def _count_finished(self) -> None:
        self.done_before += 1
        self.bar.advance(failed=self.failed, done_before=True)

    def _read_file(self) -> None:
        """Pass the records in the output file, those of earlier runs with these settings too, to what shows them."""
        options = self.options
        shown = options.top or options.table or self._report is not None
        if self._file is None or not (shown or (self.closing is not None and self.done_before)):
            return
        percentiles = Percentiles()  # of the records in the file, without failed ones
        percentiles.use_runs(dict.fromkeys(self._runs, self.manifest))
        for record in self._records_in_file() if shown else ():
            percentiles.add(record)
        if self.closing is not None:
            self.closing = type(self.closing)()
        for scored in map(percentiles.extended, self._records_in_file()):
            self._sink.write(scored)
            for taker in (self._report, self.closing):
                if taker is not None:
                    taker.add(scored)
        for failed in self._failures:
            self._sink.write(failed)

    @property
    def _shard(self) -> str:
        return str(self.options.shard or "1/1")

    def _make_sink(self) -> Sink:
        if self.options.output is not None and self.options.top is None and not self.options.table:
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


def _resume_by(given: str | None) -> ResumeBy:
    """Raises `UsageError`."""
    known = next((each for each in RESUME_BY if each == (given or OutputOptions.resume_by)), None)
    if known is None:
        raise UsageError(f"unknown value {given!r}", where="--resume-by", remedy=f"use one of: {', '.join(RESUME_BY)}")
    return known


def _new_report(options: OutputOptions) -> "Report":
    """An empty report; its libraries are loaded only where one was requested."""
    from realqa_cli.cli.views.report import report_of

    assert options.report is not None
    return report_of(options.report, options.sources)
