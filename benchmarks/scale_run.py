"""Score very many photos in shards that are killed at random, resume, merge: counts, memory, and opened photos.

The photos are links to a few small JPEGs, and the model is `echo`: what is measured is everything around a model. Each
shard is one process, killed by SIGKILL at random moments and started again until it ends by itself. Then all shards run
once more, under an audit hook that counts the photos that are opened, which must be none. `realqa merge` joins the
outputs.

    python -m benchmarks.scale_run --photos 1000000 --shards 4 --kills 8
    python -m benchmarks.scale_run --index-only --photos 10000000
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
HOOK = """
import atexit, os, sys
_opened = 0
def _hook(event, arguments):
    global _opened
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        _opened += os.fsdecode(arguments[0]).endswith(".jpg")
sys.addaudithook(_hook)
atexit.register(lambda: open(os.environ["OPENED"], "w").write(str(_opened)))
"""
MB = 2**20


def make_photos(folder: Path, count: int) -> Path:
    """Links to 100 different small JPEGs, last modified long ago, and the list of their names."""
    originals = folder / "originals"
    originals.mkdir()
    for number in range(100):
        file = originals / f"{number}.jpg"
        Image.new("RGB", (64, 64), (number, 255 - number, 2 * number)).save(file)
        os.utime(file, (10**9, 10**9))
    names = folder / "names.txt"
    with names.open("w", encoding="utf-8") as stream:
        for number in range(count):
            place = folder / "photos" / f"{number // 10_000:04}"
            if number % 10_000 == 0:
                place.mkdir(parents=True)
            link = place / f"{number:09}.jpg"
            link.symlink_to(originals / f"{number % 100}.jpg")
            stream.write(f"{link}\n")
    return names


class Peak:
    """The largest memory of a process while it runs, in MB: without pages of files that it only maps."""

    def __init__(self, process: "subprocess.Popen[Any]") -> None:
        self.samples: list[float] = []
        self._process = psutil.Process(process.pid)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            try:
                memory = self._process.memory_info()
            except psutil.NoSuchProcess:
                return
            self.samples.append((memory.rss - memory.shared) / MB)
            time.sleep(0.5)

    @property
    def flatness(self) -> tuple[float, float]:
        """The median of the first and of the last quarter after the start, in MB."""
        samples = self.samples[min(len(self.samples) // 4, 20) :] or [0.0]
        quarter = max(1, len(samples) // 4)
        first, last = sorted(samples[:quarter]), sorted(samples[-quarter:])
        return first[len(first) // 2], last[len(last) // 2]


def command(names: Path, shard: str, output: Path) -> list[str]:
    """One shard of the run."""
    return [
        *(sys.executable, "-m", "realqa_cli", "score", "--files-from", str(names), "--shard", shard),
        *("--backend", "echo", "--batch-size", "64", "--progress", "off", "-o", str(output)),
    ]


def environment(**more: str) -> dict[str, str]:
    """Of the commands: one thread for each library."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def run_shard(names: Path, shard: str, output: Path, kills: int, pick: random.Random) -> dict[str, Any]:
    """Run a shard to its end through so many kills."""
    seconds, made, flatness, peak = 0.0, 0, (0.0, 0.0), 0.0
    for left in range(kills, -1, -1):
        start, before = time.monotonic(), lines_in(output)
        process = subprocess.Popen(command(names, shard, output), env=environment(), stderr=subprocess.PIPE, text=True)
        watch = Peak(process)
        if left:
            while process.poll() is None and lines_in(output) == before:
                time.sleep(0.05)
            with_time = pick.uniform(0, 60)
            try:
                process.wait(timeout=with_time)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        seconds += time.monotonic() - start
        made += lines_in(output) - before
        peak = max(peak, *watch.samples, 0.0)
        if process.returncode == 0:
            flatness = watch.flatness
            break
        assert process.returncode == -signal.SIGKILL, said
    return {"seconds": seconds, "records": made, "peak_mb": peak, "first_mb": flatness[0], "last_mb": flatness[1]}


def resume_shard(names: Path, shard: str, output: Path, folder: Path) -> dict[str, Any]:
    """Run a finished shard again, and count the photos that it opens."""
    (folder / "hook").mkdir(exist_ok=True)
    (folder / "hook" / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    opened = folder / "opened"
    env = environment(PYTHONPATH=f"{folder / 'hook'}{os.pathsep}{ROOT}", OPENED=str(opened))
    start = time.monotonic()
    process = subprocess.Popen(command(names, shard, output), env=env, stderr=subprocess.PIPE, text=True)
    watch = Peak(process)
    _, said = process.communicate()
    assert process.returncode == 0, said
    done = re.search(r"items: (\d+) done before", said)
    assert done, said
    return {
        "seconds": time.monotonic() - start,
        "done_before": int(done[1]),
        "opened": int(opened.read_text()),
        "peak_mb": max(watch.samples),
    }


def lines_in(output: Path) -> int:
    """The whole lines of a file, 0 where there is none."""
    if not output.exists():
        return 0
    with output.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(MB), b""))


def merge(outputs: list[Path], merged: Path, photos: int) -> dict[str, Any]:
    """Merge the shards; each photo must have one record."""
    start = time.monotonic()
    call = [sys.executable, "-m", "realqa_cli", "merge", *map(str, outputs), "-o", str(merged)]
    process = subprocess.Popen(call, env=environment(), stderr=subprocess.PIPE, text=True)
    watch = Peak(process)
    _, said = process.communicate()
    assert process.returncode == 0, said
    seconds = time.monotonic() - start
    with merged.open(encoding="utf-8") as stream:
        names = {hash(json.loads(line)["image"]) for line in stream}
    assert lines_in(merged) == len(names) == photos, (lines_in(merged), len(names), photos)
    return {"seconds": seconds, "records": photos, "peak_mb": max(watch.samples)}


SAMPLE = 100_000


def index_alone(folder: Path, count: int) -> dict[str, Any]:
    """Make the index of an output with so many records, open it again, look up all of them, and append some more."""
    from realqa_cli.io.appender import Appender
    from realqa_cli.io.finished_items import name_key, record_key
    from realqa_cli.io.record_index import index_file

    output = folder / "scores.jsonl"
    own = psutil.Process()

    def used() -> float:
        memory = own.memory_info()
        return float((memory.rss - memory.shared) / MB)

    def opened() -> Appender:
        return Appender(output, key=record_key, also=name_key, indexed=True)

    def record(number: int) -> Mapping[str, Any]:
        return {"image": f"photos/{number:09}.jpg", "score": 3.98, "run": "0123456789abcdef", "content": f"c{number}"}

    result: dict[str, Any] = {"records": count}
    with output.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record(number)) + "\n" for number in range(count))
    result["mb_before"] = used()
    with timed(result, "make_seconds"), opened() as file:
        result["mb_making"] = used()
    result["index_bytes_per_record"] = index_file(output).stat().st_size / count
    with timed(result, "open_seconds"):
        file = opened().__enter__()
    with timed(result, "look_up_seconds"):
        for number in range(count):
            one = record(number)
            assert file.take((one["image"], one["content"], one["run"]))
    assert file.unclaimed == 0
    result["mb_looking_up"] = used()
    with timed(result, "append_sample_seconds"):
        for number in range(count, count + SAMPLE):
            file.append(record(number), more=[("file", number)])
    result["mb_appending"] = used()
    with timed(result, "close_seconds"):
        file.__exit__(None, None, None)
    return result


@contextmanager
def timed(result: dict[str, Any], name: str) -> Iterator[None]:
    """Writes the seconds of the block to the result, and those that processors worked for it."""
    start, worked = time.monotonic(), time.process_time()
    yield
    result[name], result[f"{name}_of_processor"] = time.monotonic() - start, time.process_time() - worked


def main() -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--kills", type=int, default=2, help="of each shard, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index-only", action="store_true", help="no photos: the index of an output alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, pick = Path(place), random.Random(given.seed)
        if given.index_only:
            print(json.dumps(index_alone(folder, given.photos), indent=1))
            return 0
        names = make_photos(folder, given.photos)
        shards = [f"{number}/{given.shards}" for number in range(1, given.shards + 1)]
        outputs = [folder / f"part-{number}.jsonl" for number in range(given.shards)]
        pairs = list(zip(shards, outputs, strict=True))
        result: dict[str, Any] = {"photos": given.photos, "shards": []}
        for shard, output in pairs:
            result["shards"].append(run_shard(names, shard, output, given.kills, pick))
        result["resumed"] = [resume_shard(names, shard, output, folder) for shard, output in pairs]
        result["merged"] = merge(outputs, folder / "all.jsonl", given.photos)
        assert sum(lines_in(output) for output in outputs) == given.photos
        assert sum(each["done_before"] for each in result["resumed"]) == given.photos
        assert all(each["opened"] == 0 for each in result["resumed"])
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
