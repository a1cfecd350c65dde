"""Things on their way through a model: opened ahead in threads, batched by size, and out in their order.

The caller's thread draws from the source and hands out; two threads open what comes next, and the crew's
threads run the model. All is bounded: how many things are under way, and how much of them is held open.

Knows nothing of photos and of models.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import ceil
from typing import Any, Generic, TypeVar

from realqa_cli.backends.base import ThreadPlan

Raw = TypeVar("Raw")
Thing = TypeVar("Thing")
Outcome = TypeVar("Outcome")

OPENERS = 2
"""Threads that open."""


@dataclass(frozen=True)
class Stages(Generic[Raw, Thing, Outcome]):
    """What becomes of each thing. None of these may raise for a thing.

    live: whether the source may keep one waiting after this, so that nothing may wait for what comes next.
    open: makes a thing of what the source gives; called in threads.
    weigh: how much of it is held; alike things go together. None for a thing that is not asked about.
    ask: the outcomes of some things, in their order; called in the crew's threads.
    batch: most things in a call of the model at the moment.
    """

    live: Callable[[Raw], bool]
    open: Callable[[Raw], Thing]
    weigh: Callable[[Thing], float | None]
    ask: Callable[[list[Thing]], list[Outcome]]
    batch: Callable[[], int]


@dataclass
class _Place(Generic[Thing, Outcome]):
    """A thing's place in the line. weight: None while it is being opened.  index: its own in its batch."""

    opening: "Future[Thing]"
    weight: float | None = None
    asked: "Future[list[Outcome]] | None" = None
    index: int = 0
    needs_nothing: bool = False

    @property
    def done(self) -> bool:
        return self.needs_nothing or (self.asked is not None and self.asked.done())

    @property
    def outcome(self) -> Outcome | None:
        return None if self.asked is None else self.asked.result()[self.index]

    @property
    def waits(self) -> bool:
        """For the model."""
        return self.asked is None and not self.needs_nothing


class Pipeline(Generic[Raw, Thing, Outcome]):
    """One run of things through a model.

    ahead: most things under way.  held: most of what the opened ones weigh together, beyond one batch.
    """

    def __init__(self, way: Stages[Raw, Thing, Outcome], crew: ThreadPlan, *, ahead: int, held: float) -> None:
        self._way, self._crew, self._ahead, self._held = way, crew, ahead, held
        self._line: deque[_Place[Thing, Outcome]] = deque()
        self._ended = self._live = False

    def run(self, source: Iterable[Raw]) -> Iterator[tuple[Thing, Outcome | None]]:
        """Each thing with its outcome, None where it was not asked about, in the source's order."""
        drawn = iter(source)
        openers = ThreadPoolExecutor(OPENERS, "realqa-open")
        models = ThreadPoolExecutor(self._crew.size, "realqa-model")
        try:
            while self._line or not self._ended:
                self._draw(drawn, openers)
                self._note_opened()
                self._hand_out(models)
                while self._line and self._line[0].done:
                    place = self._line.popleft()
                    yield place.opening.result(), place.outcome
                if not self._may_draw():
                    wait(self._pending(), return_when=FIRST_COMPLETED)
        finally:  # also when the consumer goes away, or a person interrupts
            for pool in (openers, models):
                pool.shutdown(wait=True, cancel_futures=True)
            self._crew.end()

    def _draw(self, drawn: Iterator[Raw], openers: ThreadPoolExecutor) -> None:
        """Takes from the source what may be under way."""
        while self._may_draw():
            try:
                raw = next(drawn)
            except StopIteration:
                self._ended = True
                return
            self._live = self._way.live(raw)
            self._line.append(_Place(openers.submit(self._way.open, raw)))

    def _may_draw(self) -> bool:
        if self._ended or (self._line and self._line[0].done):
            return False
        batch = self._way.batch()
        if len(self._line) < batch:
            return True
        opening = sum(place.weight is None for place in self._line)
        held = sum(place.weight or 0 for place in self._line)
        most = batch if self._live else self._ahead
        return len(self._line) < most and opening < 2 * OPENERS and held < self._held

    def _note_opened(self) -> None:
        for place in self._line:
            if place.weight is None and place.opening.done():
                weight = self._way.weigh(place.opening.result())
                place.weight, place.needs_nothing = weight or 0.0, weight is None

    def _hand_out(self, models: ThreadPoolExecutor) -> None:
        """Gives the crew batches while one of it is free and there is a batch to give."""
        while True:
            busy = {id(p.asked) for p in self._line if p.asked is not None and not p.asked.done()}
            batch = self._batch() if len(busy) < self._crew.size else []
            if not batch:
                return
            left = sum(place.waits for place in self._line) > len(batch)
            shares = self._crew.size if busy or left or not self._ended else 1
            asked = models.submit(self._call, [place.opening.result() for place in batch], shares)
            for index, place in enumerate(batch):
                place.index, place.asked = index, asked

    def _batch(self) -> list[_Place[Thing, Outcome]]:
        """The oldest thing that waits, and those most like it; [] while there are more to come for it."""
        waiting = [place for place in self._line if place.waits]
        ready = [place for place in waiting if place.weight is not None]
        if not ready or ready[0] is not waiting[0]:
            return []
        size = self._way.batch()
        if self._ended:  # what is left is divided evenly
            size = min(size, ceil(len(waiting) / self._crew.size))
        if len(ready) < size and (len(ready) < len(waiting) or self._may_draw()):
            return []
        weight = ready[0].weight or 0.0
        alike = sorted(range(len(ready)), key=lambda i: (i > 0, abs((ready[i].weight or 0.0) - weight)))
        return [ready[i] for i in sorted(alike[:size])]

    def _call(self, things: list[Thing], shares: int) -> list[Outcome]:
        self._crew.share(shares)
        return self._way.ask(things)

    def _pending(self) -> list["Future[Any]"]:
        """What the line waits for; the first one's answer also where it has come in the meantime."""
        found: list[Future[Any]] = [place.opening if place.asked is None else place.asked for place in self._line]
        first = self._line[0].asked if self._line else None
        return [future for future in found if future is first or not future.done()]
