"""`realqa serve` in a process of its own, with a client."""

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from process import command, environment


@dataclass
class Served:
    """A server that answers. log: what it writes to stderr."""

    process: subprocess.Popen[bytes]
    address: str
    client: httpx2.Client
    log: Path

    def upload(self, *files: Path, task: str = "score", **more: Any) -> httpx2.Response:
        """One file as `image`, or several as `images`."""
        name = "image" if len(files) == 1 else "images"
        parts = [(name, (file.name, file.read_bytes())) for file in files]
        return self.client.post(f"/v1/{task}", files=parts, **more)

    def ask(self, content: Any, *, task: str = "score", **more: Any) -> httpx2.Response:
        """A request in JSON."""
        return self.client.post(f"/v1/{task}", json=content, **more)

    def metric(self, line: str) -> float:
        """The value of a metric; 0 where there is none yet."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(
    *arguments: object,
    cwd: Path | None = None,
    prefix: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """`realqa serve ARGUMENTS` at a free port until the block ends.

    prefix: starts `realqa` in another way.  env: more environment variables.
    """
    call = [*(command() if prefix is None else prefix), "serve", "--port", "0", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        with log.open("wb") as stream:
            process = subprocess.Popen(call, stderr=stream, cwd=cwd, env=environment(**(env or {})))
        try:
            address = _awaited(process, log)
            with httpx2.Client(base_url=address, timeout=60, trust_env=False) as client:
                yield Served(process, address, client, log)
        finally:
            process.kill()
            process.wait()


def _awaited(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address, once the server has announced it."""
    for _ in range(6000):
        if found := re.search(r"serving at (\S+) ", log.read_text()):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"realqa serve does not answer: {log.read_text()}")
