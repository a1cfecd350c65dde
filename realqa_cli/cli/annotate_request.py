"""What the user requested of `realqa annotate`: options, settings, files, and the run of the step itself."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import typer

from realqa_cli.backends.server.client import ServerClient
from realqa_cli.cli import options as o
from realqa_cli.cli.console import Reporter
from realqa_cli.cli.delivery import OutputOptions, RecordWriter, open_sources
from realqa_cli.errors import UsageError
from realqa_cli.io.jsonl import read_lines
from realqa_cli.io.run_files import read_runs
from realqa_cli.io.sources import Item
from realqa_cli.steps.annotate.annotate import Annotator
from realqa_cli.steps.annotate.ledger import SUFFIX, places
from realqa_cli.steps.annotate.openai_batch import Results
from realqa_cli.steps.annotate.photos import HashedPhoto
from realqa_cli.steps.annotate.prices import Prices
from realqa_cli.steps.annotate.settings import AnnotateSettings

_OURS = {"custom_id", "asked", "content"}  # fields of a list of photos that are no user's
BATCH, PEOPLE = "openai-batch", "label-studio"


@dataclass(frozen=True)
class AnnotateRequest:
    """What was asked for. to, from_: the format and file to write or to read in place of asking."""

    context: typer.Context
    settings: AnnotateSettings
    wanted: OutputOptions
    talk: Reporter
    to: tuple[str, Path] | None
    from_: tuple[str, Path] | None

    @classmethod
    def of(cls, context: typer.Context, wanted: OutputOptions, talk: Reporter) -> Self:
        """From the options. Raises UsageError for some that cannot be meant together."""
        to, from_ = context.params["to"], context.params["from_"]
        for option, exchange in (("--to", to), ("--from", from_)):
            if exchange is not None and exchange[0] not in (BATCH, PEOPLE):
                raise UsageError(f"{exchange[0]!r} is no format", where=option, remedy=f"choose {BATCH} or {PEOPLE}")
        if to and from_:
            raise UsageError("reads and writes at once", where="--to", remedy="give one of --to and --from")
        settings = o.settings_of(context, AnnotateSettings)
        settings.check()
        return cls(context, settings, wanted, talk, to, from_)

    def given(self, name: str) -> Any:
        """An option's value."""
        return self.context.params[name]

    def prices(self) -> Prices:
        """The table, with the user's over it."""
        return Prices.read(self.given("prices"))

    def named(self) -> str:
        """The model, where no server can be asked for it. Raises UsageError."""
        model = self.given("model")
        if not model:
            raise UsageError("no model is named", where="--model", remedy="name it: nothing is sent")
        return str(model)

    def ledger(self, model: str) -> Path:
        """Where the replies are: beside the output, or in the user's data folder."""
        output = self.wanted.output
        if output is not None:
            return output.with_name(output.name + SUFFIX)
        from platformdirs import user_data_path

        slug = re.sub(r"[^\w.-]+", "-", model).strip("-.") or "model"
        return user_data_path("realqa", appauthor=False) / "annotate" / f"{slug}{SUFFIX}"

    def client(self) -> ServerClient:
        """Of the server. Raises UsageError."""
        url = self.given("server")
        if not url:
            remedy = "add --server URL, which ends in /v1"
            raise UsageError("there is no server to ask", where="--server", remedy=remedy)
        return ServerClient(o.server_of(self.context, url, self.given("model")))

    def label(
        self, model: str, client: ServerClient | None, wanted: OutputOptions, results: Results | None = None
    ) -> int:
        """Takes the sources through the step; the exit code."""
        talk, settings = self.talk, self.settings
        annotator = Annotator(
            settings,
            model,
            self.ledger(model),
            client=client,
            prices=self.prices(),
            results=results,
            farewell=lambda calls: talk.say(
                f"waiting for {calls} {'reply' if calls == 1 else 'replies'} that are being paid for;"
                " Ctrl-C leaves at once"
            ),
        )
        items, total = open_sources(wanted, talk, self.given("limit"))
        with talk.bar("annotating", total) as bar:
            with RecordWriter(wanted, talk, bar, did="annotated") as delivery, annotator:
                if annotator.ledger.repaired:
                    talk.say(f"{annotator.ledger.path}: {annotator.ledger.repaired}")
                delivery.begin(annotator.manifest)
                delivery.take(annotator.records(without_ours(items), done=delivery.done))
            bar.stop()
            for note in annotator.notes():
                talk.say(note)
            code = delivery.finish()
        return 1 if annotator.left else code

    def has(self, model: str, *, resume: bool) -> Callable[[HashedPhoto], bool]:
        """Whether a photo's label or reply is there; of what another run may be writing."""
        asked = self.settings.asked(model)
        again = self.settings.ask_again  # then what has no label is to be asked, whatever was replied
        paid = set() if again else {key for key, turn in places(self.ledger(model)) if turn == 0}
        labels = _labels(self.wanted.output, self.settings, model) if resume else set()

        def done(known: HashedPhoto) -> bool:
            assert known.content is not None
            return asked.key(known.content) in paid or (known.item.name, known.content) in labels

        return done


def _labels(output: Path | None, settings: AnnotateSettings, model: str) -> set[tuple[str, str]]:
    """Name and content of every label in the output that was made with these settings."""
    if output is None or not output.is_file():
        return set()
    wanted = settings.told(model)
    runs = {run for run, told in read_runs(output).items() if told.get("settings") == wanted}
    return {
        (str(record.get("image")), str(record.get("content")))
        for _, record in read_lines(output)
        if isinstance(record, Mapping) and record.get("error") is None and record.get("run") in runs
    }


def without_ours(items: Iterator[Item]) -> Iterator[Item]:
    """The items, without the fields that a list of photos adds."""
    for item in items:
        if "custom_id" in item.fields:
            fields = {name: value for name, value in item.fields.items() if name not in _OURS}
            item = replace(item, fields=fields)
        yield item
