"""An OpenAI-compatible server with a model of 5 million parameters: the bundled realqa-tiny labels the photo.

It takes the place of a paid service. Every class and score is the model's answer to the photo in the request,
chosen among the options by probability. The model writes no free text: what the schema asks for in words is
composed here of the classes, and says so.

    python examples/annotation/tiny_server.py --port 8017
    realqa annotate photos/ --server http://127.0.0.1:8017/v1 -o labels.jsonl
"""

from __future__ import annotations

import argparse
import base64
import binascii
import io
import json
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image
from tokenizers import Tokenizer

from realqa_cli import models
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.io.sources import Item
from realqa_cli.steps.self_label.self_label import LabelSettings, SelfLabeler

MODEL = "realqa-tiny"
COMPOSED = f"Composed of {MODEL}'s classes, not written by it"
NOT_NAMED = f"not named: {MODEL} writes no free text"
SIDE = 28  # pixels; such a square of a photo counts as one token

Answer = dict[str, Any]


class Refused(Exception):
    """A request that cannot be answered; the status is 400."""


class TinyModel:
    """realqa-tiny behind a lock: one photo at a time, for all clients."""

    def __init__(self) -> None:
        self._labeller = SelfLabeler(LabelSettings(model=MODEL, batch_size=1))
        self._words = Tokenizer.from_file(str(models.path(MODEL) / "tokenizer.json"))
        self._lock = threading.Lock()

    def attributes(self, photo: bytes) -> Answer:
        """The nine attributes that have classes or scores, as label records hold them. Raises Refused."""
        with self._lock, tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "photo")
            file.write_bytes(photo)
            (record,) = self._labeller.records([Item(0, "the photo", file)])
        if record.get("error") is not None:
            raise Refused(record["error"]["message"])
        return dict(record["attributes"])

    def tokens(self, text: str, photo: bytes | None = None) -> int:
        """What is charged: the model's own tokens of a text, and squares of `SIDE` pixels of a photo."""
        squares = 0
        if photo is not None:
            with Image.open(io.BytesIO(photo)) as image:
                squares = -(-image.width // SIDE) * -(-image.height // SIDE)
        return len(self._words.encode(text).ids) + squares


def in_words(found: Mapping[str, Any]) -> Answer:
    """All ten attributes as the question wants them: with reasons, and with a subject and a background."""
    level = "level" if found["level_shot"] == "yes" else "tilted"
    sentences = {
        "composition": f"the subject is {found['subject_integrity']} and {found['subject_clutter']},"
        f" the background {found['background_clutter']}, the camera {level}",
        "eye_catching": ", ".join(
            ATTRIBUTES[key].phrase(found[key]) for key in ("image_clarity", "exposure", "saturation")
        ),
    }
    answer: Answer = {}
    for key in ATTRIBUTES:
        if key in sentences:
            answer[key] = {"reason": f"{COMPOSED}: {sentences[key]}.", "score": found[key]["score"]}
        elif key == "subject_background":
            answer[key] = {"subject": NOT_NAMED, "background": NOT_NAMED}
        else:
            answer[key] = found[key]
    return answer


def asked_for(body: Answer) -> list[str]:
    """The keys of the answer's schema; without one all ten. Raises Refused for unknown attributes."""
    match body.get("response_format"):
        case {"json_schema": {"schema": {"properties": dict(properties)}}}:
            wanted = list(properties)
        case _:
            wanted = list(ATTRIBUTES)
    if unknown := ", ".join(key for key in wanted if key not in ATTRIBUTES):
        raise Refused(f"{MODEL} does not give: {unknown}")
    return wanted


def parts_of(body: Answer) -> tuple[str, bytes]:
    """The words and the photo of the last message that has one. Raises Refused."""
    texts, photo = [], None
    for message in body.get("messages", ()):
        content = message.get("content")
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part.get("type") == "text":
                texts.append(str(part.get("text")))
            elif part.get("type") == "image_url":
                photo = decoded(str(part["image_url"]["url"]))
    if photo is None:
        raise Refused("there is no photo in the request")
    return "\n".join(texts), photo


def decoded(uri: str) -> bytes:
    """The bytes of a data URI. Raises Refused."""
    head, _, data = uri.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise Refused("the photo must be a data URI in base64")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise Refused(f"the photo is not base64 ({error})") from error


def completion(model: TinyModel, body: Answer, number: int) -> Answer:
    """The reply to a request for a chat completion. Raises Refused."""
    wanted = asked_for(body)
    words, photo = parts_of(body)
    answer = in_words(model.attributes(photo))
    text = json.dumps({key: answer[key] for key in wanted})
    given, written = model.tokens(words, photo), model.tokens(text)
    return {
        "id": f"{MODEL}-{number}",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written},
    }


class Handler(BaseHTTPRequestHandler):
    """The two paths that `realqa annotate` requests."""

    protocol_version = "HTTP/1.1"
    model: TinyModel
    numbers = count(1)

    def do_GET(self) -> None:
        """The list of models."""
        if self.path == "/v1/models":
            self.send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self.fail(404, "no such page")

    def do_POST(self) -> None:
        """A chat completion."""
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v1/chat/completions":
            return self.fail(404, "no such page")
        try:
            body = json.loads(sent)
            if body.get("model") != MODEL:
                return self.fail(404, f"no model {body.get('model')!r} here")
            return self.send(200, completion(self.model, body, next(self.numbers)))
        except Refused as refused:
            return self.fail(400, str(refused))
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            return self.fail(400, f"no request for a chat completion ({error})")

    def fail(self, status: int, message: str) -> None:
        """An error as OpenAI's servers give it."""
        self.send(status, {"error": {"message": message, "type": "invalid_request_error", "code": None}})

    def send(self, status: int, body: Answer) -> None:
        """A JSON body."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        with suppress(ConnectionError):  # the client may have disconnected
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Silent: the client reports its requests."""


def main() -> None:
    """Serves until it is interrupted; the first line on stdout is the address."""
    parser = argparse.ArgumentParser(description="Serve realqa-tiny as an OpenAI-compatible model.")
    parser.add_argument("--port", type=int, default=8017, help="0 for any that is free (default: 8017)")
    options = parser.parse_args()
    try:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    except OSError as error:
        sys.exit(f"port {options.port} cannot be had: {error.strerror}; give another --port")
    Handler.model = TinyModel()
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
