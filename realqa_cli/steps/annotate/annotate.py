"""The step `realqa annotate`: photos in, a record each with the ten attributes out (paper Sec. 3.1).

A closed-source model, or any behind an OpenAI-compatible server, judges each photo by its prompt. Every
reply is in the ledger before it is read, so that a paid one is neither lost nor paid again: what a run finds
there it does not ask for. The parts are in `annotation`; terminals and files of records are the door's.
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
from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import IsDone
from realqa_cli.io.manifest import Manifest, versions
from realqa_cli.io.records import LabelRecord, error_line
from realqa_cli.io.sources import Item
from realqa_cli.steps.annotate.budget import Budget, Unaffordable
from realqa_cli.steps.annotate.calls import Caller, Stopping
from realqa_cli.steps.annotate.ledger import Ledger
from realqa_cli.steps.annotate.openai_batch import Results
from realqa_cli.steps.annotate.pace import Pace
from realqa_cli.steps.annotate.photos import HashedPhoto, hash_photo
from realqa_cli.steps.annotate.prices import Prices
from realqa_cli.steps.annotate.settings import AnnotateSettings
from realqa_cli.steps.annotate.turns import UNUSABLE, LabelOutcome, PhotoLabeler

PHOTOS_AHEAD = 4  # finished labels that wait behind a slow one, per call at once; they are in the ledger


@dataclass(frozen=True)
class _Left:
    """A photo that was not asked for, because the cap would not hold."""


class Annotator:
    """A model behind a server that turns photos into attribute records. A context manager.

    client: None where nothing may be asked, and everything comes from the ledger.
    results: of a batch, which are filed as if they had been asked for.  left: photos that were not asked for
    because of the cap.  counts: failed photos by the type of the error.
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
        farewell: Callable[[int], None] = lambda calls: None,
    ) -> None:
        """Sends nothing. Raises UsageError, also for a cap where the price is unknown."""
        settings.check()
        self.settings, self.model, self.client = settings, model, client
        self.ledger, self.budget = Ledger(ledger), Budget(settings.max_cost)
        self.before = 0.0  # US dollars that earlier runs paid
        self.left = 0
        self.counts: Counter[str] = Counter()
        self._prices = prices or Prices.read()
        price = settings.price(model, self._prices)
        asked = settings.asked(model)
        pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        self.caller = None
        if client is not None:
            most = settings.max_tokens
            self.caller = Caller(client, self.ledger, asked, self.budget, pace, price, most, farewell)
        self.turns = PhotoLabeler(settings, asked, self.ledger, price, self.caller, results or Results())
        self.manifest = self._manifest()

    def _manifest(self) -> Manifest:
        environment = {
            "model": self.model,
            "server": self.client.address if self.client else None,
            "realqa": __version__,
            "versions": versions("httpx2", "pillow"),
        }
        return Manifest("annotate", self.settings.told(self.model), environment)

    def __enter__(self) -> Self:
        """Opens the ledger and counts what it cost. Raises OutputError."""
        with ExitStack() as opened:
            if self.client is not None:
                opened.enter_context(self.client)
            opened.enter_context(self.ledger)
            if self.settings.max_cost is not None:
                self.before = self._paid()
                self.budget.settle(0.0, self.before)
            if self.caller is not None:
                opened.enter_context(self.caller)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    @property
    def spent(self) -> float:
        """US dollars that this run cost, as far as the prices are known."""
        return self.budget.spent - self.before

    def records(self, items: Iterable[Item], *, done: IsDone | None = None) -> Iterator[dict[str, Any]]:
        """One JSON-ready record for each item, in order; an item that is `done` yields nothing.

        Neither does one that the cap leaves over (`left`). Raises ModelError for a server that is of no use.
        """
        at_once = self.client.settings.concurrency if self.client else 1
        todo = self._todo(items, done)
        for known, outcome in in_order(self._outcome, todo, at_once, ahead=PHOTOS_AHEAD * at_once):
            if isinstance(outcome, _Left):
                self.left += 1
            elif isinstance(outcome, ItemError):
                self.counts[outcome.type] += 1
                yield error_line(
                    known.item, outcome, content=known.content, instead_of=LabelRecord, optional=("cost_usd",)
                )
            else:
                yield self._record(known, outcome)

    def _todo(self, items: Iterable[Item], done: IsDone | None) -> Iterator[HashedPhoto]:
        for known in map(hash_photo, items):
            if done is None or known.content is None or not done(known.item.name, known.content):
                yield known

    def _outcome(self, known: HashedPhoto) -> tuple[HashedPhoto, LabelOutcome | ItemError | _Left]:
        if known.error is not None:
            return known, known.error
        try:
            return known, self.turns.label(known)
        except ItemError as error:
            return known, error
        except (Unaffordable, Stopping):
            return known, _Left()

    def _record(self, known: HashedPhoto, found: LabelOutcome) -> dict[str, Any]:
        screen = {} if found.label.screen is None else {"screen": found.label.screen}
        return LabelRecord.of(
            known.item,
            attributes=found.label.attributes,
            annotator={"model": self.model, "prompt": self.turns.asked.prompt},
            refined=False,
            cost_usd=found.cost,
            **screen,
            run=self.manifest.run,
            content=known.content,
        ).to_line()

    def _paid(self) -> float:
        """What everything in the ledger cost, as far as that is known."""
        total = 0.0
        for model, entry in self.ledger.entries():
            price = self._prices.of(model)
            if entry.cost is not None:
                total += entry.cost
            elif price is not None:
                total += price.reply(entry.reply, batch=entry.batch) or 0.0
        return total

    def notes(self) -> list[str]:
        """What a person should know of the run."""
        notes = [self._asked()]
        unusable = ", ".join(f"{self.counts[kind]} {kind}" for kind in UNUSABLE if self.counts[kind])
        if unusable:
            notes.append(f"replies that could not be used: {unusable}; --ask-again asks, and pays, anew")
        if spare := len(self.turns.results.replies) - self.turns.counts["from the batch"]:
            notes.append(
                f"results that were not needed: {spare}; their photos are no sources, have their labels, or"
                " were asked about otherwise (--model, --screen, --max-pixels, --image-format)"
            )
        if self.left:
            told = f"{self.left} {'photo' if self.left == 1 else 'photos'} left"
            cap = f"{self.settings.max_cost:g} USD"
            notes.append(f"--max-cost: stopped before {cap} are exceeded, {told}; raise it to go on")
        return [note for note in notes if note]

    def _asked(self) -> str:
        """What was asked of the server, what it cost, and what needed no asking."""
        parts = []
        calls = self.caller.counts["calls"] if self.caller else 0
        if self.caller is not None and calls:
            tokens = f"{self.caller.counts['tokens in']:,} tokens in, {self.caller.counts['tokens out']:,} out"
            cost = f"{self.spent:.4f} USD" if self.caller.price else "price unknown (--prices tells it)"
            parts.append(f"{calls} {'call' if calls == 1 else 'calls'} to {self.model}: {tokens}, {cost}")
        for kind, words in (
            ("from the ledger", "from the ledger"),
            ("from the batch", "from the batch"),
            ("mended", "mended by a second turn"),
        ):
            if count := self.turns.counts[kind]:
                parts.append(f"{count} {words}")
        if failures := self.client.failures if self.client else None:
            told = ", ".join(f"{count} x {kind}" for kind, count in sorted(failures.items()))
            parts.append(f"failed attempts: {told}")
        return "; ".join(parts)
