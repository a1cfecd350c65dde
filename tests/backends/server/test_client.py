"""The client of OpenAI-compatible servers, against a real one: what it waits for, what stops it, what it shows."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import numpy as np
import pytest
from chat_server import GARBAGE, HALF, SILENT, ChatServer, Fault, completion, status
from PIL import Image

from realqa_cli.backends.base import Prompt
from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.replies import TransientFailure, limit_reset, retry_after
from realqa_cli.backends.server.request_pool import in_order
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.backends.server.text import ServerTextBackend, data_uri, user_message
from realqa_cli.errors import ItemError, ModelError, UsageError

KEY = "sk-very-secret-0123456789"
HELLO = [{"role": "user", "content": "hi"}]


def settings(server: ChatServer, **more: Any) -> ServerSettings:
    usual: dict[str, Any] = {"first_wait": 0.01, "retries": 3, "api_key_env": "TEST_KEY"}
    return ServerSettings(server.url, **usual | more)


def send(server: ChatServer, **more: Any) -> str:
    with ServerClient(settings(server, **more)) as client:
        return client.chat(HELLO, temperature=0, max_tokens=9).text


def test_a_question_is_asked_once_with_the_only_model_and_without_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    with ChatServer() as server:
        assert send(server) == "hello"
    assert server.bodies == [{"model": "tiny", "messages": HELLO, "temperature": 0, "max_tokens": 9}]
    assert "authorization" not in server.headers[0]


def test_the_key_comes_from_the_named_variable_and_goes_into_the_header_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_KEY", f" {KEY}\n")
    with ChatServer() as server:
        send(server)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(server.bodies)


@pytest.mark.parametrize(
    "fault",
    [status(429, "slow down"), status(500), status(503), status(408), HALF, GARBAGE, Fault(body='{"choices": []}')],
    ids=["429", "500", "503", "408", "half body", "not JSON", "no answer"],
)  # fmt: skip
def test_what_may_pass_is_tried_again(fault: Fault) -> None:
    with ChatServer(faults=[fault, fault]) as server:
        assert send(server) == "hello"
    assert len(server.bodies) == 3


def test_a_silent_server_is_given_up_after_the_time_out_and_tried_again() -> None:
    with ChatServer(faults=[SILENT]) as server:
        assert send(server, timeout=0.6) == "hello"
        server.faults = [SILENT] * 2
        with pytest.raises(ItemError, match=r"no answer after 2 attempts: no complete answer within 0\.1 seconds"):
            send(server, timeout=0.1, retries=1)


def test_after_the_last_attempt_the_item_fails_with_the_servers_words() -> None:
    words = "no answer after 4 attempts: 500: out of memory"
    faults = [status(500, "out of\nmemory")] * 9
    with ChatServer(faults=faults) as server, pytest.raises(ItemError, match=words) as raised:
        send(server)
    assert raised.value.type == "server"
    assert len(server.bodies) == 4


def test_the_server_says_how_long_to_wait_and_is_obeyed_by_every_thread() -> None:
    times: list[float] = []

    def reply(body: dict[str, Any]) -> str:
        times.append(time.monotonic())
        return "hello"

    server = ChatServer(reply, faults=[status(429, retry_after="0.4")])
    with server, ServerClient(settings(server, model="tiny")) as client:
        start = time.monotonic()
        first = threading.Thread(target=client.chat, args=(HELLO,))
        first.start()
        while not server.bodies:
            time.sleep(0.005)
        time.sleep(0.1)
        client.chat(HELLO)
        first.join()
    assert min(times) - start >= 0.4


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx2.Response(429, headers=headers)) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "9s"}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}, 9),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0.5s"}, 360.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1.5"}, 1.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, 0),
        ({"x-ratelimit-remaining-tokens": "0"}, 0),
    ],
)
def test_headers_tell_when_there_is_something_left_again(headers: dict[str, str], seconds: float) -> None:
    assert limit_reset(httpx2.Response(200, headers=headers)) == pytest.approx(seconds)


def test_nothing_is_sent_while_nothing_is_left() -> None:
    times: list[float] = []
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "300ms"}

    def reply(body: dict[str, Any]) -> Fault:
        times.append(time.monotonic())
        return Fault(body=completion("hello"), headers=headers)

    with ChatServer(reply) as server, ServerClient(settings(server)) as client:
        client.chat(HELLO)
        client.chat(HELLO)
    assert times[1] - times[0] >= 0.3


def test_every_attempt_is_sent_within_what_the_caller_made_of_it() -> None:
    seen: list[str] = []

    @contextmanager
    def attempt() -> Iterator[None]:
        try:
            yield
        except TransientFailure as failure:
            seen.append(f"{failure.kind}, lost: {failure.lost}")
            raise
        seen.append("fine")

    faults = [status(429), status(500), HALF, GARBAGE]
    with ChatServer(faults=faults) as server, ServerClient(settings(server, retries=9)) as client:
        client.chat(HELLO, attempt)
        assert client.failures == {"429": 1, "500": 1, "broken off": 1, "not JSON": 1}
    assert seen == [
        "429, lost: False",
        "500, lost: False",
        "broken off, lost: True",
        "not JSON, lost: True",
        "fine",
    ]


def test_what_an_attempt_raises_ends_the_call() -> None:
    def attempt() -> Any:
        raise InterruptedError

    with (
        ChatServer() as server,
        ServerClient(settings(server, model="tiny")) as client,
        pytest.raises(InterruptedError),
    ):
        client.chat(HELLO, attempt)
    assert server.bodies == []


@pytest.mark.parametrize(
    "words", ["response_format is not supported", "json_schema: unknown type", "no structured output here"]
)
def test_a_schema_that_is_refused_is_left_out_from_then_on(words: str) -> None:
    def reply(body: dict[str, Any]) -> str | Fault:
        return status(400, words) if "response_format" in body else "hello"

    with ChatServer(reply) as server, ServerClient(settings(server)) as client:
        for _ in range(2):
            assert client.chat(HELLO, response_format={"type": "json_schema"}).text == "hello"
    assert len(server.bodies) == 3


def test_a_key_that_the_answer_repeats_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with ChatServer(lambda body: f"your key is {KEY}") as server:
        assert send(server) == "your key is ***"


def test_after_a_failure_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        if i == 1:
            raise ValueError("enough")
        return i

    results = in_order(work, range(100), 1, ahead=9)
    assert next(results) == 0
    with pytest.raises(ValueError, match="enough"):
        next(results)
    assert begun == [0, 1]


def test_work_goes_on_ahead_of_a_slow_result() -> None:
    slow = threading.Event()

    def work(i: int) -> int:
        if i == 0:
            assert slow.wait(10)
        elif i == 5:
            slow.set()
        return i

    assert list(in_order(work, range(9), 2, ahead=4)) == list(range(9))


def test_a_date_to_come_is_so_many_seconds_away() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < (retry_after(httpx2.Response(429, headers={"retry-after": date})) or 0) <= 90


def test_a_wait_that_nobody_has_patience_for_stops_the_run() -> None:
    words = "requests a wait of 86400 seconds; run again then"
    with (
        ChatServer(faults=[status(429, retry_after="86400")]) as server,
        pytest.raises(ModelError, match=words),
    ):
        send(server)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (status(401, "bad key"), r"requires a key \(401: bad key\); set TEST_KEY"),
        (status(403, "not for you"), r"requires a key \(403: not for you\); set TEST_KEY"),
        (status(404, "no model"), r"unknown address or model \(404: no model\); check the address, .* tiny"),
        (status(429, "insufficient_quota"), "no credit or quota left"),
        (status(402), r"no credit or quota left \(402.*top up the account"),
        (status(308, location="http://else.where/v1"), "redirects to http://else.where/v1"),
    ],
)
def test_what_will_not_pass_stops_the_run_at_once(fault: Fault, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    with ChatServer(faults=[fault] * 2) as server, pytest.raises(ModelError, match=words) as raised:
        send(server)
    assert len(server.bodies) == 1
    assert str(raised.value).startswith(server.url)


def test_a_refused_key_is_never_shown_even_if_the_server_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    for code in (401, 400, 500):
        faults = [status(code, f"{'x' * 190} {KEY} is wrong")]
        with ChatServer(faults=faults) as server, pytest.raises((ModelError, ItemError)) as raised:
            send(server, retries=0)
        assert "sk-" not in str(raised.value)
    words = r"refuses the key \(401: \*\*\* is wrong\); set TEST_KEY to a valid"
    with (
        ChatServer(faults=[status(401, f"{KEY} is wrong")]) as server,
        pytest.raises(ModelError, match=words),
    ):
        send(server)


def test_an_unknown_model_is_an_error_that_lists_the_known_ones() -> None:
    server = ChatServer(faults=[status(404, "no such model")], models=("a", "b"))
    with server, pytest.raises(ModelError, match="it serves a, b, not c"):
        send(server, model="c")


def test_a_request_that_is_refused_fails_for_its_item_only() -> None:
    with ChatServer(faults=[status(400, "too long")]) as server:
        with pytest.raises(ItemError, match=r"refuses the request \(400: too long\)") as raised:
            send(server)
        assert send(server) == "hello"
    assert raised.value.type == "request"
    assert len(server.bodies) == 2


def test_parameters_that_a_model_does_not_take_are_renamed_or_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def reply(body: dict[str, Any]) -> str | Fault:
        if "max_tokens" in body:
            return status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return status(400, "'temperature' does not support 0.") if "temperature" in body else "hello"

    with ChatServer(reply) as server, ServerClient(settings(server)) as client:
        for _ in range(2):
            assert client.chat(HELLO, temperature=0, max_tokens=9).text == "hello"
    assert len(server.bodies) == 4
    assert server.bodies[-1] == {"model": "tiny", "messages": HELLO, "max_completion_tokens": 9}
    assert len(caplog.messages) == 1
    assert "does not accept a temperature" in caplog.messages[0]


def test_a_parameter_that_is_refused_under_both_names_fails_and_does_not_go_round() -> None:
    server = ChatServer(lambda body: status(400, "max_tokens, max_completion_tokens: too large"))
    with server, pytest.raises(ItemError, match="refuses the request"):
        send(server)
    assert len(server.bodies) == 2


def test_a_server_that_is_not_there_is_not_waited_for() -> None:
    with ChatServer() as server:
        gone = server.url
    with pytest.raises(ModelError, match=r"cannot be reached .*; start the server or check the address"):
        ServerTextBackend.open(ServerSettings(gone, model="m", first_wait=60)).generate([Prompt("hi")], 9)


def test_a_server_that_goes_away_later_is_waited_for_and_then_stops_the_run() -> None:
    with ChatServer() as server:
        client = ServerClient(settings(server, retries=1))
        client.chat(HELLO)
    with client, pytest.raises(ModelError, match=r"after 2 attempts: cannot be reached .*; run again"):
        client.chat(HELLO)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (("a", "b"), "serves a, b; add --model NAME"),
        ((), "does not say what it serves"),
        (None, "does not say what it serves"),
        ([f"m{i}" for i in range(40)], "m7 and 32 more"),
    ],
)
def test_without_a_name_the_server_must_have_one_model_only(models: Any, words: str) -> None:
    with ChatServer(models=models) as server, pytest.raises(UsageError, match=words):
        send(server)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8000/v1", "is not an http address; give its address up to /v1"),
        ("ftp://localhost/v1", "is not an http address"),
        ("http://localhost:x/v1", "is not an http address"),
        ("http://localhost:8000", "does not look like the address of an OpenAI-compatible server; .*8000/v1"),
        ("http://localhost:8000/v1/chat/completions", "does not look like"),
        ("http://me:secret@localhost/v1", "^http://localhost/v1: contains more than an address; .*--api-key-env"),
        ("http://localhost/v1?key=secret", "^http://localhost/v1: contains more than an address"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_one_is_refused_before_anything_is_sent(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        ServerClient(ServerSettings(url))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["https://x.example/v1/", "http://[::1]:80/compatible-mode/v1", "http://h/v1beta/openai"])  # fmt: skip
def test_addresses_of_every_kind_of_server_are_taken(url: str) -> None:
    ServerSettings(url).check()
    assert ServerSettings(url).address == url.rstrip("/")


def test_a_key_with_a_line_break_within_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-one\nsk-two")
    with pytest.raises(UsageError, match="TEST_KEY: contains a line break") as raised:
        ServerClient(ServerSettings("http://localhost/v1", api_key_env="TEST_KEY"))
    assert "sk-" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "type_", "words"),
    [
        (completion(None, message={"content": None, "refusal": "I will not"}), "refused", "I will not"),
        (completion("", finish_reason="content_filter"), "refused", "filtered"),
        (completion(None, finish_reason="length"), "empty", "length"),
        (completion("<think>hm</think> "), "empty", "stop"),
    ],
)
def test_a_refusal_and_an_empty_answer_do_not_count_as_answers(body: str, type_: str, words: str) -> None:
    with ChatServer(faults=[Fault(body=body)]) as server, pytest.raises(ItemError, match=words) as raised:
        send(server)
    assert raised.value.type == type_
    assert len(server.bodies) == 1


@pytest.mark.parametrize("content", ["<think>1 < 2</think>\n\nhello", [{"type": "text", "text": "hel"}, {"text": "lo"}]])  # fmt: skip
def test_thoughts_are_left_out_and_parts_put_together(content: Any) -> None:
    with ChatServer(faults=[Fault(body=completion(content))]) as server:
        assert send(server) == "hello"


def photo(seed: int = 0, **info: Any) -> Image.Image:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    image.info.update(info)
    return image


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_equal_pixels_give_equal_data_uris_whatever_the_file_said(image_format: str) -> None:
    uri = data_uri(photo(), image_format)
    assert uri == data_uri(photo(dpi=(300, 300), icc_profile=b"x", comment=b"y"), image_format)
    assert uri != data_uri(photo(1), image_format)
    head, _, text = uri.partition(",")
    assert head == f"data:image/{image_format};base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert (image.format, image.size, image.mode) == (image_format.upper(), (30, 40), "RGB")
        difference = np.asarray(image).astype(int) - np.asarray(photo()).astype(int)
        assert np.abs(difference).mean() < (1e-9 if image_format == "png" else 12)


def test_photos_come_before_the_question_and_a_prefix_is_asked_for() -> None:
    message = user_message(Prompt("Rate this.", (photo(), photo(1)), "The score is "))
    kinds = [part["type"] for part in message["content"]]
    assert kinds == ["image_url", "image_url", "text"]
    assert message["content"][2]["text"] == "Rate this.\n\nBegin your answer with: The score is "
    assert user_message(Prompt("Sort.")) == {"role": "user", "content": "Sort."}


def test_the_backend_answers_in_order_with_every_prefix_once() -> None:
    def reply(body: dict[str, Any]) -> str:
        number = int(body["messages"][0]["content"].split()[0])
        time.sleep(0.02 * (number % 3))
        return f"So: {number}" if number % 2 else str(number)

    with ChatServer(reply) as server, ServerTextBackend.open(settings(server, concurrency=5)) as backend:
        batch = [Prompt(f"{i} is what?", prefix="So: ") for i in range(20)]
        assert backend.generate(batch, 20, stop=".") == [f"So: {i}" for i in range(20)]
        assert backend.settings()["model"] == "tiny"
    assert server.bodies[0] | {"messages": 0} == {
        "model": "tiny", "messages": 0, "temperature": 0, "seed": 0, "max_tokens": 20, "stop": ["."],
    }  # fmt: skip


def test_a_failed_ask_leaves_the_others_their_answers() -> None:
    def reply(body: dict[str, Any]) -> str | Fault:
        text = body["messages"][0]["content"]
        return status(400, "no") if text == "1" else text

    with ChatServer(reply) as server, ServerTextBackend.open(settings(server)) as backend:
        outcomes = list(backend.outcomes([Prompt(str(i)) for i in range(4)], 9))
        assert [x if isinstance(x, str) else x.type for x in outcomes] == ["0", "request", "2", "3"]
        with pytest.raises(ItemError):
            backend.generate([Prompt("0"), Prompt("1")], 9)


def test_results_come_in_order_and_no_more_are_begun_than_allowed() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002 * (number % 4))
        with lock:
            now -= 1
        return number * number

    assert list(in_order(work, range(40), 4)) == [n * n for n in range(40)]
    assert most == 4
    assert list(in_order(work, [], 3)) == []


def test_what_work_raises_comes_in_its_place_and_ends_the_rest() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ModelError("stop")
        return number

    results = in_order(work, range(100), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ModelError):
        next(results)
    assert len(begun) <= 4


def test_nothing_is_begun_before_it_is_wanted() -> None:
    drawn: list[int] = []

    def items() -> Any:
        for number in range(100):
            drawn.append(number)
            yield number

    results = in_order(lambda n: n, items(), 3)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(drawn) == 3
