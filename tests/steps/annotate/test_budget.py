"""Prices, budgets and pace: what calls cost, that a cap holds for calls in flight, and that no limit is passed."""

import json
import threading
import time
from pathlib import Path

import pytest

from realqa_cli.errors import UsageError
from realqa_cli.steps.annotate.budget import Budget, Unaffordable
from realqa_cli.steps.annotate.calls import TokenEstimate
from realqa_cli.steps.annotate.prices import ImageTokens, Prices, Usage, read_usage
from realqa_cli.steps.annotate.rate_limit import RateLimit

GPT_4O = Prices.read().of("gpt-4o")


def test_the_table_knows_the_papers_model_also_by_a_dated_name() -> None:
    prices = Prices.read()
    assert prices.of("gpt-4o-2024-08-06") == prices.of("gpt-4o") is not None
    assert prices.of("gpt-4o-2024-05-13") != prices.of("gpt-4o"), "it has a price of its own"
    assert prices.of("my-own-model") is None
    assert prices.of("gpt-4o-of-mine") is None


def test_a_users_file_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"gpt-4o": {"input": 1, "output": 2}, "mine": {"input": 0, "output": 0}}))
    prices = Prices.read(file)
    price = prices.of("gpt-4o")
    assert price is not None
    assert price.tokens(1_000_000, 1_000_000) == 3
    assert prices.of("mine") is not None
    assert prices.of("gpt-4o-mini") == Prices.read().of("gpt-4o-mini")


@pytest.mark.parametrize("text", ["", "[]", '{"m": 3}', '{"m": {"input": -1, "output": 1}}', '{"m": {"input": 1}}'])
def test_a_file_that_is_not_a_table_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"prices.json: not a table of prices .*; write it like"):
        Prices.read(file)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100}, 0.0035),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 800}}, 0.0025),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": None}, 0.0035),
        ({}, None),
        (None, None),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None),
    ],
)  # fmt: skip
def test_a_replys_usage_gives_its_cost(usage: object, cost: float | None) -> None:
    assert GPT_4O is not None
    found = GPT_4O.reply({"usage": usage})
    assert found == (None if cost is None else pytest.approx(cost))


def test_more_cached_tokens_than_tokens_are_not_believed() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 900}}
    assert read_usage({"prompt_tokens": 10, "completion_tokens": 1} | details) == Usage(10, 1, 10)


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("gpt-4o", (1024, 1024), 765),  # as the service's own examples have it
        ("gpt-4o", (2048, 4096), 1105),
        ("gpt-4.1-mini", (1024, 1024), 1659),
        ("gpt-4.1-mini", (4000, 4000), 2489),
    ],
)
def test_photos_are_counted_as_the_services_count_them(model: str, size: tuple[int, int], tokens: int) -> None:
    price = Prices.read().of(model)
    assert price is not None
    assert price.image is not None
    assert price.image.of(*size) == tokens


def test_where_nobody_says_a_photo_is_counted_as_qwen_does() -> None:
    assert ImageTokens().of(280, 560) == 200


def test_what_is_set_aside_is_never_over_the_cap() -> None:
    budget = Budget(1.0)
    budget.reserve(0.6)
    with pytest.raises(Unaffordable):
        budget.reserve(1.1)
    budget.settle(0.6, 0.1)
    budget.reserve(0.9)
    budget.settle(0.9, 0.9)
    with pytest.raises(Unaffordable):
        budget.reserve(0.01)
    assert budget.spent == pytest.approx(1.0)


def test_a_call_waits_where_only_calls_in_flight_are_in_its_way() -> None:
    budget, entered = Budget(1.0), threading.Event()
    budget.reserve(0.6)

    def second() -> None:
        budget.reserve(0.6)
        entered.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not entered.wait(0.05)
    budget.settle(0.6, 0.2)
    thread.join(5)
    assert entered.is_set()


def test_calls_in_flight_that_cost_their_most_leave_the_waiting_one_out() -> None:
    budget, found = Budget(1.0), list[str]()
    budget.reserve(0.6)

    def second() -> None:
        try:
            budget.reserve(0.6)
        except Unaffordable:
            found.append("left")

    thread = threading.Thread(target=second)
    thread.start()
    budget.settle(0.6, 0.6)
    thread.join(5)
    assert found == ["left"]


def test_without_a_cap_spending_is_only_counted() -> None:
    budget = Budget()
    budget.reserve(1e9)
    budget.settle(1e9, 3.0)
    assert budget.spent == 3.0


def test_estimates_of_prompts_follow_what_replies_say() -> None:
    meter = TokenEstimate(known=False)
    assert meter.upper_bound(100) == 401, "at first nobody knows"
    meter.learn(100, 50)
    assert meter.upper_bound(100) == pytest.approx(111, abs=1)
    meter.learn(100, 150)
    assert meter.upper_bound(100) == pytest.approx(166, abs=1), "and no later prompt was as bad as the worst"


def test_requests_are_spread_over_the_minute() -> None:
    pace, start = RateLimit(requests=1200), time.monotonic()
    for _ in range(5):
        pace.wait(10**9)
    assert time.monotonic() - start >= 4 * 60 / 1200


def test_tokens_are_spread_too_and_corrected_by_what_was_used() -> None:
    pace, start = RateLimit(tokens=600_000), time.monotonic()
    pace.wait(1000)
    pace.correct(1000)
    pace.wait(1)
    assert time.monotonic() - start >= 0.2
