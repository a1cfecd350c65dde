"""Kills a command at random moments, lets it finish, and compares what it wrote with an undisturbed run.

The commands are the real ones, in processes of their own, and so is the server that `realqa annotate` pays
(billing_server.py), which counts what was paid for nothing.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from process import command, environment

CONCURRENCY = 4
SERVER = Path(__file__).with_name("billing_server.py")


@dataclass(frozen=True)
class Toll:
    """What a round came to. kills: runs that ended by SIGKILL.  bills: answers that the server charged for.

    needed: bills that it would have taken without kills.  records: lines of the output.
    """

    photos: int
    kills: int
    bills: int
    needed: int
    records: int

    @property
    def excess(self) -> int:
        """Answers that were paid for and lost, or paid for twice."""
        return self.bills - self.needed

    @property
    def allowed(self) -> int:
        """The calls that can have been in flight at the kills."""
        return self.kills * CONCURRENCY


def make_photos(folder: Path, count: int) -> None:
    """Small ones, each with bytes of its own."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        colour = (i % 256, i // 256, 128)
        Image.new("RGB", (8, 8), colour).save(folder / f"{i:05d}.png")


@contextmanager
def billing_server(bills: Path) -> Iterator[str]:
    """The address of a server that writes its bills to the file."""
    server = subprocess.Popen([sys.executable, SERVER, bills], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def kill_round(folder: Path, photos: Path, most_kills: int, longest: float, seed: int) -> Toll:
    """Runs the command until it ends by itself, killing it up to `most_kills` times.

    It is killed at most `longest` seconds after it has begun to ask, or, one time in four, after its start.
    folder: for this round's files.
    Raises AssertionError where a photo has not exactly one good record at the end.
    """
    output, bills = folder / "labels.jsonl", folder / "bills.jsonl"
    with billing_server(bills) as url:
        run = [*annotate(photos, url), "-o", output]
        kills = kill_until_done(run, [bills], most_kills, longest, random.Random(seed))
    return _toll(photos, output, bills, kills)


def annotate(photos: Path, url: str) -> list[object]:
    """The arguments of the command that pays, without its output."""
    return [
        "annotate", photos, "--server", url, "--model", "tiny", "--image-format", "png", "--concurrency", CONCURRENCY, "-q"
    ]  # fmt: skip


def kill_until_done(
    arguments: Sequence[object],
    progress: Sequence[Path],
    most_kills: int,
    longest: float,
    pick: random.Random,
    after_kill: Callable[[], None] = lambda: None,
) -> int:
    """Starts the command again and again, killing it up to `most_kills` times, until it ends by itself: the kills.

    It is killed at most `longest` seconds after one of the files `progress` has grown, or, one time in four, after
    its start.
    """
    kills = 0
    while True:
        process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, env=environment())
        if kills == most_kills:
            assert process.wait(timeout=600) == 0
            return kills
        if pick.random() < 0.75:
            _await_growth(progress, process)
        time.sleep(pick.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        if code != -signal.SIGKILL:
            assert code == 0, "it ends well, unless it is killed"
            return kills
        kills += 1
        after_kill()


def _await_growth(files: Sequence[Path], process: subprocess.Popen[bytes]) -> None:
    """Returns when one of the files has grown, or the process has ended."""
    before = _sizes(files)
    while all(now <= then for now, then in zip(_sizes(files), before, strict=True)) and process.poll() is None:
        time.sleep(0.005)


def _sizes(files: Sequence[Path]) -> list[int]:
    return [file.stat().st_size if file.exists() else 0 for file in files]


def _toll(photos: Path, output: Path, bills: Path, kills: int) -> Toll:
    records = [json.loads(line) for line in output.read_text().splitlines()]
    billed = Counter((bill["photo"], bill["turn"]) for bill in map(json.loads, bills.read_text().splitlines()))
    names = sorted(str(path) for path in photos.iterdir())
    assert [record["image"] for record in records] == names, "each photo has one record, in order"
    assert all(record.get("error") is None for record in records)
    return Toll(len(names), kills, billed.total(), len(billed), len(records))
