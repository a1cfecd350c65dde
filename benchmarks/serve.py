"""Requests a second of `realqa serve` under load by a real client, against one process of `realqa score`.

    python -m benchmarks.serve                    the model's own bounds, 1080p JPEGs, 5 rounds
    python -m benchmarks.serve --backend openvino --rounds 3

In every round `realqa score` scores a folder once (loading not counted, as in its own summary), then so many clients
upload the same photos to a server, each one the next photo as soon as it has its answer.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx2

from benchmarks import samples
from benchmarks.timing import table

CLIENTS = (1, 8, 32)
COMMAND = [sys.executable, "-m", "realqa_cli"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Load:
    """One round with a number of clients. rate: requests a second.  seconds: of each request, ascending."""

    rate: float
    seconds: Sequence[float]

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered."""
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def measure(rounds: int, requests: int, options: Sequence[str] = ()) -> str:
    """The section as Markdown. requests: of each number of clients in a round."""
    scored: list[float] = []
    loads: dict[int, list[Load]] = {clients: [] for clients in CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        photos = samples.large(Path(folder) / "photos", requests)
        bodies = [file.read_bytes() for file in sorted(photos.glob("*.jpg"))]
        with _server(options, Path(folder) / "log") as address:
            _load(address, bodies[:4], 4)
            for number in range(rounds):
                scored.append(_score(photos, options))
                for clients, found in loads.items():
                    found.append(_load(address, bodies, clients))
                print(f"serve: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return _section(scored, loads, requests)


def _section(scored: Sequence[float], loads: dict[int, list[Load]], requests: int) -> str:
    rows = []
    for clients, found in loads.items():
        ratios = [load.rate / rate for load, rate in zip(found, scored, strict=True)]
        rate, median, late = (
            statistics.median(values)
            for values in (
                [load.rate for load in found],
                [load.quantile(0.5) for load in found],
                [load.quantile(0.99) for load in found],
            )
        )
        cells = [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}", f"{rate:.2f}"]
        rows.append([str(clients), *cells, f"{median * 1000:.0f}", f"{late * 1000:.0f}"])
    intro = (
        f"{requests} uploads of 1080p JPEGs a round and number of clients; requests a second as a multiple of the"
        f" photos a second of one `realqa score` process in the same round ({statistics.median(scored):.2f}):"
    )
    heads = ["clients", "of `realqa score`", "rounds", "requests a second", "p50 in ms", "p99 in ms"]
    return f"{intro}\n\n" + table(heads, rows)


def _score(photos: Path, options: Sequence[str]) -> float:
    """Photos a second of the command, by its own summary."""
    command = [*COMMAND, "score", str(photos), *options]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    found = re.search(r"speed: ([\d.,]+) items a second", ran.stderr)
    assert found is not None, ran.stderr
    return float(found[1].replace(",", ""))


def _load(address: str, bodies: Sequence[bytes], clients: int) -> Load:
    """Every photo once, by so many clients at the same time."""
    numbers = count()
    limits = httpx2.Limits(max_connections=clients)
    seconds: list[float] = []

    def work(_: int) -> None:
        while (number := next(numbers)) < len(bodies):
            begin = time.perf_counter()
            answer = client.post("/v1/score", files={"image": (f"{number}.jpg", bodies[number])})
            answer.raise_for_status()
            seconds.append(time.perf_counter() - begin)

    with httpx2.Client(base_url=address, timeout=600, trust_env=False, limits=limits) as client:
        begin = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(work, range(clients)))
        elapsed = time.perf_counter() - begin
    assert len(seconds) == len(bodies)
    return Load(len(bodies) / elapsed, sorted(seconds))


@contextmanager
def _server(options: Sequence[str], log: Path) -> Iterator[str]:
    """The address of `realqa serve`, once it answers."""
    command = [*COMMAND, "serve", "--port", "0", "--only", "score", *options]
    with log.open("wb") as stream, subprocess.Popen(command, env=ENVIRONMENT, stderr=stream) as process:
        try:
            while (found := re.search(r"serving at (\S+) ", log.read_text())) is None:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield found[1]
        finally:
            process.terminate()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--requests", type=int, default=64, metavar="N", help="uploads of each number of clients")
    parser.add_argument("--backend", default="auto", metavar="NAME")
    parser.add_argument("--max-pixels", type=int, metavar="N")
    given = parser.parse_args()
    bounds = ["--max-pixels", str(given.max_pixels)] if given.max_pixels else []
    print(measure(given.rounds, given.requests, ["--backend", given.backend, *bounds]))


if __name__ == "__main__":
    main()
