"""What becomes of a step's records: file or stdout, the best N, the report, the count and the exit code.

The door of a verb makes a `RecordWriter`, hands it every record, and returns what `finish` says.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from realqa_cli.cli.console import ProgressBar, Reporter
from realqa_cli.cli.sinks import Best, Clear, JsonLines, Nothing, Sink
from realqa_cli.datasets import DatasetSelection
from realqa_cli.datasets.items import dataset_items as items_of
from realqa_cli.errors import UsageError
from realqa_cli.io.appender import Appender
from realqa_cli.io.jsonl import read_lines, write_atomic
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.run_files import read_runs, write_runs
from realqa_cli.io.sources import Item, Sources

if TYPE_CHECKING:
    from realqa_cli.cli.views.report import Report


@dataclass(frozen=True)
class OutputOptions:
    """What the user asked for about the output."""

    output: Path | None
    resume: bool
    overwrite: bool
    json: bool = False
    table: bool = False
    top: int | None = None
    report: Path | None = None
    sources: Sequence[str] = ()
    dataset: DatasetSelection | None = None

    def check(self) -> None:
        """Raises UsageError for options that cannot be meant together."""
        if self.output is None and (self.overwrite or not self.resume):
            option = "--overwrite" if self.overwrite else "--no-resume"
            raise UsageError("concerns an output file", where=option, remedy="add --output FILE")
        if self.overwrite and self.resume:
            raise UsageError("replaces what a file holds", where="--overwrite", remedy="add --no-resume to mean it")
        if self.json and self.table:
            raise UsageError("asks for the other form", where="--table", remedy="choose one of --table and --json")
        taken = {Path(source).resolve() for source in self.sources}
        for option, file in (("--output", self.output), ("--report", self.report)):
            if file is None:
                continue
            if not file.absolute().parent.is_dir():
                raise UsageError(f"no folder {file.parent}", where=option, remedy="make it first")
            if file.is_dir():
                raise UsageError(f"{file} is a folder", where=option, remedy="name a file in it")
            if file.resolve() in taken:
                raise UsageError(f"{file} is given twice", where=option, remedy="choose another file")
            taken.add(file.resolve())
        if str(self.output) == "-":
            raise UsageError("is for files", where="--output", remedy="leave it out to have the records on stdout")


class RecordStep(Protocol):
    """A loaded model at work on items, such as `score.Scorer`."""

    manifest: Manifest

    def records(self, items: Iterable[Item], *, done: Callable[[str, str], bool]) -> Iterator[dict[str, Any]]:
        """One record for each item that is not done, in order."""
        ...


def run_step(
    load: Callable[[], RecordStep],
    wanted: "OutputOptions",
    talk: Reporter,
    *,
    limit: int | None,
    table: Callable[[Clear], Sink] | None = None,
    did: str = "scored",
) -> int:
    """Takes all sources through a step; the exit code. The model is loaded when the sources are in order."""
    wanted.check()
    items, total = open_sources(wanted, talk, limit)
    with talk.bar("loading the model", total) as bar:
        with RecordWriter(wanted, talk, bar, table, did=did) as delivery:
            step = load()
            delivery.begin(step.manifest)
            delivery.take(step.records(items, done=delivery.done))
        return delivery.finish()


def open_sources(wanted: OutputOptions, talk: Reporter, limit: int | None) -> tuple[Iterator[Item], int | None]:
    """The items of the sources, and how many they are, if that is known. Raises UsageError."""
    if wanted.dataset is None:
        sources = Sources(wanted.sources)
        if (skipped := sources.skipped.summary()) is not None:
            talk.summary.append(skipped)
        total = sources.count()
        return islice(sources.items(), limit), total if limit is None or total is None else min(total, limit)
    dataset = wanted.dataset.open(wanted.sources)
    items = items_of(dataset, limit=limit)
    for line in dataset.notes_on(limit):
        talk.say(line)
    return items, min(len(dataset), limit or len(dataset))


LEAST_MASS = 0.5
"""A mean of `mass` below this says that the model does not answer with scores."""


@dataclass
class MeanMass:
    """The mean of the field `mass` of score records."""

    total: float = 0.0
    count: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Adds the mass of a record that has one."""
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
    """Takes a run's records; a context manager, because an output file is locked as long.

    table: what shows them to a person at a terminal, for verbs that have such a view.
    did: what the summary says was done to an item.
    """

    wanted: OutputOptions
    talk: Reporter
    bar: ProgressBar
    table: Callable[[Clear], Sink] | None = None
    did: str = "scored"
    fine: int = 0
    failed: int = 0
    before: int = 0
    _runs: frozenset[str] = frozenset()
    _masses: MeanMass = field(default_factory=MeanMass)
    _file: Appender | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        wanted = self.wanted
        if wanted.output is not None:
            appender = Appender(wanted.output, resume=wanted.resume, overwrite=wanted.overwrite, key=_key)
            self._file = self._stack.enter_context(appender)
            if self._file.repaired:
                self.talk.say(f"{wanted.output}: {self._file.repaired}")
        self._sink = self._make_sink()
        self._report = _report() if wanted.report else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if isinstance(error, KeyboardInterrupt):
            if self._file is None:
                self._sink.close()
            kept = ", kept" if self._file is not None else ""
            raise KeyboardInterrupt(f"{self.fine + self.failed} done{kept}") from None

    def begin(self, manifest: Manifest) -> None:
        """The run is settled: notes it beside the file or on stderr, and finds what is done already."""
        self.manifest: dict[str, Any] = json.loads(json.dumps(manifest.as_json()))  # as a file would give it
        self.bar.working(manifest.command)
        if self.wanted.output is None:
            self.talk.manifest(self.manifest)
            return
        runs = read_runs(self.wanted.output) if self.wanted.resume else {}
        alike = {run for run, other in runs.items() if other.get("settings") == self.manifest["settings"]}
        self._runs = frozenset(alike | {manifest.run})
        write_runs(self.wanted.output, runs | {manifest.run: self.manifest})

    def done(self, name: str, content: str) -> bool:
        """Whether the file has this item from an earlier run with the same settings."""
        if self._file is None or not any(self._file.take((name, content, run)) for run in self._runs):
            return False
        self.before += 1
        self.bar.advance(failed=self.failed)
        return True

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Sends every record where it belongs, as it comes."""
        for record in records:
            if self._file is not None:
                self._file.append(record)
            else:
                self._sink.write(record)
            if self._report is not None and (self._file is None or record.get("error") is not None):
                self._report.add(record)
            self._masses.add(record)
            self.fine += record.get("error") is None
            self.failed += record.get("error") is not None
            self.bar.advance(failed=self.failed)

    def finish(self) -> int:
        """Prints and writes what had to wait for the last record; the exit code, 1 where items failed."""
        if self._file is not None and (self.wanted.top or self._report):
            for record in self._kept():
                self._sink.write(record)
                if self._report is not None:
                    self._report.add(record)
        self._sink.close()
        if self._report is not None and self.wanted.report is not None:
            write_atomic(self.wanted.report, self._report.html(self.manifest))
        self.bar.stop()
        for line in (*self.talk.summary, *self._masses.warnings()):
            self.talk.say(line)
        counts = [(self.fine, self.did), (self.before, "done before"), (self.failed, "failed")]
        total = sum(count for count, _ in counts)
        parts = ", ".join(f"{count} {word}" for count, word in counts if count)
        self.talk.say(f"{total} {'item' if total == 1 else 'items'}: {parts or 'nothing to do'}")
        return 1 if self.failed else 0

    def _make_sink(self) -> Sink:
        if self.wanted.output is not None and self.wanted.top is None:
            return Nothing()
        sink = self._to_stdout()
        return sink if self.wanted.top is None else Best(self.wanted.top, sink)

    def _to_stdout(self) -> Sink:
        """A table, if the verb has one, where a person looks on; else JSON Lines."""
        seen = self.wanted.table or (sys.stdout.isatty() and not self.wanted.json)
        return self.table(self.bar.stop) if self.table and seen else JsonLines(self.bar.stop)

    def _kept(self) -> Iterator[dict[str, Any]]:
        """The scores in the file that were made with these settings, this time or before."""
        assert self.wanted.output is not None
        for _, record in read_lines(self.wanted.output):
            if isinstance(record, dict) and record.get("error") is None and record.get("run") in self._runs:
                yield record


def _key(record: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What makes two records the same work; None for failures, which are tried again."""
    match record.get("image") or record.get("video"), record.get("content"), record.get("run"):
        case str(name), str(content), str(run_step) if record.get("error") is None:
            return name, content, run_step
    return None


def _report() -> "Report":
    """A new one; its libraries are loaded for those only who want one."""
    from realqa_cli.cli.views.report import Report

    return Report(_path_of)


def _path_of(record: Mapping[str, Any]) -> Path | None:
    name = record.get("image") or record.get("video")
    return Path(name) if name else None
