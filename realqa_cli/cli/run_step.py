"""Run the items of the sources through a step and write its records: the body of `score` and `self-label`."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from realqa_cli.cli.output import Clear, OutputOptions, RecordWriter, Sink
from realqa_cli.cli.reporter import Reporter
from realqa_cli.datasets.items import dataset_items
from realqa_cli.io.finished_items import FinishedItems
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item, Sources

if TYPE_CHECKING:
    from realqa_cli.cli.score_summary import ScoreSummary


class RecordStep(Protocol):
    """A step that is ready to work on items, such as `score.Scorer`."""

    manifest: Manifest

    def records(self, items: Iterable[Item], *, done: FinishedItems | None) -> Iterator[dict[str, Any]]:
        """One record for each item that is not done, in order."""
        ...


def run_step(
    load: Callable[[], RecordStep],
    options: OutputOptions,
    reporter: Reporter,
    *,
    limit: int | None,
    table: Callable[[Clear], Sink] | None = None,
    did: str = "scored",
    closing: "ScoreSummary | None" = None,
) -> int:
    """Run all sources through a step and return the exit code. The sources are checked before the model loads."""
    items, total = open_sources(options, reporter, limit)
    with reporter.bar("loading the model", total) as bar:
        with RecordWriter(options, reporter, bar, table, did=did, closing=closing) as writer:
            step = load()
            writer.begin(step.manifest)
            writer.take(step.records(items, done=writer.finished))
        return writer.finish()


def open_sources(options: OutputOptions, reporter: Reporter, limit: int | None) -> tuple[Iterator[Item], int | None]:
    """The items of the sources, and their number where it is known. Raises `UsageError`."""
    items: Iterable[Item]
    total: int | None
    if options.dataset is None:
        wants = options.shard.has if options.shard is not None else lambda archive: True
        sources = Sources(options.sources, files_from=options.files_from, wants=wants)
        reporter.summary.append(sources.skipped.summary)  # archives and remote folders are listed during the run
        items, total = sources.items(), sources.count()
    else:
        dataset = options.dataset.open(options.sources)
        items, total = dataset_items(dataset, limit=None if options.shard else limit), len(dataset)
        for line in dataset.notes_on(limit):
            reporter.say(line)
    if options.shard is not None:
        items, total = options.shard.select(items), options.shard.share_of(total)
    return islice(items, limit), total if limit is None or total is None else min(total, limit)
