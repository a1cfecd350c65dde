"""Servers that refuse single photos, want money, send without end, or send what cannot be written to a file."""

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from chat_server import ChatServer, Fault, completion

from realqa_cli.backends.server import transport
from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.replies import Reply, without_lone_surrogates
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.errors import ItemError, ModelError

MESSAGES = [{"role": "user", "content": "?"}]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def error(status: int, message: str, code: str | None = None) -> Fault:
    return Fault(status, json.dumps({"error": {"message": message, "code": code}}))


def ask(server: ChatServer) -> str:
    with ServerClient(ServerSettings(server.url, "tiny", retries=0)) as client:
        return client.chat(MESSAGES).text


@pytest.mark.parametrize(
    "fault",
    [
        error(403, "Your chosen model requires moderation and your input was flagged"),
        error(400, "The response was filtered due to the content management policy", "content_filter"),
        error(400, "Input data may contain inappropriate content.", "DataInspectionFailed"),
    ],
)
def test_a_photo_that_the_server_flags_is_an_error_of_that_photo(fault: Fault) -> None:
    with ChatServer(faults=[fault]) as server, pytest.raises(ItemError) as raised:
        ask(server)
    assert raised.value.type == "refused"


def test_a_403_after_a_good_answer_is_an_error_of_that_photo() -> None:
    faults = [Fault(body=completion("one")), error(403, "no")]
    with ChatServer(faults=faults) as server, ServerClient(ServerSettings(server.url, "tiny", retries=0)) as client:
        assert client.chat(MESSAGES).text == "one"
        with pytest.raises(ItemError, match="rejects this request"):
            client.chat(MESSAGES)
        assert client.chat(MESSAGES).text == "hello"


def test_a_403_before_any_answer_stops_the_run() -> None:
    with ChatServer(faults=[error(403, "no")]) as server, pytest.raises(ModelError, match="key"):
        ask(server)


@pytest.mark.parametrize(
    "fault",
    [
        error(400, "Access denied, please make sure your account is in good standing.", "Arrearage"),
        error(429, "Billing hard limit has been reached", "billing_hard_limit_reached"),
        error(429, "You exceeded your current quota", "insufficient_quota"),
        error(402, "Insufficient Balance"),
        error(400, "Your credit balance is too low to access the API"),
        error(429, "Rate limit exceeded: free-models-per-day"),
        error(429, "Quota exceeded for quota metric 'requests' and limit 'GenerateRequestsPerDayPerProject'"),
        error(429, "Rate limit reached on requests per day (RPD): Limit 200"),
    ],
)
def test_an_account_without_money_or_quota_stops_the_run_at_once(fault: Fault) -> None:
    with ChatServer(faults=[fault]) as server:
        with pytest.raises(ModelError, match="no credit or quota left"):
            ask(server)
        assert len(server.bodies) == 1


def test_a_limit_per_minute_is_retried() -> None:
    with ChatServer(faults=[error(429, "Rate limit reached on tokens per min (TPM)")]) as server:
        settings = ServerSettings(server.url, "tiny", retries=1, first_wait=0.01)
        with ServerClient(settings) as client:
            assert client.chat(MESSAGES).text == "hello"


@contextmanager
def raw_server(write: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that reads a request and then writes whatever `write` does, until the event is set."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError):
                    connection.recv(65536)
                    write(connection, over)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        over.set()
        listener.close()


def drip_body(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD + b"content-length: 1000000\r\n\r\n")
    while not over.wait(0.02):
        connection.sendall(b" ")


def drip_headers(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD)
    while not over.wait(0.02):
        connection.sendall(b"x")


@pytest.mark.parametrize("write", [drip_body, drip_headers])
def test_a_dripping_server_is_given_up_at_the_deadline(write: Any) -> None:
    with (
        raw_server(write) as url,
        ServerClient(ServerSettings(url, "tiny", retries=0, timeout=0.5)) as client,
        pytest.raises(ItemError, match=r"no complete answer within 0\.5 seconds"),
    ):
        client.chat(MESSAGES)


def endless(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD + b"content-length: 10000000000\r\n\r\n")
    while not over.is_set():
        connection.sendall(b" " * 65536)


def bomb(connection: socket.socket, over: threading.Event) -> None:
    data = gzip.compress(b" " * 2**23)
    connection.sendall(HEAD + f"content-encoding: gzip\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)


@pytest.mark.parametrize("write", [endless, bomb])
def test_a_body_beyond_the_limit_is_not_kept(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_BODY", 2**20)
    with (
        raw_server(write) as url,
        ServerClient(ServerSettings(url, "tiny", retries=0, timeout=60)) as client,
        pytest.raises(ItemError, match="the body exceeds 1 MB"),
    ):
        client.chat(MESSAGES)


def test_lone_surrogates_become_replacement_characters() -> None:
    text = "A \\ud800 lone one, and a pair \\ud83d\\ude00."
    body = completion("TEXT").replace("TEXT", text)
    with ChatServer(faults=[Fault(body=body)]) as server:
        assert ask(server) == "A \N{REPLACEMENT CHARACTER} lone one, and a pair \N{GRINNING FACE}."
    assert without_lone_surrogates({"a\udfff": ["\ud800", 1, None]}) == {
        "a\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}", 1, None]
    }


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_an_answer_in_the_field_for_thoughts_is_read_if_it_is_complete(field: str) -> None:
    def reply(finish_reason: str) -> Reply:
        message = {"role": "assistant", "content": None, field: "Let me see.</think>The score is fine."}
        return Reply({"choices": [{"message": message, "finish_reason": finish_reason}]})

    assert reply("stop").text == "The score is fine."
    with pytest.raises(ItemError, match="empty"):
        _ = reply("length").text
