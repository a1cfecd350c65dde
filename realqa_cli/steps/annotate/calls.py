"""Paid calls: at the pace and within the budget that were asked for, and in the ledger before they are read.

Knows a photo only by its key and its message.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.replies import TransientFailure
from realqa_cli.steps.annotate.budget import Budget
from realqa_cli.steps.annotate.ledger import Ledger, LedgerEntry, RequestSpec
from realqa_cli.steps.annotate.pace import Pace
from realqa_cli.steps.annotate.prices import Price, Usage, read_usage

REPLY = 350  # tokens of a usual one: the JSON object with two reasons of a sentence or two
_KNOWN, _GUESSED = 1.25, 4.0  # how far the first estimates of a prompt's tokens may be too low
_SEEN = 1.1  # how far those may be that replies have corrected
_SOON = 1.0  # seconds that nobody needs to be told of


class Stopping(Exception):
    """The run ends: nothing new is sent."""


@dataclass
class Meter:
    """How many tokens prompts have, learnt from replies. Several threads may share one.

    known: whether it is known how photos are counted, so that the first estimates can be trusted.
    """

    known: bool
    _worst: float = 0.0  # of the replies' tokens to the estimates
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def most(self, estimate: int) -> int:
        """The most tokens that a prompt of about so many can have."""
        first = _KNOWN if self.known else _GUESSED
        return int(estimate * (max(1.0, self._worst) * _SEEN if self._worst else first)) + 1

    def learn(self, estimate: int, given: int) -> None:
        """A prompt of about `estimate` tokens had `given`."""
        with self._lock:
            self._worst = max(self._worst, given / max(1, estimate))


@dataclass
class Caller:
    """Sends one turn at a time and files its reply. A context manager: leaving waits for calls in flight.

    asked: what every call has in common.  price: None where it is unknown.  max_tokens: of a reply.
    counts: "calls", "tokens in", "tokens out".  farewell: is told how many calls are waited for at the end.
    """

    client: ServerClient
    ledger: Ledger
    asked: RequestSpec
    budget: Budget
    pace: Pace
    price: Price | None
    max_tokens: int
    farewell: Callable[[int], None] = lambda calls: None
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._meter = Meter(known=self.price is not None and self.price.image is not None)
        self._flights = 0
        self._stopping = False
        self._landed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Nothing new is sent; what is being paid for is waited for, or else it would be lost."""
        with self._landed:
            self._stopping = True
            self._landed.wait_for(lambda: not self._flights, _SOON)
            if self._flights:
                self.farewell(self._flights)
            while self._flights:
                self._landed.wait(0.5)  # in pieces, so that an interrupt ends it

    def ask(
        self,
        key: str,
        turn: int,
        content: str,
        messages: Sequence[Mapping[str, Any]],
        estimate: int,
        **parameters: Any,
    ) -> LedgerEntry:
        """Sends a conversation of about `estimate` tokens; its reply, which is in the ledger by then.

        Raises ItemError, ModelError, OutputError, Unaffordable, Stopping.
        """
        flight = _Flight(self, estimate)
        reply = self.client.chat(messages, flight.attempt, max_tokens=self.max_tokens, **parameters)
        with flight.landing():
            flight.cost = self.price.reply(reply.raw) if self.price else None
            entry = LedgerEntry(reply.raw, flight.cost)
            self.ledger.put(key, turn, self.asked, content, entry)
        self._learn(estimate, read_usage(reply.raw.get("usage")))
        return entry

    def most(self, estimate: int) -> float:
        """The most that a call can cost, in US dollars; 0 where the price is unknown."""
        return self.price.tokens(self._meter.most(estimate), self.max_tokens) if self.price else 0.0

    def depart(self) -> None:
        """A request is about to be sent. Raises Stopping."""
        with self._landed:
            if self._stopping:
                raise Stopping
            self._flights += 1

    def arrive(self) -> None:
        """A request has come to nothing, or its reply is filed."""
        with self._landed:
            self._flights -= 1
            self._landed.notify_all()

    def _learn(self, estimate: int, usage: Usage | None) -> None:
        with self._landed:
            self.counts["calls"] += 1
            if usage is not None:
                self.counts["tokens in"] += usage.given
                self.counts["tokens out"] += usage.written
        if usage is not None:
            self._meter.learn(estimate, usage.given)
            self.pace.correct(usage.given + usage.written - estimate - REPLY)


class _Flight:
    """The attempts of one call. cost: of the one that succeeded; None counts as the most that it can be."""

    def __init__(self, caller: Caller, estimate: int) -> None:
        self.caller, self.estimate = caller, estimate
        self.cost: float | None = None
        self._most = 0.0  # set aside for the attempt that succeeded

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Waits for its turn and sets aside what it can cost; a lost answer counts as paid."""
        caller = self.caller
        caller.pace.wait(self.estimate + REPLY)
        most = caller.most(self.estimate)
        caller.budget.reserve(most)
        try:
            caller.depart()
        except Stopping:
            caller.budget.settle(most, 0.0)
            raise
        try:
            yield
        except BaseException as failure:
            lost = isinstance(failure, TransientFailure) and failure.lost
            caller.budget.settle(most, most if lost else 0.0)
            caller.arrive()
            raise
        self._most = most

    @contextmanager
    def landing(self) -> Iterator[None]:
        """Files the reply within."""
        try:
            yield
        finally:
            self.caller.budget.settle(self._most, self._most if self.cost is None else self.cost)
            self.caller.arrive()
