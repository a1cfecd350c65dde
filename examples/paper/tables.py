"""Shared by the scripts of the paper's tables: options, running realqa, and printing a table.

A `Study` runs `realqa` commands in a work folder, each in its own process. Finished work is not repeated, so that
an interrupted script continues. A `Table` holds the rows that the paper published and prints the measured rows
before them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TINY_MODEL = "realqa-tiny"
TINY_TRAINING = (
    "--tuning full --learning-rate 2e-4 --epochs 2 --batch-size 8 --accumulate 1 --min-pixels 12544 --max-pixels 50176"
)
"""For the bundled model: small images and few steps, so that a run takes a minute of one core."""
REAL_MODEL = "qwen2-vl-7b"
REAL_TRAINING = "--gradient-checkpointing --min-pixels 200704 --max-pixels 401408"
"""The paper's pixel bounds; the other settings of the paper are realqa's defaults."""

OF_A_MODEL = frozenset(
    ("attributes", "annotator", "confidence", "refined", "changed", "screen", "cost_usd", "run", "content")
)
"""Fields of a label that a model gave."""

Line = Mapping[str, Any]
Cell = float | str | None


@dataclass(frozen=True)
class Figure:
    """A measured value with its 95 % interval, where there is one."""

    value: float | None
    ci95: tuple[float, float] | None = None

    @classmethod
    def of(cls, line: Line) -> Figure:
        """From a line of `realqa eval`."""
        return cls(line["value"], tuple(line["ci95"]) if line.get("ci95") else None)


@dataclass(frozen=True)
class Row:
    """A name and one cell a column; None is N.A."""

    name: str
    cells: Sequence[Cell | Figure]


@dataclass(frozen=True)
class Table:
    """A table of the paper. published: its rows as printed there, never anything else."""

    number: str
    title: str
    columns: Sequence[str]
    published: Sequence[Row] = ()

    def markdown(self, measured: Iterable[Row], note: str = "") -> str:
        """The measured rows, then the published ones, marked; `note` says on what it was measured."""
        lines = [f"### {self.number}: {self.title}", ""]
        lines += ["| | " + " | ".join(self.columns) + " |", "|---|" + "---|" * len(self.columns)]
        for row in measured:
            lines.append(_line(row.name, row.cells, len(self.columns)))
        for row in self.published:
            lines.append(_line(f"*published:* {row.name}", row.cells, len(self.columns)))
        return "\n".join([*lines, *(["", note] if note else []), ""])


def _line(name: str, cells: Sequence[Cell | Figure], width: int) -> str:
    if len(cells) != width:
        raise ValueError(f"{name}: {len(cells)} cells in a table of {width} columns")
    return "| " + " | ".join([name, *map(_cell, cells)]) + " |"


def _cell(cell: Cell | Figure) -> str:
    if isinstance(cell, Figure):
        if cell.value is None:
            return "N.A."
        spread = "" if cell.ci95 is None else f" ({cell.ci95[0]:.3f} to {cell.ci95[1]:.3f})"
        return f"{cell.value:.3f}{spread}"
    return "N.A." if cell is None else cell if isinstance(cell, str) else f"{cell:.3f}"


class Study:
    """The runs behind a table, in one work folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        """`options`: of a parser from `parser`."""
        self.tiny: bool = options.tiny
        self.work: Path = options.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.model: str = options.model or (TINY_MODEL if self.tiny else REAL_MODEL)
        self.training = shlex.split(TINY_TRAINING if self.tiny else REAL_TRAINING)
        self.training += shlex.split(options.train_options or "")
        self.launcher = shlex.split(options.launch or "")
        self.scoring = shlex.split(options.score_options or "")
        self.measuring = ["--bootstrap", str(options.bootstrap)]
        if options.groups:
            self.measuring += ["--groups", options.groups]

    def conversations(self, name: str, labels: Path, *options: object) -> Path:
        """`realqa build-cot`: the file of conversations."""
        output = self.work / f"{name}.jsonl"
        realqa("build-cot", labels, *options, "-o", output, "--overwrite")
        return output

    def train(self, name: str, conversations: Path, *options: object, model: str | Path | None = None) -> Path:
        """`realqa train`: the model's folder. Options given here win over those of the command line."""
        output = self.work / name
        if (output / "train.done").exists():
            say(f"{output}: trained already")
            return output
        start = ["train", conversations, "--model", model or self.model, "--output", output, "--resume"]
        realqa(*start, *self.training, *options, launcher=self.launcher)
        if not (output / "realqa.json").exists():
            sys.exit(f"{output}: the training did not end")
        (output / "train.done").touch()
        return output

    def score(self, name: str, labels: Path, model: str | Path, *options: object) -> Path:
        """`realqa score`: the predictions, with the MOS of the labels."""
        output = self.work / f"{name}.preds.jsonl"
        realqa("score", self.images(labels), "--model", model, *self.scoring, *options, "-o", output)
        return output

    def read_both(self, name: str, labels: Path, model: str | Path, *options: object) -> dict[str, Path]:
        """The predictions by reading: "greedy", the answer that the model writes, which is the paper's reading, and
        "exact mean" of the distribution, which is realqa's."""
        return {
            "greedy": self.score(f"{name}-greedy", labels, model, *options, "--decode", "greedy"),
            "exact mean": self.score(name, labels, model, *options),
        }

    def self_label(self, name: str, labels: Path, model: str | Path, *options: object) -> Path:
        """`realqa self-label`: records with attributes, of the labels' images."""
        output = self.work / f"{name}.attributes.jsonl"
        realqa("self-label", self.images(labels), "--model", model, *self.scoring, *options, "-o", output)
        return output

    def images(self, labels: Path) -> Path:
        """The labels without the fields of a model, so that no true value can pass for an answer."""
        output = self.work / f"{labels.parent.name}-{labels.stem}.images.jsonl"
        rows = [{key: value for key, value in row.items() if key not in OF_A_MODEL} for row in read(labels)]
        for row in rows:
            for kind in ("image", "video"):
                if kind in row:
                    row[kind] = str((labels.parent / row[kind]).resolve())
        return write(output, rows)

    def measure(self, predictions: Path, *options: object) -> dict[str, Figure]:
        """`realqa eval`: the figures by metric; with --attributes by "metric of attribute"."""
        lines = realqa("eval", predictions, *self.measuring, *options, "--json")
        return {_name(line): Figure.of(line) for line in lines}

    def compare(self, ours: Path, theirs: Path, what: str) -> None:
        """`realqa eval --compare`: prints the paired difference below the table."""
        for line in realqa("eval", ours, "--compare", theirs, *self.measuring, "--metric", "srcc", "--json"):
            text = "N.A." if line["value"] is None else f"SRCC {line['value']:+.3f}"
            if line["ci95"]:
                text += f" ({line['ci95'][0]:+.3f} to {line['ci95'][1]:+.3f}), p = {line['p']:.3f}"
            print(f"{what}: {text}, n = {line['n']}")


def _name(line: Line) -> str:
    return f"{line['metric']} of {line['attribute']}" if "attribute" in line else str(line["metric"])


def realqa(*arguments: object, launcher: Sequence[str] = ()) -> list[dict[str, Any]]:
    """`realqa ARGUMENTS` in a process of its own, or in those that `launcher` starts; the JSON lines that it printed.

    Exit code 1 (some items failed, reported on stderr) is accepted; other codes end the script.
    """
    if find_spec("realqa_cli") is None:
        sys.exit("realqa is not installed: pip install .")
    command = [str(argument) for argument in arguments]
    say(shlex.join([*launcher, "-m", "realqa_cli", *command]) if launcher else "realqa " + shlex.join(command))
    return [json.loads(line) for line in run(command, launcher).splitlines()]


def run(command: Sequence[str], launcher: Sequence[str] = ()) -> str:
    """What `realqa COMMAND` prints."""
    done = subprocess.run(
        [*(launcher or [sys.executable]), "-m", "realqa_cli", *command], stdout=subprocess.PIPE, text=True
    )
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    return done.stdout


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all scripts have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--tiny", action="store_true", help="a small run on the bundled model and made scenes")
    made.add_argument("--photos", type=Path, help="with --tiny: the photos of the scenes (default: the samples)")
    made.add_argument("--scenes", type=int, default=96, help="with --tiny: scenes to train on; a third as many to test")
    made.add_argument("--model", help=f"the model at the start ({REAL_MODEL}; with --tiny {TINY_MODEL})")
    made.add_argument("--work", type=Path, default=Path("paper-runs"), help="folder of everything that is made")
    made.add_argument("--score-options", metavar="TEXT", help="more options for realqa score and self-label")
    made.add_argument("--groups", metavar="FIELD", help="resample groups of this field for the intervals")
    made.add_argument("--bootstrap", type=int, default=1000, help="resamples of the intervals")
    made.add_argument("--launch", metavar="TEXT", help='start of every training, such as "torchrun --nproc-per-node 8"')
    made.add_argument("--train-options", metavar="TEXT", help="more options for realqa train")
    return made


def say(text: str) -> None:
    """Prints to stderr."""
    print(text, file=sys.stderr, flush=True)


def read(file: Path) -> list[dict[str, Any]]:
    """The records of a JSON Lines file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write(file: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """A JSON Lines file of the records."""
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file
