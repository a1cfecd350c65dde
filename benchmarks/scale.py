"""What ten million or a billion photos need: storage, shards, workers, hours and cost, from measured figures.

    python -m benchmarks.scale measure --note "2 cores"      measure this machine, and keep it in benchmarks/scale.json
    python -m benchmarks.scale plan                          the tables for all machines that were measured
    python -m benchmarks.scale plan --photos 5e6 --days 2 --cost 0.05

`measure` scores photos (by default the bundled ones, again and again under names of their own) by `realqa score` in a
process of its own, once few and once more of them, so that the start does not count. Other models and devices are
measured by options after `--`, as for `realqa score`: `measure --note H100 -- --model qwen2-vl-2b --device cuda`.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIGURES = Path(__file__).with_suffix(".json")
START = 20
"""Photos of the run that is subtracted."""
INDEXED = 50_000
"""Records of the output whose index is measured: with few, its size says little."""
SHARD = 1_000_000
"""Photos of a shard: an hour or more of work for most workers, and outputs of a handy size."""
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Figures:
    """One worker as it was measured: a process of `realqa score` with these options on this machine.

    photos_per_second: without the start.  photos: how many were scored.  photo, record, index: bytes for each photo: of
    its file, of its record, and in the index of the output.
    """

    note: str
    options: list[str]
    machine: str
    photos: int
    photos_per_second: float
    photo: float
    record: float
    index: float


@dataclass(frozen=True)
class Plan:
    """What a number of photos needs. hours: of one worker, together.  cost: in the currency of the hourly cost."""

    photos: float
    shards: int
    worker_hours: float
    workers: int
    storage: float
    outputs: float
    index: float
    cost: float | None

    @classmethod
    def of(cls, figures: Figures, photos: float, *, days: float, hourly_cost: float | None) -> "Plan":
        """For a run that is to end within some days."""
        hours = photos / figures.photos_per_second / 3600
        return cls(
            photos=photos,
            shards=math.ceil(photos / SHARD),
            worker_hours=hours,
            workers=math.ceil(hours / (24 * days)),
            storage=photos * figures.photo,
            outputs=photos * figures.record,
            index=photos * figures.index,
            cost=None if hourly_cost is None else hours * hourly_cost,
        )


def measure(note: str, options: Sequence[str], folder: Path, count: int, *, busy: bool) -> Figures:
    """Score photos of the folder, `count` after the start. `busy` counts processor time instead of the clock's."""
    from benchmarks.machine import described  # slow to import

    machine = described("cuda" if "cuda" in " ".join(options) else "cpu")
    found = sorted(each for each in folder.iterdir() if each.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    with tempfile.TemporaryDirectory() as place:
        few, many = Path(place, "few"), Path(place, "many")
        for target, number in ((few, START), (many, START + count)):
            target.mkdir()
            for index in range(number):
                (target / f"{index:06}{found[0].suffix}").symlink_to(found[index % len(found)].resolve())
        seconds = _run(many, options, busy=busy) - _run(few, options, busy=busy)
        records = many.with_suffix(".jsonl").stat().st_size
        index = _index_size(Path(place, "index.jsonl"))
        files = sum(each.stat().st_size for each in many.iterdir())
    total = START + count
    speed = count / seconds
    return Figures(note, list(options), machine, count, speed, files / total, records / total, index / INDEXED)


def _index_size(output: Path) -> int:
    """The bytes of the index of an output with `INDEXED` records, as `realqa score` makes it."""
    from realqa_cli.io.appender import Appender
    from realqa_cli.io.finished_items import name_key, record_key
    from realqa_cli.io.record_index import index_file

    with Appender(output, key=record_key, also=name_key, indexed=True) as file:
        for number in range(INDEXED):
            record = {"image": f"{number}.jpg", "content": f"c{number}", "run": "r"}
            file.append(record, more=[("file", number)])
    return index_file(output).stat().st_size


def _run(folder: Path, options: Sequence[str], *, busy: bool) -> float:
    """The seconds of one run, or those that processors worked for it."""
    output = folder.with_suffix(".jsonl")
    call = [sys.executable, "-m", "realqa_cli", "score", str(folder), "-o", str(output), "-q", *options]
    start, before = time.monotonic(), os.times()
    subprocess.run(call, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    after = os.times()
    if busy:
        return after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - start


def read_figures(file: Path = FIGURES) -> list[Figures]:
    """All machines that were measured."""
    return [Figures(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]


def keep(figures: Figures, file: Path = FIGURES) -> None:
    """Write them to the file, in place of earlier ones with the same note."""
    others = [each for each in read_figures(file) if each.note != figures.note] if file.exists() else []
    content = [asdict(each) for each in [*others, figures]]
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def tables(
    figures: Sequence[Figures], photos: Sequence[float], *, days: float = 7, hourly_cost: float | None = None
) -> str:
    """A Markdown table for each number of photos."""
    cost_head = "" if hourly_cost is None else f" cost at {hourly_cost:g} an hour |"
    parts = []
    for number in photos:
        rows = [
            f"**{number:,.0f} photos in {days:g} days**",
            "",
            f"| worker | photos/s | worker hours | workers | shards | photos | records | index |{cost_head}",
            f"|---|---|---|---|---|---|---|---|{'' if hourly_cost is None else '---|'}",
        ]
        for each in figures:
            plan = Plan.of(each, number, days=days, hourly_cost=hourly_cost)
            sizes = " | ".join(map(size, (plan.storage, plan.outputs, plan.index)))
            cost = "" if plan.cost is None else f" {plan.cost:,.0f} |"
            rows.append(
                f"| {each.note} | {each.photos_per_second:.3g} | {plan.worker_hours:,.0f} | {plan.workers:,}"
                f" | {plan.shards:,} | {sizes} |{cost}"
            )
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def size(count: float) -> str:
    """Such as `4.2 TB`."""
    power = min(len(UNITS) - 1, int(math.log10(max(count, 1)) // 3))
    return f"{count / 1000**power:.3g} {UNITS[power]}"


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measuring = verbs.add_parser("measure", help="measure one worker on this machine")
    measuring.add_argument("--note", required=True, help="what the tables call the worker")
    measuring.add_argument("--folder", type=Path, default=ROOT / "examples" / "photos")
    measuring.add_argument("--count", type=int, default=200, help="photos after the start")
    measuring.add_argument("--busy", action="store_true", help="count processor time: others use the machine, too")
    measuring.add_argument("options", nargs="*", help="of realqa score, after --")
    planning = verbs.add_parser("plan", help="print the tables")
    planning.add_argument("--photos", type=float, nargs="+", default=[1e7, 1e9])
    planning.add_argument("--days", type=float, default=7, help="in which the run is to end")
    planning.add_argument("--cost", type=float, help="of one worker for an hour")
    given = parser.parse_args()
    if given.verb == "measure":
        figures = measure(given.note, given.options, given.folder, given.count, busy=given.busy)
        keep(figures)
        print(json.dumps(asdict(figures), indent=1))
    else:
        print(tables(read_figures(), given.photos, days=given.days, hourly_cost=given.cost))
    return 0


if __name__ == "__main__":
    sys.exit(main())
