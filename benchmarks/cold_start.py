"""One photo, scored by a process of its own: what a person at a prompt waits for. On two processor cores.

python -m benchmarks.cold_start --rounds 5
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.timing import side_by_side, table
from realqa_cli import models

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "examples" / "photos" / "bee.jpg"
CORES = 2

USUAL = "a script with transformers and `generate`"
_SCRIPT = (
    "import sys, pathlib; from benchmarks.plain import Plain;"
    "print(Plain(pathlib.Path(sys.argv[1])).generate([pathlib.Path(sys.argv[2])], max_pixels=401_408))"
)


def contestants() -> dict[str, list[str]]:
    """Name to command line."""
    command = [sys.executable, "-m", "realqa_cli", "score", str(PHOTO), "--quiet"]
    return {
        USUAL: [sys.executable, "-c", _SCRIPT, str(models.path("realqa-tiny")), str(PHOTO)],
        "`realqa score photo.jpg --backend hf`": [*command, "--backend", "hf"],
        "`realqa score photo.jpg`": command,
        "the same, `--max-pixels 100352`": [*command, "--max-pixels", "100352"],
        "`realqa --version`": [sys.executable, "-m", "realqa_cli", "--version"],
    }


def measure(rounds: int) -> str:
    """The section as Markdown."""
    commands = contestants()
    spent: dict[str, list[float]] = {name: [] for name in commands}

    def work(name: str) -> Callable[[], object]:
        return lambda: spent[name].append(_run(commands[name]))

    timed = side_by_side({name: work(name) for name in commands}, rounds, "cold start")
    rows = []
    for name in commands:
        low, high = timed.spread(USUAL, name)
        processor = statistics.median(spent[name][1:])
        figures = [f"{timed.median(name):.2f}", f"{processor:.2f}", f"{timed.ratio(USUAL, name):.1f}"]
        rows.append([name, *figures, f"{low:.1f}–{high:.1f}"])
    heads = ["process", "seconds", "processor seconds", "times as fast", "least and greatest"]
    intro = f"One photo at the bundled model's own pixel bounds, by a new process on {CORES} cores:"
    return f"{intro}\n\n{table(heads, rows)}"


def _run(command: list[str]) -> float:
    """The processor seconds of a run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(os.devnull, "wb") as nowhere:
        subprocess.run(command, check=True, cwd=ROOT, stdout=nowhere, stderr=nowhere, preexec_fn=_on_few_cores)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _on_few_cores() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    print(measure(parser.parse_args().rounds))
