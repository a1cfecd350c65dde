"""Runs the benchmarks side by side and writes benchmarks/RESULTS.md.

    python -m benchmarks                 everything that runs on a CPU: about ten minutes on two quiet cores
    python -m benchmarks --quick         the same in a few minutes, less sure
    python -m benchmarks --device cuda   a model of Qwen2-VL-2B's dimensions, on a GPU
    python -m benchmarks --only chains   one part

Only ratios are reported: another machine is faster or slower, while ratios change little. Behind each figure that
has changed is the one of the last results.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_OFFLINE"] = "1"

from benchmarks.previous import with_previous  # noqa: E402 - found by the path above

RESULTS = ROOT / "benchmarks" / "RESULTS.md"


@dataclass(frozen=True)
class Effort:
    """How much is measured. rounds: of each comparison.  photos: in a round.  counts: of the scaling runs."""

    rounds: int
    photos: int
    bounds: tuple[int, ...]
    counts: tuple[int, ...]
    batches: tuple[int, ...]


FULL = Effort(5, 8, (50_000, 100_000, 200_000, 400_000), (100, 1_000, 10_000), (1, 4, 8, 16, 32))
QUICK = Effort(3, 4, (100_000,), (100, 300), (1, 4))


def parts(effort: Effort, device: str) -> dict[str, tuple[str, Callable[[], str]]]:
    """Name of each part that the device can do, with its title and its measurement."""
    if device == "cuda":
        from benchmarks import large_model as large

        title = "A model of Qwen2-VL-2B's dimensions"
        batches = list(effort.batches)
        return {"large": (title, lambda: large.measure(effort.rounds, batches, "cuda", large.TEXT, large.VISION))}
    from benchmarks import chains, scaling, serve, throughput

    return {
        "throughput": (
            "Photos in a folder",
            lambda: throughput.measure(effort.rounds, effort.photos, list(effort.bounds)),
        ),
        "chains": ("Chains of thought", lambda: chains.measure(effort.rounds, effort.photos)),
        "cold": ("Cold start", lambda: _cold_start(effort.rounds)),
        "serve": ("Served by HTTP", lambda: serve.measure(effort.rounds, 8 * effort.photos)),
        "scaling": ("Scaling", lambda: scaling.measure(list(effort.counts), ["onnx", "openvino", "hf"])),
    }


def _cold_start(rounds: int) -> str:
    found: str = import_module("benchmarks.cold_start").measure(rounds)
    return found


def sections(chosen: dict[str, tuple[str, Callable[[], str]]], published: str) -> Iterator[str]:
    """Each part's, as soon as it is measured, with the figures of the last results where they differ."""
    for title, measure in chosen.values():
        section = with_previous(f"## {title}\n\n{measure()}\n", published)
        print(section, flush=True)
        yield section


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, photos and bounds")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", metavar="PART", help="throughput, chains, cold, serve or scaling")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each comparison")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE.md")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("realqa").setLevel(logging.ERROR)  # the bounds differ from the model's on purpose
    from transformers.utils import logging as theirs

    from benchmarks import machine

    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    effort = QUICK if given.quick else FULL
    effort = Effort(**{**vars(effort), "rounds": given.rounds or effort.rounds})
    chosen = parts(effort, given.device)
    if given.only:
        if given.only not in chosen:
            parser.error(f"no part {given.only!r} on this device; there are {', '.join(chosen)}")
        chosen = {given.only: chosen[given.only]}
    how = f"Medians over {effort.rounds} rounds in which all contestants take turns"
    head = f"# Results\n\n{machine.described(given.device)}\n\n{how}: `python -m benchmarks{_line(given)}`.\n"
    published = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
    given.output.write_text("\n".join([head, *sections(chosen, published)]), encoding="utf-8")


def _line(given: argparse.Namespace) -> str:
    options = {"--device": given.device if given.device != "cpu" else None, "--only": given.only}
    quick = " --quick" if given.quick else ""
    return quick + "".join(f" {name} {value}" for name, value in options.items() if value)


if __name__ == "__main__":
    main()
