"""An OpenAI-compatible server, as a process, that labels photos and writes down what it bills.

    python tests/billing_server.py BILLS.jsonl

It prints its address. A line of BILLS.jsonl is a request that was answered, or would have been: the digest of
the photo, and the turn. Of some photos the first answer is broken, so that a second turn is needed; now and
then a request is refused with 429 or 500, which is not billed.
"""

import hashlib
import json
import os
import random
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

QUICKEST, SLOWEST = 0.01, 0.08  # seconds that an answer takes
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


def label(seed: int = 0, **changes: Any) -> dict[str, Any]:
    """What a good answer says; another one for another seed."""
    pick = random.Random(seed)
    return {
        "composition": {"reason": "The frame is balanced.", "score": pick.randint(1, 10)},
        "eye_catching": {"reason": "The light draws the eye.", "score": pick.randint(1, 10)},
        "subject_background": {"subject": "bed", "background": "hotel room"},
        "subject_integrity": pick.choice(["incomplete", "partially complete", "fully complete"]),
        "subject_clutter": "uncluttered",
        "background_clutter": pick.choice(["cluttered", "moderately cluttered", "uncluttered"]),
        "level_shot": pick.choice(["yes", "no"]),
        "image_clarity": pick.choice(["very blurry", "very clear"]),
        "exposure": "properly exposed",
        "saturation": "medium",
    } | changes


def photo_of(body: dict[str, Any]) -> str:
    """The digest of the photo in a request."""
    url = body["messages"][0]["content"][0]["image_url"]["url"]
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class Handler(BaseHTTPRequestHandler):
    """Answers, bills, and refuses a little."""

    bills: Path
    requests = 0
    lock = threading.Lock()

    def log_message(self, *arguments: object) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        data = self.rfile.read(length := int(self.headers["content-length"]))
        if len(data) < length:  # whoever asked was killed
            return
        body = json.loads(data)
        photo, turn = photo_of(body), len(body["messages"]) // 2
        with self.lock:
            Handler.requests += 1
            number = Handler.requests
        if number % 37 == 0:
            self._send(429 if number % 2 else 500, {"error": {"message": "busy"}})
            return
        with self.lock, self.bills.open("a") as bills:
            bills.write(json.dumps({"photo": photo, "turn": turn}) + "\n")
        time.sleep(random.uniform(QUICKEST, SLOWEST))
        seed = int(photo, 16)
        text = json.dumps(label(seed)) if turn or seed % 10 else '{"composition": {"score": 12}'
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._send(200, {"object": "chat.completion", "model": "tiny", "choices": [choice], "usage": USAGE})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        with suppress(ConnectionError):  # whoever asked may have been killed
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


def main() -> None:
    """Serves until it is stopped."""
    Handler.bills = Path(sys.argv[1])
    Handler.bills.touch()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    os.write(1, f"http://127.0.0.1:{server.server_port}/v1\n".encode())
    server.serve_forever()


if __name__ == "__main__":
    main()
