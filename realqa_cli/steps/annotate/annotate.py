"""The step `realqa annotate`: photos in, one record with the ten attributes per photo out (paper, Sec. 3.1).

A model behind an OpenAI-compatible server, usually a closed-source one, judges each photo by the annotation
prompt. Every reply is in the ledger before it is parsed, so that a paid reply is neither lost nor paid twice: a
run does not request what it finds there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from realqa_cli import __version__
from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError, OutputError
from realqa_cli.inference.inputs import Finished
from realqa_cli.io.manifest import Manifest, versions
from realqa_cli.io.records import LabelRecord, error_line
from realqa_cli.io.sources import Item
from realqa_cli.steps.annotate.budget import Budget, Unaffordable
from realqa_cli.steps.annotate.calls import Caller, Stopping
from realqa_cli.steps.annotate.labeler import UNUSABLE, Labeler, LabelOutcome
from realqa_cli.steps.annotate.ledger import Ledger
from realqa_cli.steps.annotate.openai_batch import Results
from realqa_cli.steps.annotate.photos import HashedPhoto, hash_photo
from realqa_cli.steps.annotate.prices import Prices
from realqa_cli.steps.annotate.rate_limit import RateLimit
from realqa_cli.steps.annotate.settings import AnnotateSettings

PHOTOS_AHEAD = 4
"""Finished labels, per concurrent request, that may wait for a slower one before them; the ledger has them."""


@dataclass(frozen=True)
class _NotSent:
    """A photo that was not sent, because of the cap or because the run was ending."""


class Annotator:
    """Labels photos with a model behind a server. A context manager.

    client: None where nothing may be sent, and everything comes from the ledger.  results: of a batch, which
    are written to the ledger as if they had been requested.  left: photos that were not sent because of the
    cap.  counts: failed photos by error type.
    """

    def __init__(
        self,
        settings: AnnotateSettings,
        model: str,
        ledger: Path,
        *,
        client: ServerClient | None = None,
        prices: Prices | None = None,
        results: Results | None = None,
        on_waiting: Callable[[int], None] = lambda calls: None,
    ) -> None:
        """Sends nothing. Raises `UsageError`, also for a cap where the price is unknown."""
        settings.check()
        self.settings, self.model, self.client = settings, model, client
        self.ledger, self.budget = Ledger(ledger), Budget(settings.max_cost)
        self.spent_before = 0.0  # US dollars that earlier runs paid
        self.left = 0
        self.counts: Counter[str] = Counter()
        self._prices = prices or Prices.read()
        price = settings.price(model, self._prices)
        spec = settings.request_spec(model)
        self.caller = None
        if client is not None:
            limit = RateLimit(settings.requests_per_minute, settings.tokens_per_minute)
            self.caller = Caller(client, self.ledger, spec, self.budget, limit, price, settings.max_tokens, on_waiting)
        self.labeler = Labeler(settings, spec, self.ledger, price, self.caller, results or Results())
        self.manifest = self._manifest()

    def _manifest(self) -> Manifest:
        environment = {
            "model": self.model,
            "server": self.client.address if self.client else None,
            "realqa": __version__,
            "versions": versions("httpx2", "pillow"),
        }
        return Manifest("annotate", self.settings.manifest_settings(self.model), environment)

    def __enter__(self) -> Self:
        """Open the ledger and sum up its cost. Raises `OutputError`."""
        with ExitStack() as opened:
            if self.client is not None:
                opened.enter_context(self.client)
            opened.enter_context(self.ledger)
            if self.settings.max_cost is not None:
                self.spent_before = self._cost_of_ledger()
                self.budget.settle(0.0, self.spent_before)
            if self.caller is not None:
                opened.enter_context(self.caller)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the calls in flight. Raises `OutputError` where the disk was full."""
        self._opened.__exit__(kind, error, trace)
        if self.ledger.full is None or isinstance(error, KeyboardInterrupt):
            return
        lost = self.ledger.lost
        kept = "all paid replies are kept" if not lost else f"paid replies that could not be kept: {lost}"
        remedy = "free some space and run the command again"
        where = str(self.ledger.path)
        raise OutputError(f"{self.ledger.full.what}; {kept}", where=where, remedy=remedy) from error

    @property
    def spent(self) -> float:
        """US dollars that this run cost, as far as the prices are known."""
        return self.budget.spent - self.spent_before

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        """One JSON-ready record for each item, in order; none for an item that is `done` or not sent (`left`).

        Raises `ModelError` for a server that cannot be used.
        """
        concurrency = self.client.settings.concurrency if self.client else 1
        photos = self._photos_to_label(items, done)
        for photo, outcome in in_order(self._outcome, photos, concurrency, ahead=PHOTOS_AHEAD * concurrency):
            if isinstance(outcome, _NotSent):
                self.left += 1
                continue
            try:
                if isinstance(outcome, ItemError):
                    raise outcome
                record = self._record(photo, outcome)
            except ItemError as error:
                self.counts[error.type] += 1
                record = error_line(
                    photo.item, error, content=photo.content, instead_of=LabelRecord, optional=("cost_usd",)
                )
            yield record

    def _photos_to_label(self, items: Iterable[Item], done: Finished | None) -> Iterator[HashedPhoto]:
        for item in items:
            if done is not None and done.is_unchanged(item):
                continue
            photo = hash_photo(item)
            if done is None or photo.content is None or not done.has(item.name, photo.content):
                yield photo

    def _outcome(self, photo: HashedPhoto) -> tuple[HashedPhoto, LabelOutcome | ItemError | _NotSent]:
        if photo.error is not None:
            return photo, photo.error
        try:
            return photo, self.labeler.label(photo)
        except ItemError as error:
            return photo, error
        except (Unaffordable, Stopping):
            return photo, _NotSent()

    def _record(self, photo: HashedPhoto, outcome: LabelOutcome) -> dict[str, Any]:
        screen = {} if outcome.label.screen is None else {"screen": outcome.label.screen}
        return LabelRecord.of(
            photo.item,
            attributes=outcome.label.attributes,
            annotator={"model": self.model, "prompt": self.labeler.spec.prompt},
            refined=False,
            cost_usd=outcome.cost,
            **screen,
            run=self.manifest.run,
            content=photo.content,
        ).to_line()

    def _cost_of_ledger(self) -> float:
        """What all replies in the ledger cost, as far as that is known."""
        total = 0.0
        for model, entry in self.ledger.entries():
            price = self._prices.of(model)
            if entry.cost is not None:
                total += entry.cost
            elif price is not None:
                total += price.reply(entry.reply, batch=entry.batch) or 0.0
        return total

    def notes(self) -> list[str]:
        """The summary of the run, in lines."""
        notes = [self._usage()]
        unusable = ", ".join(f"{self.counts[kind]} {kind}" for kind in UNUSABLE if self.counts[kind])
        if unusable:
            notes.append(f"replies that could not be used: {unusable}; --ask-again sends (and pays for) new requests")
        if unneeded := len(self.labeler.results.replies) - self.labeler.counts["from the batch"]:
            notes.append(
                f"results that were not needed: {unneeded}; their photos are not among the sources, have their"
                " labels, or were sent with other settings (--model, --screen, --max-pixels, --image-format)"
            )
        if self.left and self.ledger.full is None:
            cap = f"{self.settings.max_cost:g} USD"
            notes.append(f"--max-cost: stopped before exceeding {cap}, {plural(self.left, 'photo')} left; raise it"
                         " to continue")  # fmt: skip
        return [note for note in notes if note]

    def _usage(self) -> str:
        """What was sent to the server, what it cost, and what came from elsewhere."""
        parts = []
        calls = self.caller.counts["calls"] if self.caller else 0
        if self.caller is not None and calls:
            tokens = f"{self.caller.counts['tokens in']:,} tokens in, {self.caller.counts['tokens out']:,} out"
            cost = f"{self.spent:.4f} USD" if self.caller.price else "price unknown (give it by --prices)"
            parts.append(f"{plural(calls, 'call')} to {self.model}: {tokens}, {cost}")
        for kind, words in (
            ("from the ledger", "from the ledger"),
            ("from the batch", "from the batch"),
            ("repaired", "repaired by a second request"),
        ):
            if count := self.labeler.counts[kind]:
                parts.append(f"{count} {words}")
        if failures := self.client.failures if self.client else None:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(failures.items()))
            parts.append(f"failed attempts: {kinds}")
        return "; ".join(parts)
