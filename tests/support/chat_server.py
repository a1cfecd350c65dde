"""A real OpenAI-compatible HTTP server in a thread, with faults to order, for the tests.

with ChatServer(lambda body: "hello", faults=[status(500), HALF]) as server:
    ...  # the first two requests fail, all others are answered with "hello"
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Fault:
    """What a request gets in place of an answer. cut: bytes of the body that are promised and never come."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    silent: bool = False


def status(code: int, message: str = "", **headers: str) -> Fault:
    """An error as such servers give it; headers by name, `_` for `-`."""
    body = json.dumps({"error": {"message": message, "type": "x", "code": None}})
    return Fault(code, body, {name.replace("_", "-"): value for name, value in headers.items()})


HALF = Fault(body='{"choices": [{"mess', cut=400)
GARBAGE = Fault(body="<html>busy</html>")
SILENT = Fault(silent=True)


def completion(text: str | None, **choice: Any) -> str:
    """The body of an answer; `choice` overrides fields such as finish_reason and message."""
    message = {"role": "assistant", "content": text}
    first = {"index": 0, "message": message, "finish_reason": "stop", **choice}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [first], "usage": {}})


Answer = str | Fault


class ChatServer:
    """Answers with `reply(body)` once the `faults` are used up, one a request.

    bodies, headers: of the chat requests, in the order in which they came.
    """

    def __init__(
        self,
        reply: Callable[[dict[str, Any]], Answer] = lambda body: "hello",
        *,
        faults: Iterable[Fault] = (),
        models: Sequence[str] | None = ("tiny",),
    ) -> None:
        self.reply, self.faults, self.models = reply, list(faults), models
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                """Tests have no use for it."""

            def do_GET(self) -> None:
                if self.path != "/v1/models" or ours.models is None:
                    return self.send(status(404, "no such page"))
                listed = {"object": "list", "data": [{"id": name} for name in ours.models]}
                return self.send(Fault(body=json.dumps(listed)))

            def do_POST(self) -> None:
                length, data = int(self.headers["content-length"]), b""
                with suppress(ConnectionError):
                    data = self.rfile.read(length)
                if len(data) < length:  # whoever asked was killed while asking
                    return None
                body = json.loads(data)
                with ours._lock:
                    ours.bodies.append(body)
                    ours.headers.append({name.lower(): value for name, value in self.headers.items()})
                    fault = ours.faults.pop(0) if ours.faults else None
                if self.path != "/v1/chat/completions":
                    return self.send(status(404, "no such page"))
                answer: Answer = ours.reply(body) if fault is None else fault
                return self.send(answer if isinstance(answer, Fault) else Fault(body=completion(answer)))

            def send(self, fault: Fault) -> None:
                if fault.silent:
                    ours._over.wait()
                    return
                data = fault.body.encode()
                self.send_response(fault.status)
                for name, value in fault.headers.items():
                    self.send_header(name, value)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data) + fault.cut))
                with suppress(ConnectionError):  # whoever asked may be gone
                    self.end_headers()
                    self.wfile.write(data)

        return Handler
