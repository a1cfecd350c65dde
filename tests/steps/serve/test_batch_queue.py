"""The queue before a model: order, runs that fail, requests that are given up, and the end."""

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from realqa_cli.inference.inputs import Finished
from realqa_cli.io.manifest import Manifest
from realqa_cli.io.sources import Item
from realqa_cli.steps.serve.batch_queue import MOST_IN_RUN, BatchQueue


class Source:
    """Names each item, and fails at an item that is named so. A run begins when `go` is set."""

    manifest = Manifest("score", {}, {})

    def __init__(self) -> None:
        self.go, self.seen = threading.Event(), list[str]()

    def records(self, items: Iterable[Item], *, done: Finished | None = None) -> Iterator[dict[str, Any]]:
        self.go.wait(60)
        for item in items:
            self.seen.append(item.name)
            if item.name == "fail":
                raise RuntimeError("the model is broken")
            yield {"image": item.name}


def items(*names: str) -> list[Item]:
    return [Item(index, name, None) for index, name in enumerate(names)]


def test_items_that_wait_share_a_run_in_their_order() -> None:
    source, sizes = Source(), list[int]()
    queue = BatchQueue(source, sizes.append)
    futures = [queue.submit(item) for item in items(*"abcd")]
    assert queue.waiting == 4
    source.go.set()
    assert [future.result(60)["image"] for future in futures] == [*"abcd"]
    queue.close()
    assert (sizes, queue.waiting) == ([4], 0)


def test_a_run_is_bounded() -> None:
    source, sizes = Source(), list[int]()
    queue = BatchQueue(source, sizes.append)
    futures = [queue.submit(item) for item in items(*["a"] * (MOST_IN_RUN + 3))]
    source.go.set()
    queue.close()
    assert all(future.done() for future in futures)
    assert sizes == [MOST_IN_RUN, 3]


def test_a_run_that_fails_fails_its_items_and_not_the_next_run(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    queue = BatchQueue(source)
    good, bad = (queue.submit(item) for item in items("a", "fail"))
    source.go.set()
    assert good.result(60) == {"image": "a"}
    with pytest.raises(RuntimeError, match="the model is broken"):
        bad.result(60)
    assert queue.submit(items("b")[0]).result(60) == {"image": "b"}
    queue.close()
    assert "a run failed: RuntimeError: the model is broken" in caplog.text


def test_an_item_that_is_given_up_is_not_worked_on() -> None:
    source = Source()
    queue = BatchQueue(source)
    _, second, third = (queue.submit(item) for item in items("a", "b", "c"))
    assert second.cancel()
    source.go.set()
    assert third.result(60) == {"image": "c"}
    queue.close()
    assert (source.seen, queue.waiting) == (["a", "c"], 0)


def test_closing_finishes_what_waits() -> None:
    source = Source()
    queue = BatchQueue(source)
    futures = [queue.submit(item) for item in items(*"abc")]
    threading.Timer(0.1, source.go.set).start()
    queue.close()
    assert [future.result(0) for future in futures] == [{"image": name} for name in "abc"]
