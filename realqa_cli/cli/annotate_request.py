"""What a user requested of `realqa annotate`, and running the step with it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.cli.exchange import BATCH, LABEL_STUDIO, Exchange
from realqa_cli.cli.output import OutputOptions, RecordWriter
from realqa_cli.cli.reporter import Reporter
from realqa_cli.cli.run_step import open_sources
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError
from realqa_cli.io.export import records_file
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.run_files import read_runs
from realqa_cli.io.sources import Item
from realqa_cli.steps.annotate.annotate import Annotator
from realqa_cli.steps.annotate.ledger import SUFFIX, read_offsets
from realqa_cli.steps.annotate.openai_batch import Results
from realqa_cli.steps.annotate.photos import HashedPhoto
from realqa_cli.steps.annotate.prices import Prices
from realqa_cli.steps.annotate.settings import AnnotateSettings

_LIST_FIELDS = {"custom_id", "asked", "content"}  # fields that `--to openai-batch` adds to a list of photos


@dataclass(frozen=True)
class AnnotateRequest:
    """The options of one call.

    explicit: names of the options that were given.  write_to, read_from: format and file to write or to read
    instead of sending requests.  image_root: folder that Label Studio serves.  image_url: its web address.
    """

    settings: AnnotateSettings
    explicit: frozenset[str]
    options: OutputOptions
    reporter: Reporter
    server: ServerSettings | None
    model: str | None
    price_file: Path | None = None
    limit: int | None = None
    dry_run: bool = False
    write_to: Exchange | None = None
    read_from: Exchange | None = None
    image_root: Path | None = None
    image_url: str | None = None

    def check(self) -> None:
        """Raises `UsageError` for options that contradict each other."""
        for flag, exchange in (("--to", self.write_to), ("--from", self.read_from)):
            if exchange is not None and exchange[0] not in (BATCH, LABEL_STUDIO):
                remedy = f"choose one of: {BATCH}, {LABEL_STUDIO}"
                raise UsageError(f"unknown format {exchange[0]!r}", where=flag, remedy=remedy)
        if self.write_to and self.read_from:
            raise UsageError("--to and --from are mutually exclusive", remedy="choose one of the two")
        if self.dry_run and (self.write_to or self.read_from):
            raise UsageError("estimates the cost of requests", where="--dry-run", remedy="leave out --to and --from")
        for flag, given in (("--files-from", self.options.files_from), ("--shard", self.options.shard)):
            if given is not None and LABEL_STUDIO in {
                exchange[0] for exchange in (self.write_to, self.read_from) if exchange
            }:
                what = f"applies to photos, and {LABEL_STUDIO} exchanges the labels of all"
                raise UsageError(what, where=flag, remedy="leave it out")
        self.settings.check()

    def prices(self) -> Prices:
        """The built-in prices, overridden by the user's file."""
        return Prices.read(self.price_file)

    def model_name(self) -> str:
        """The model, for modes that cannot ask a server for it. Raises `UsageError`."""
        if not self.model:
            raise UsageError("no model is named", where="--model", remedy="name it, because nothing is sent")
        return self.model

    def ledger(self, model: str) -> Path:
        """The file of replies: next to the output, or in the user's data folder."""
        output = self.options.output
        if output is not None:
            return output.with_name(output.name + SUFFIX)
        from platformdirs import user_data_path

        slug = re.sub(r"[^\w.-]+", "-", model).strip("-.") or "model"
        return user_data_path("realqa", appauthor=False) / "annotate" / f"{slug}{SUFFIX}"

    def client(self) -> ServerClient:
        """A client of the server. Raises `UsageError`."""
        if self.server is None:
            raise UsageError("no server is given", where="--server", remedy="add --server URL, which ends in /v1")
        return ServerClient(self.server)

    def label(
        self, model: str, client: ServerClient | None, options: OutputOptions, results: Results | None = None
    ) -> int:
        """Run the step on the sources and return the exit code."""
        reporter = self.reporter
        annotator = Annotator(
            self.settings,
            model,
            self.ledger(model),
            client=client,
            prices=self.prices(),
            results=results,
            on_waiting=lambda calls: reporter.say(
                f"waiting for {plural(calls, 'paid reply', 'paid replies')}; Ctrl-C stops at once"
            ),
        )
        items, total = open_sources(options, reporter, self.limit)
        with reporter.bar("annotating", total) as bar:
            with RecordWriter(options, reporter, bar, did="annotated") as writer, annotator:
                if annotator.ledger.repaired:
                    reporter.say(f"{annotator.ledger.path}: {annotator.ledger.repaired}")
                writer.begin(annotator.manifest)
                writer.take(annotator.records(without_list_fields(items), done=writer.finished))
            bar.stop()
            for note in annotator.notes():
                reporter.say(note)
            code = writer.finish()
        return 1 if annotator.left else code

    def is_done(self, model: str, *, resume: bool) -> Callable[[HashedPhoto], bool]:
        """A test whether a photo has its label or reply; another run may be writing the files meanwhile."""
        spec = self.settings.request_spec(model)
        # With ask_again a photo without a label is sent again, whatever was replied.
        paid = (
            set() if self.settings.ask_again else {key for key, turn in read_offsets(self.ledger(model)) if turn == 0}
        )
        labels = _labels_in(self.options.output, self.settings, model) if resume else set()

        def done(photo: HashedPhoto) -> bool:
            assert photo.content is not None
            return spec.key(photo.content) in paid or (photo.item.name, photo.content) in labels

        return done


def _labels_in(output: Path | None, settings: AnnotateSettings, model: str) -> set[tuple[str, str]]:
    """Name and content of every label in the output that was made with these settings."""
    if output is None:
        return set()
    records = next(filter(Path.is_file, (records_file(output), output)), None)
    if records is None:
        return set()
    same = settings.manifest_settings(model)
    runs = {run for run, manifest in read_runs(output).items() if manifest.get("settings") == same}
    return {
        (str(record.get("image")), str(record.get("content")))
        for _, record in read_lines(records)
        if isinstance(record, dict) and record.get("error") is None and record.get("run") in runs
    }


def without_list_fields(items: Iterator[Item]) -> Iterator[Item]:
    """The items without the fields that a list of photos of `--to openai-batch` adds."""
    for item in items:
        if "custom_id" in item.fields:
            fields = {name: value for name, value in item.fields.items() if name not in _LIST_FIELDS}
            item = replace(item, fields=fields)
        yield item
