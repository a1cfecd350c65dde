"""The annotation workflow of the paper (Sec. 3.1) on the sample photos: paid labels, refinement, weights from feedback.

    python examples/annotation/run.py
    python examples/annotation/run.py --work my-folder      keeps all files

The script prints and runs the commands that a user would enter, which takes about a minute. `tiny_server.py`
replaces a paid service, `refinements.json` replaces Label Studio, and the click-through rates are invented.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from by_hand import write_export

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parent / "photos"
MODEL = "realqa-tiny"
PRICES = {MODEL: {"input": 0.8, "output": 3.2}}
"""US dollars per million tokens. They are invented, so that the example has a cost."""


def main() -> None:
    """Parse the options, run all steps, and print the table of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep all files in this folder (default: a temporary folder)"
    )
    work = parser.parse_args().work
    if find_spec("realqa_cli") is None:
        sys.exit("realqa is not installed: pip install .")
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        return walk_through(work.resolve())
    with tempfile.TemporaryDirectory(prefix="realqa-") as folder:
        return walk_through(Path(folder))


def walk_through(work: Path) -> None:
    """Run all steps in the folder `work`."""
    photos = work / "photos"
    photos.mkdir(exist_ok=True)
    for photo in sorted(PHOTOS.glob("*.jpg")):
        shutil.copy(photo, photos)
    (work / "prices.json").write_text(json.dumps(PRICES), encoding="utf-8")
    shutil.copy(HERE / "invented_ctr.csv", work)

    title("1. A model labels the photos")
    with serving() as server:
        asking = ["annotate", "photos", "--server", server, "--model", MODEL, "--prices", "prices.json"]
        realqa(work, *asking, "-o", "labels.jsonl", "--dry-run")
        realqa(work, *asking, "-o", "labels.jsonl", "--max-cost", "0.10")

    title("2. People refine two of them")
    realqa(work, "annotate", "labels.jsonl", "--to", "label-studio", "tasks.json", "--overwrite")
    write_export(work / "tasks.json", HERE / "refinements.json", work / "export.json")
    say("(export.json: what Label Studio would export, written by hand from refinements.json)")
    realqa(work, "annotate", "--from", "label-studio", "export.json", "-o", "refined.jsonl", "--overwrite")

    title("3. Weights of the attributes are fitted to feedback (the click-through rates are invented)")
    feedback = ["--feedback", "invented_ctr.csv", "--target", "invented_ctr"]
    realqa(work, "composite", "fit", "refined.jsonl", *feedback, "-o", "weights.json", "--overwrite")
    options = ["--weights", "weights.json", "-o", "ranked.jsonl", "--no-resume", "--overwrite"]
    realqa(work, "composite", "apply", "refined.jsonl", *options)

    title("4. The photos by their composite score, which predicts the click-through rate")
    print(table(read(work / "ranked.jsonl"), feedback_of(work / "invented_ctr.csv")))


@contextmanager
def serving() -> Iterator[str]:
    """Run the small server, and yield its address."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "tiny_server.py"), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        address = server.stdout.readline().strip()  # printed when the model is loaded
        if not address:
            sys.exit("the server did not start")
        yield address
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def realqa(work: Path, *arguments: str) -> None:
    """Run `realqa ARGUMENTS` as a process in `work`. Ends the script if it fails."""
    print(f"\n$ realqa {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "realqa_cli", *arguments], cwd=work)
    if done.returncode:
        sys.exit(done.returncode)


def table(records: list[dict[str, Any]], clicks: dict[str, float]) -> str:
    """A table with one line per photo, the best photo first."""
    lines = [("photo", "composite", "invented CTR", "composition", "eye-catching", "clarity", "a person changed")]
    for record in sorted(records, key=lambda record: -record["composite"]):
        attributes = record["attributes"]
        lines.append(
            (
                Path(record["image"]).name,
                f"{record['composite']:.3f}",
                f"{clicks[Path(record['image']).name]:.3f}",
                str(attributes["composition"]["score"]),
                str(attributes["eye_catching"]["score"]),
                attributes["image_clarity"],
                ", ".join(record.get("changed", [])).replace("_", " "),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def feedback_of(file: Path) -> dict[str, float]:
    """The invented rates by file name."""
    rows = (line.split(",") for line in file.read_text("utf-8").splitlines()[1:])
    return {name: float(rate) for name, rate in rows}


def read(file: Path) -> list[dict[str, Any]]:
    """The records of a JSON Lines file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def say(text: str) -> None:
    """A line between commands."""
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
