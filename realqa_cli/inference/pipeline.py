"""Bounded pipeline: open items ahead of time in threads, batch them by size, run the model, keep the input order.

The caller's thread reads the source and yields the outputs; `OPENERS` threads open the next items, and the
threads of the `ThreadPlan` run the model. The number of items under way and their pixels are bounded.

One bad item never stops the others: it keeps its place with an `ItemError`. A batch on which the model fails
is halved until the failing item is alone. A batch for which the memory is too small is halved too, and later
batches are small from the start.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import ceil
from time import sleep
from typing import Any, Generic, Protocol, Self, TypeVar

from realqa_cli.backends.base import SINGLE_THREAD, ThreadPlan
from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.errors import ItemError, one_line
from realqa_cli.io.sources import Item
from realqa_cli.media.worker_pool import stop_workers


class PipelineItem(Protocol):
    """What goes through the pipeline: an `OpenedItem`, or several that a model sees together."""

    @property
    def item(self) -> Item: ...
    @property
    def image(self) -> Any:
        """The input of the model; None if there is none."""

    @property
    def error(self) -> ItemError | None: ...
    @property
    def area(self) -> int:
        """Pixels of its photos before they are reduced, where their headers say."""

    @property
    def pixels(self) -> int | None:
        """Pixels of the input; None if there is nothing for a model."""

    def opened(self) -> Self:
        """The item with its input or its error. Never raises for the item."""
        ...


Opened = TypeVar("Opened", bound=PipelineItem)
Output = TypeVar("Output")
ModelCall = Callable[[Sequence[Any]], Sequence[Output]]
"""The outputs of a model for some inputs, in their order."""

OPENERS = 2
"""Threads that open items."""
BATCHES_AHEAD = 8
"""Batches that are read ahead, so that items of similar size can share a batch."""
HELD_PIXELS = 48_000_000
"""Most pixels of opened items that wait, beyond one batch: 144 MB."""
OPENING_PIXELS = 210_000_000
"""Most pixels of photos that are decoded at the same time, at their full size: 840 MB, or two photos of the largest
ordinary cameras. A larger photo is decoded alone."""


def run_batches(
    items: Iterable[Opened],
    batch_size: int,
    call: ModelCall[Output],
    thread_plan: ThreadPlan = SINGLE_THREAD,
) -> Iterator[tuple[Opened, Output | ItemError]]:
    """Each item with its output or its error, in order; a call gets at most `batch_size` items.

    Items are opened ahead of time, and items of similar size share a batch; an item from standard input waits
    for one batch at most. `call` runs in threads, as many at the same time as the thread plan has.
    """
    if thread_plan.requests:
        return _run_requests(items, call, thread_plan.size)
    pipeline: _Pipeline[Opened, Output] = _Pipeline(_Batcher(call, batch_size), thread_plan)
    return pipeline.run(items)


def _run_requests(
    items: Iterable[Opened], call: ModelCall[Output], at_once: int
) -> Iterator[tuple[Opened, Output | ItemError]]:
    """Each item is opened and sent by one of `at_once` threads, one item in a request."""

    def predict(item: Opened) -> tuple[Opened, Output | ItemError]:
        opened = item.opened()
        try:
            return opened, opened.error or call([] if opened.image is None else [opened.image])[0]
        except ItemError as error:
            return opened, error
        except ValueError as error:  # probabilities that do not form a distribution
            return opened, ItemError(f"the server returned an invalid answer: {error}", type="model")

    return in_order(predict, items, at_once)


@dataclass
class _Batcher(Generic[Output]):
    """Calls the model on batches; `size`, the largest batch, falls if the memory is too small for it."""

    call: ModelCall[Output]
    size: int

    def outputs(self, items: Sequence[PipelineItem]) -> list[Output | ItemError]:
        """An output or an error for each item."""
        try:
            return [*self.call([item.image for item in items if item.image is not None])]
        except (RuntimeError, ValueError, MemoryError) as error:  # out of memory is a RuntimeError in torch
            if len(items) == 1:
                what = f"the model failed on this item: {one_line(error)}"
                return [ItemError(what, type="model", where=items[0].item.name)]
            if _is_out_of_memory(error):
                self.size = min(self.size, len(items) // 2)
        half = len(items) // 2  # outside of the handler, which would keep alive what the failed call had allocated
        return self.outputs(items[:half]) + self.outputs(items[half:])


def _is_out_of_memory(error: Exception) -> bool:
    """Whether the error reports a lack of memory, whichever library raised it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "allocate" in str(error) or "out of memory" in str(error)


@dataclass
class _Slot(Generic[Opened, Output]):
    """An item under way.

    area: pixels of the photo before it is reduced, where its header says.
    pixels: None while the item is being opened.  call: the model call that includes the item, once submitted.
    index: the item's position in that call.  skipped: whether the item needs no model call.
    """

    opening: "Future[Opened]"
    area: int
    pixels: int | None = None
    call: "Future[list[Output | ItemError]] | None" = None
    index: int = 0
    skipped: bool = False

    @property
    def done(self) -> bool:
        return self.skipped or (self.call is not None and self.call.done())

    @property
    def waiting(self) -> bool:
        """Whether the item still needs a model call."""
        return self.call is None and not self.skipped

    def result(self) -> tuple[Opened, Output | ItemError]:
        opened = self.opening.result()
        output = opened.error if self.call is None else self.call.result()[self.index]
        assert output is not None, "an item without a model call has an error"
        return opened, output


class _Pipeline(Generic[Opened, Output]):
    """One run of items through a model."""

    def __init__(self, batcher: _Batcher[Output], thread_plan: ThreadPlan) -> None:
        self._batcher, self._plan = batcher, thread_plan
        self._most_items = BATCHES_AHEAD * batcher.size
        self._slots: deque[_Slot[Opened, Output]] = deque()
        self._exhausted = self._live = False
        self._next: Opened | None = None  # read from the source, and too large to be opened now

    def run(self, items: Iterable[Opened]) -> Iterator[tuple[Opened, Output | ItemError]]:
        source = iter(items)
        openers = ThreadPoolExecutor(OPENERS, "realqa-open")
        models = ThreadPoolExecutor(self._plan.size, "realqa-model")
        try:
            while self._slots or not self._exhausted:
                self._read_ahead(source, openers)
                self._note_opened()
                self._submit_batches(models)
                while self._slots and self._slots[0].done:
                    yield self._slots.popleft().result()
                if not self._may_read():
                    wait(self._pending(), return_when=FIRST_COMPLETED)
        except BaseException:  # the consumer stops early, or the user interrupts: do not wait for a long decode
            openers.shutdown(wait=False, cancel_futures=True)
            while not all(slot.opening.done() for slot in self._slots):  # a worker may be starting just now
                stop_workers()
                sleep(0.02)
            raise
        finally:
            for pool in (openers, models):
                pool.shutdown(wait=True, cancel_futures=True)
            self._plan.end()

    def _read_ahead(self, source: Iterator[Opened], openers: ThreadPoolExecutor) -> None:
        while self._may_read():
            if self._next is None:
                self._next = next(source, None)
            if self._next is None:
                self._exhausted = True
                return
            item = self._next
            if not self._may_open(item):
                return
            self._next, self._live = None, item.item.live
            self._slots.append(_Slot(openers.submit(item.opened), item.area))

    def _may_open(self, item: Opened) -> bool:
        """Whether the photos that are being decoded leave room for this one."""
        areas = [slot.area for slot in self._slots if not slot.opening.done()]
        return not any(areas) or sum(areas) + item.area <= OPENING_PIXELS

    def _may_read(self) -> bool:
        if self._exhausted or (self._slots and self._slots[0].done):
            return False
        if self._next is not None and not self._may_open(self._next):
            return False
        size = self._batcher.size
        if len(self._slots) < size:
            return True
        opening = sum(slot.pixels is None for slot in self._slots)
        held = sum(slot.pixels or 0 for slot in self._slots)
        most = size if self._live else self._most_items  # the next line of standard input may take long to come
        return len(self._slots) < most and opening < 2 * OPENERS and held < HELD_PIXELS

    def _note_opened(self) -> None:
        for slot in self._slots:
            if slot.pixels is None and slot.opening.done():
                pixels = slot.opening.result().pixels
                slot.pixels, slot.skipped = pixels or 0, pixels is None

    def _submit_batches(self, models: ThreadPoolExecutor) -> None:
        """Submits batches while a model thread is free and a batch is complete."""
        while True:
            busy = {id(slot.call) for slot in self._slots if slot.call is not None and not slot.call.done()}
            batch = self._next_batch() if len(busy) < self._plan.size else []
            if not batch:
                return
            more = sum(slot.waiting for slot in self._slots) > len(batch)
            shares = self._plan.size if busy or more or not self._exhausted else 1
            call = models.submit(self._run_batch, [slot.opening.result() for slot in batch], shares)
            for index, slot in enumerate(batch):
                slot.index, slot.call = index, call

    def _next_batch(self) -> list[_Slot[Opened, Output]]:
        """The oldest waiting item and those closest to it in size; [] while more items may join the batch."""
        waiting = [slot for slot in self._slots if slot.waiting]
        ready = [slot for slot in waiting if slot.pixels is not None]
        if not ready or ready[0] is not waiting[0]:
            return []
        size = self._batcher.size
        if self._exhausted:  # the remaining items are divided evenly among the threads
            size = min(size, ceil(len(waiting) / self._plan.size))
        if len(ready) < size and (len(ready) < len(waiting) or self._may_read()):
            return []
        pixels = ready[0].pixels or 0
        by_size = sorted(range(len(ready)), key=lambda i: (i > 0, abs((ready[i].pixels or 0) - pixels)))
        return [ready[i] for i in sorted(by_size[:size])]

    def _run_batch(self, items: Sequence[PipelineItem], shares: int) -> list[Output | ItemError]:
        self._plan.share(shares)
        return self._batcher.outputs(items)

    def _pending(self) -> list["Future[Any]"]:
        """The futures to wait for; the first item's call is included even if it has ended in the meantime."""
        futures: list[Future[Any]] = [slot.opening if slot.call is None else slot.call for slot in self._slots]
        first = self._slots[0].call if self._slots else None
        return [future for future in futures if future is first or not future.done()]
