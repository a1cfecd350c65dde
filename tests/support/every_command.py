"""One cheap run of every command, and a process that runs all of them with a standard stream closed.

`python every_command.py RESULTS` runs the commands in the current folder, which `make_inputs` has filled, once with
stdin closed, once with stdout and once with stderr, as `realqa ... >&-` does; for `train`, which takes longest, all three
are closed at once. It writes {stream: {command: exit code}} to RESULTS.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chat_server import ChatServer
from made_labels import SAID
from process import PHOTOS

NAMES = ("stdin", "stdout", "stderr")

LABEL = {
    "image": "bee.jpg",
    "attributes": {"exposure": "properly exposed", "image_clarity": "very clear"},
    "annotator": {"model": "m"},
    "refined": False,
    "mos": 3.9,
    "mos_range": [1, 5],
}
CONVERSATION = {
    "messages": [
        {"role": "user", "content": "<image>Rate the aesthetics and quality of this image briefly."},
        {"role": "assistant", "content": "The score of this image is 3.98."},
    ],
    "images": ["bee.jpg"],
    "format": "direct",
    "mos": 3.98,
    "mos_range": [1, 5],
}
OPTIONS = ("very blurry", "moderately blurry", "moderately clear", "very clear")

RUNS: dict[str, list[str]] = {
    "score": ["score", "bee.jpg", "--backend", "echo"],
    "compare": ["compare", "bee.jpg", "bee.jpg", "--backend", "echo"],
    "self-label": ["self-label", "bee.jpg", "--backend", "echo"],
    "annotate": ["annotate", "bee.jpg", "--server", "URL", "--model", "tiny", "--retries", "0"],
    "build-cot": ["build-cot", "labels.jsonl"],
    "split": ["split", "rows.jsonl", "-o", "one.jsonl", "--held-out", "two.jsonl", "--overwrite"],
    "train": ["train", "conversations.jsonl", "-o", "run", "--max-steps", "1", "--max-pixels", "20000", "--overwrite"],
    "eval": ["eval", "rows.jsonl", "--bootstrap", "10"],
    "leaderboard": [
        "leaderboard",
        "--models",
        "realqa-tiny",
        "--datasets",
        "csv:rows.csv",
        "-o",
        "board",
        "--repeat",
        "0",
    ],
    "ncm": ["ncm", "--log", "log.jsonl"],
    "sort-probe": ["sort-probe", "--server", "URL", "--model", "tiny", "--trials", "2"],
    "composite fit": ["composite", "fit", "rows.jsonl", "--target", "mos", "--bootstrap", "0"],
    "composite apply": ["composite", "apply", "labels.jsonl", "--weights", "given.json"],
}
"""Arguments by command, for a folder of `make_inputs`; URL is the address of a server."""


def make_inputs(folder: Path) -> None:
    """A photo and an input of each kind."""
    from realqa_cli.cli import main

    shutil.copy(PHOTOS / "bee.jpg", folder)
    rows = [
        {
            **LABEL,
            "image": f"{i}.jpg",
            "mos": 1 + i / 10,
            "score": 1 + i / 11,
            "attributes": {"image_clarity": OPTIONS[i % 4], "exposure": "properly exposed"},
        }
        for i in range(32)
    ]
    steps = [
        {"step": i, "loss": 2 - i / 99, "ncm": 1.0, "ncm_star": 1.0, "ncm_star_release": 1.0, "learning_rate": 1e-4}
        for i in range(1, 41)
    ]
    files: dict[str, list[dict[str, Any]]] = {
        "labels": [LABEL],
        "conversations": [CONVERSATION],
        "rows": rows,
        "log": steps,
    }
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    fit = ["composite", "fit", str(folder / "rows.jsonl"), "--target", "mos", "--bootstrap", "0", "-q"]
    assert main([*fit, "-o", str(folder / "given.json")]) == 0


@contextmanager
def closed(*streams: int) -> Iterator[None]:
    """The descriptors closed and Python's streams None, as in a process that starts so."""
    kept = {stream: (os.dup(stream), getattr(sys, NAMES[stream])) for stream in streams}
    for stream in streams:
        os.close(stream)
        setattr(sys, NAMES[stream], None)
    try:
        yield
    finally:
        for stream, (descriptor, python) in kept.items():
            os.dup2(descriptor, stream)
            os.close(descriptor)
            setattr(sys, NAMES[stream], python)


def _run_all(results: Path) -> None:
    from realqa_cli.cli import main

    codes: dict[str, dict[str, int]] = {}
    with ChatServer(lambda body: json.dumps(SAID)) as server:
        for stream, name in enumerate(NAMES):
            codes[name] = {}
            for command, arguments in RUNS.items():
                if command != "train" or name == "stdout":
                    print(f"{name}: {command}", file=sys.__stderr__, flush=True)
                    with closed(*((0, 1, 2) if command == "train" else (stream,))):
                        codes[name][command] = main([word.replace("URL", server.url) for word in arguments])
    results.write_text(json.dumps(codes))


if __name__ == "__main__":
    _run_all(Path(sys.argv[1]))
