"""Time and memory of `realqa score` as a process over more and more photos: memory is to stay flat."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import samples
from benchmarks.timing import table

PAUSE = 0.2  # seconds between looks at the process's memory
MIB = 2**20


@dataclass(frozen=True)
class Grown:
    """A run in seconds. early, late: greatest resident memory in bytes, up to a tenth, and of all."""

    photos: int
    seconds: float
    early: int
    late: int


def measure(counts: list[int], backends: list[str]) -> str:
    """The section as Markdown."""
    rows = []
    for backend in backends:
        runs = [_run(count, backend) for count in counts]
        for run in runs:
            rate = run.seconds / run.photos / (runs[-1].seconds / runs[-1].photos)
            cells = [
                backend,
                f"{run.photos:,}",
                f"{rate:.2f}",
                f"{run.early / MIB:.0f}",
                f"{run.late / MIB:.0f}",
            ]
            rows.append(cells)
    intro = (
        "Links to four small JPEGs, `--max-pixels 12544`, the start of the process included. Time a photo as"
        " a multiple of the longest run's; resident memory in MiB at its greatest, while the first tenth was"
        " scored and over the whole run:"
    )
    heads = ["backend", "photos", "time a photo", "memory, first tenth", "memory, all"]
    return f"{intro}\n\n" + table(heads, rows)


def _run(count: int, backend: str) -> Grown:
    with tempfile.TemporaryDirectory() as folder:
        photos, output = samples.small(Path(folder), count), Path(folder) / "scores.jsonl"
        command = [sys.executable, "-m", "realqa_cli", "score", str(photos), "-o", str(output), "-q"]
        command += ["--backend", backend, "--max-pixels", "12544"]
        begin = time.perf_counter()
        with subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}) as process:
            early, late = _watched(process, output, count)
            if process.wait():
                raise SystemExit(f"realqa failed: {' '.join(command)}")
        print(f"scaling: {backend}, {count} photos done", file=sys.stderr, flush=True)
        return Grown(count, time.perf_counter() - begin, early, late)


def _watched(process: "subprocess.Popen[bytes]", output: Path, count: int) -> tuple[int, int]:
    """The greatest resident memory in bytes up to a tenth of the records, and of the whole run."""
    seen, early, late = psutil.Process(process.pid), 0, 0
    line = 0.0
    while process.poll() is None:
        try:
            late = max(late, seen.memory_info().rss)
        except psutil.Error:
            break
        size = output.stat().st_size if output.exists() else 0
        if not line and size:
            with output.open("rb") as file:
                line = len(file.readline()) or 0.0
        if not line or size <= count / 10 * line:
            early = late
        time.sleep(PAUSE)
    return early, late
