"""Kill `realqa annotate` at 200 random moments: is any photo without its record, and what was paid twice?

A real server counts what it bills; the command is killed by SIGKILL and started again until every photo has
its label, round after round. Each photo then has exactly one record, and the bills exceed the answers that
were needed by no more than the calls that were in flight at the kills.

    python benchmarks/annotate_kills.py --kills 200
"""

import argparse
import sys
import tempfile
import time
from dataclasses import astuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from killing import CONCURRENCY, Toll, kill_round, make_photos


def main() -> int:
    """Prints a line a round and the sum; 1 where the bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--photos", type=int, default=400, help="in a round")
    parser.add_argument("--longest", type=float, default=1.0, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tolls: list[Toll] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        photos = Path(place) / "photos"
        make_photos(photos, given.photos)
        while (left := given.kills - sum(toll.kills for toll in tolls)) > 0:
            folder = Path(place) / str(len(tolls))
            folder.mkdir()
            tolls.append(kill_round(folder, photos, left, given.longest, given.seed + len(tolls)))
            print(f"round {len(tolls)}: {described(tolls[-1])}", flush=True)
    total = Toll(*map(sum, zip(*map(astuple, tolls), strict=True)))
    print(f"in all: {described(total)}; {time.monotonic() - start:.0f} seconds")
    return 0 if total.excess <= total.allowed and total.records == total.photos else 1


def described(toll: Toll) -> str:
    """One line."""
    return (
        f"{toll.kills} kills, {toll.photos} photos, {toll.records} records, {toll.bills} bills for"
        f" {toll.needed} answers: {toll.excess} more, {toll.allowed} calls can have been in flight"
        f" ({CONCURRENCY} a kill)"
    )


if __name__ == "__main__":
    sys.exit(main())
