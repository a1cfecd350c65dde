"""Paid calls: within the rate limits and the budget, with every reply in the ledger before it is parsed."""

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
from realqa_cli.steps.annotate.prices import Price, Usage, read_usage
from realqa_cli.steps.annotate.rate_limit import RateLimit

REPLY = 350
"""Tokens of a usual reply: the JSON object with two reasons of one or two sentences."""

_KNOWN, _GUESSED = 1.25, 4.0  # factor by which the first estimates of a prompt's tokens may be too low
_MEASURED = 1.1  # the same for estimates that replies have corrected
_WAIT_SILENTLY = 1.0  # seconds to wait for calls in flight before it is reported
_BYTES_PER_TOKEN, _OVERHEAD = 24, 32_768  # generous sizes of a reply's line in the ledger


class Stopping(Exception):
    """The run is ending: nothing new is sent."""


@dataclass
class TokenEstimate:
    """Upper bounds for the tokens of prompts, corrected by replies. Thread-safe.

    known: whether it is known how photos are counted, so that the first estimates can be trusted.
    """

    known: bool
    _worst: float = 0.0  # largest ratio of the replies' tokens to the estimates
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def upper_bound(self, estimate: int) -> int:
        """The most tokens that a prompt with this estimate can have."""
        first = _KNOWN if self.known else _GUESSED
        return int(estimate * (max(1.0, self._worst) * _MEASURED if self._worst else first)) + 1

    def learn(self, estimate: int, actual: int) -> None:
        """Record the actual tokens of a prompt."""
        with self._lock:
            self._worst = max(self._worst, actual / max(1, estimate))


@dataclass
class Caller:
    """Sends one request at a time and writes its reply to the ledger. A context manager. Thread-safe.

    spec: what the requests have in common.  price: None where it is unknown.  max_tokens: of a reply.
    counts: "calls", "tokens in", "tokens out".  on_waiting: called at the end with the number of calls in
    flight, which are waited for.
    """

    client: ServerClient
    ledger: Ledger
    spec: RequestSpec
    budget: Budget
    rate_limit: RateLimit
    price: Price | None
    max_tokens: int
    on_waiting: Callable[[int], None] = lambda calls: None
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._estimate = TokenEstimate(known=self.price is not None and self.price.image is not None)
        self._in_flight = 0
        self._stopping = False
        self._arrived = threading.Condition()

    def __enter__(self) -> Self:
        """Reserve disk space for the replies in flight. Raises `OutputError`."""
        self.ledger.reserve_space(self.client.settings.concurrency * (self.max_tokens * _BYTES_PER_TOKEN + _OVERHEAD))
        return self

    def __exit__(self, *raised: object) -> None:
        """Send nothing new; wait for the calls that are being paid for, whose replies would be lost."""
        with self._arrived:
            self._stopping = True
            self._arrived.wait_for(lambda: not self._in_flight, _WAIT_SILENTLY)
            if self._in_flight:
                self.on_waiting(self._in_flight)
            while self._in_flight:
                self._arrived.wait(0.5)  # in short waits, so that an interrupt ends it

    def send(
        self,
        key: str,
        turn: int,
        content: str,
        messages: Sequence[Mapping[str, Any]],
        estimate: int,
        **parameters: Any,
    ) -> LedgerEntry:
        """Send a conversation of about `estimate` tokens and return its reply, which is in the ledger by then.

        Raises `ItemError`, `ModelError`, `OutputError`, `Unaffordable`, `Stopping`.
        """
        flight = _Flight(self, estimate)
        reply = self.client.chat(messages, flight.attempt, max_tokens=self.max_tokens, **parameters)
        with flight.writing_reply():
            flight.cost = self.price.reply(reply.raw) if self.price else None
            entry = LedgerEntry(reply.raw, flight.cost)
            self.ledger.put(key, turn, self.spec, content, entry)
        self._learn(estimate, read_usage(reply.raw.get("usage")))
        return entry

    def highest_cost(self, estimate: int) -> float:
        """The most that a call can cost, in US dollars; 0 where the price is unknown."""
        return self.price.tokens(self._estimate.upper_bound(estimate), self.max_tokens) if self.price else 0.0

    def depart(self) -> None:
        """Count a request that is about to be sent. Raises `Stopping`, also where the disk is full."""
        with self._arrived:
            if self._stopping or self.ledger.full is not None:
                raise Stopping
            self._in_flight += 1

    def arrive(self) -> None:
        """Count a request that has failed or whose reply is written."""
        with self._arrived:
            self._in_flight -= 1
            self._arrived.notify_all()

    def _learn(self, estimate: int, usage: Usage | None) -> None:
        with self._arrived:
            self.counts["calls"] += 1
            if usage is not None:
                self.counts["tokens in"] += usage.given
                self.counts["tokens out"] += usage.written
        if usage is not None:
            self._estimate.learn(estimate, usage.given)
            self.rate_limit.correct(usage.given + usage.written - estimate - REPLY)


class _Flight:
    """The attempts of one call. cost: of the one that succeeded; None counts as the highest cost."""

    def __init__(self, caller: Caller, estimate: int) -> None:
        self.caller, self.estimate = caller, estimate
        self.cost: float | None = None
        self._reserved = 0.0  # for the attempt that succeeded

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Wait for the rate limit and reserve the highest cost; a lost answer counts as paid."""
        caller = self.caller
        caller.rate_limit.wait(self.estimate + REPLY)
        most = caller.highest_cost(self.estimate)
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
        self._reserved = most

    @contextmanager
    def writing_reply(self) -> Iterator[None]:
        """Settle the cost after the reply was written, or could not be."""
        try:
            yield
        finally:
            self.caller.budget.settle(self._reserved, self._reserved if self.cost is None else self.cost)
            self.caller.arrive()
