"""A web server with files in memory, which can fail first, refuse, or break off; it counts what it is asked for."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT"


class PhotoServer:
    """`with PhotoServer({"a.jpg": data}) as server: fetch(f"{server.url}/a.jpg")`.

    statuses: for a path the statuses of its first answers to GET, before it is given.  tags: whether it sends ETags.
    cut: for a path the bytes after which the first connection for it breaks off.  users: "name:word" by Basic auth.
    """

    def __init__(self, files: dict[str, bytes], *, tags: bool = True) -> None:
        self.files, self.tags = files, tags
        self.statuses: dict[str, list[int]] = {}
        self.cut: dict[str, int] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.queries: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                server._answer(self, "HEAD")

            def do_GET(self) -> None:
                server._answer(self, "GET")

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def gets(self, name: str) -> int:
        """How often the content of a file was asked for."""
        return self.asked["GET", name]

    def _answer(self, request: BaseHTTPRequestHandler, method: str) -> None:
        name, _, query = request.path.lstrip("/").partition("?")
        self.asked[method, name] += 1
        self.queries.append(query)
        statuses = self.statuses.get(name, [])
        data = self.files.get(name)
        status = statuses.pop(0) if statuses and method == "GET" else 200 if data is not None else 404
        data = (data or b"") if status == 200 else b""
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.send_header("Last-Modified", MODIFIED)
        if self.tags:
            request.send_header("ETag", f'"{hash(data)}"')
        request.end_headers()
        if method == "GET":
            cut = self.cut.pop(name, None)
            request.wfile.write(data[:cut])
            if cut is not None:
                request.close_connection = True
