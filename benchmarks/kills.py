"""Kill commands at random moments: is a record lost, repeated or torn, and is the output that of an undisturbed run?

`score`, `self-label`, `annotate` and `build-cot` share the kills: each is ended by SIGKILL and started again until it
ends by itself, round after round. Its file is then compared with that of a run that nobody killed, byte for byte, and
after every kill the whole lines on disk are. `annotate` asks a local server (tests/support/billing_server.py).
`train` trains the bundled model on the CPU; its weights, files and log are compared, without the times in them.

    python -m benchmarks.kills --kills 200 --train-kills 20
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from billing_server import label
from kill_damage import Damage, kill_file, kill_training, undisturbed
from killing import annotate, billing_server, make_photos

Kill = Callable[[list[object], Path, Path, int, float, int], Damage]
TRAIN_PHOTOS = 16


def main() -> int:
    """Prints a line a command; 1 where anything was lost, repeated, torn or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of the four commands together")
    parser.add_argument("--train-kills", type=int, default=20)
    parser.add_argument("--photos", type=int, default=400, help="in a round")
    parser.add_argument("--longest", type=float, default=0.5, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="COMMAND", help="score, self-label, annotate, build-cot or train")
    given = parser.parse_args()
    start, damage = time.monotonic(), []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        (folder / "server").mkdir()
        url = stack.enter_context(billing_server(folder / "server" / "bills.jsonl"))
        for name, arguments, kill, kills in _commands(folder, url, given):
            if given.only not in (None, name):
                continue
            damage.append(_all_rounds(folder / name, arguments, kill, kills, given))
            print(f"{name}: {_described(damage[-1])}", flush=True)
    total = sum(damage, Damage())
    print(f"in all: {_described(total)}; {time.monotonic() - start:.0f} seconds")
    return 1 if total.any else 0


def _commands(folder: Path, url: str, given: argparse.Namespace) -> Iterator[tuple[str, list[object], Kill, int]]:
    """The name, the arguments, how it is killed and how often, of each command."""
    photos = folder / "photos"
    make_photos(photos, given.photos)
    labels = _write_labels(folder / "labels.jsonl", photos)
    share, rest = divmod(given.kills, 4)
    files: dict[str, list[object]] = {
        "score": ["score", photos, "--backend", "echo", "-q"],
        "self-label": ["self-label", photos, "--backend", "echo", "-q"],
        "annotate": annotate(photos, url),
        "build-cot": ["build-cot", labels, "-q"],
    }
    for place, (name, arguments) in enumerate(files.items()):
        yield name, arguments, kill_file, share + (place < rest)
    some = folder / "some-photos"
    make_photos(some, TRAIN_PHOTOS)
    conversations = undisturbed(
        ["build-cot", _write_labels(folder / "some.jsonl", some), "--formats", "direct", "-q"], folder / "train.jsonl"
    )
    yield "train", _train(conversations), kill_training, given.train_kills


def _train(conversations: Path) -> list[object]:
    options = (
        "--tuning full --epochs 2 --batch-size 4 --accumulate 1 --save-steps 2 --min-pixels 3136 --max-pixels 3136"
    )
    return ["train", conversations, "--device", "cpu", *options.split(), "-q"]


def _write_labels(file: Path, photos: Path) -> Path:
    """Labels with a MOS for every photo."""
    records = [
        {"image": str(photo), "attributes": label(i), "mos": 1 + i % 401 / 100, "mos_range": [1, 5]}
        for i, photo in enumerate(sorted(photos.iterdir()))
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


def _all_rounds(folder: Path, arguments: list[object], kill: Kill, kills: int, given: argparse.Namespace) -> Damage:
    """Rounds until there were as many kills."""
    folder.mkdir()
    total, number = Damage(), 0
    if kills:
        expected = undisturbed(arguments, folder / "undisturbed.jsonl")
    while total.kills < kills:
        output = folder / f"round-{number}.jsonl"
        total += kill(arguments, output, expected, kills - total.kills, given.longest, given.seed + number)
        number += 1
    return total


def _described(damage: Damage) -> str:
    """One line."""
    return (
        f"{damage.kills} kills, {damage.records} records: {damage.lost} lost, {damage.repeated} repeated,"
        f" {damage.torn} torn; {damage.different} outputs differ from the undisturbed one"
    )


if __name__ == "__main__":
    sys.exit(main())
