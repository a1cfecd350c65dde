"""What kills at random moments do to the output of a command: its lines and bytes against those of an undisturbed run."""

import hashlib
import json
import random
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from killing import kill_until_done
from process import command, environment

TIMED = {"log.jsonl", "train.run.json", ".lock"}
"""Files of a training run that hold times; the log is compared without them."""


@dataclass(frozen=True)
class Damage:
    """What kills did; all but the first two numbers are 0 where a command is reliable.

    records: of the finished files, or steps of the training logs.  lost, repeated: of these.  torn: lines that are
    not JSON in a finished file, or whole lines after a kill that the undisturbed run does not have.
    different: finished outputs with other bytes than the undisturbed run's.
    """

    kills: int = 0
    records: int = 0
    lost: int = 0
    repeated: int = 0
    torn: int = 0
    different: int = 0

    @property
    def any(self) -> bool:
        """Whether something is not as it should be."""
        return bool(self.lost or self.repeated or self.torn or self.different)

    def __add__(self, other: "Damage") -> "Damage":
        return Damage(*(a + b for a, b in zip(self._values(), other._values(), strict=True)))

    def _values(self) -> tuple[int, ...]:
        return (self.kills, self.records, self.lost, self.repeated, self.torn, self.different)


def undisturbed(arguments: Sequence[object], output: Path) -> Path:
    """The output of the command, which nobody kills."""
    ran = subprocess.run(
        command(*arguments, "-o", output), stdout=subprocess.DEVNULL, env=environment(), timeout=600, check=False
    )
    assert ran.returncode == 0
    return output


def kill_file(
    arguments: Sequence[object], output: Path, expected: Path, most_kills: int, longest: float, seed: int
) -> Damage:
    """Kills a command that writes lines to a file, until it ends by itself."""
    partial = output.with_name(f"{output.name}.part")  # of commands whose file appears when it is complete
    right = expected.read_bytes().splitlines(keepends=True)
    torn = 0

    def inspect() -> None:
        nonlocal torn
        found = next((file.read_bytes() for file in (output, partial) if file.exists()), b"")
        whole = [line for line in found.splitlines(keepends=True) if line.endswith(b"\n")]
        torn += sum(line != other for line, other in zip(whole, right, strict=False))
        torn += max(0, len(whole) - len(right))

    run = [*arguments, "-o", output]
    kills = kill_until_done(run, [output, partial], most_kills, longest, random.Random(seed), inspect)
    found = damage_of(kills, output.read_bytes().splitlines(keepends=True), right)
    return found + Damage(torn=torn, different=int(partial.exists()))


def damage_of(kills: int, lines: Sequence[bytes], right: Sequence[bytes]) -> Damage:
    """What is wrong with the lines of a finished file, which should be the others."""
    wanted, there = Counter(right), Counter(lines)
    lost, repeated = (wanted - there).total(), (there - wanted).total()
    torn = sum(not _is_json(line) for line in lines)
    return Damage(kills, len(lines), lost, repeated, torn, int([*lines] != [*right]))


def kill_training(
    arguments: Sequence[object], output: Path, expected: Path, most_kills: int, longest: float, seed: int
) -> Damage:
    """Kills `realqa train`, until it ends by itself. Its weights and other files are compared byte for byte."""
    log = output / "log.jsonl"
    kills = kill_until_done([*arguments, "-o", output], [log], most_kills, longest, random.Random(seed))
    lines, right = (_timeless(folder / "log.jsonl") for folder in (output, expected))
    torn = sum(line is None for line in lines)
    steps, wanted = (Counter(line["step"] for line in one if line is not None) for one in (lines, right))
    same = lines == right and _digests(output) == _digests(expected)
    return Damage(kills, len(lines), (wanted - steps).total(), (steps - wanted).total(), torn, int(not same))


def _timeless(log: Path) -> list[dict[str, Any] | None]:
    """The lines of a log without their speed; None for a line that is not JSON."""
    lines = log.read_bytes().splitlines()
    records = [json.loads(line) if _is_json(line) else None for line in lines]
    return [one and {name: value for name, value in one.items() if name != "samples_per_second"} for one in records]


def _digests(folder: Path) -> dict[str, str]:
    """The digest of each file by its name; no checkpoint may be left in the folder."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in TIMED]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
