"""The benchmark of kills: it finds what is lost, repeated and torn, and the commands lose, repeat and tear nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from kill_damage import Damage, damage_of
from process import ROOT, environment

WHOLE = [b'{"image": "a"}\n', b'{"image": "b"}\n', b'{"image": "c"}\n']


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (WHOLE, Damage(2, 3)),
        (WHOLE[:2], Damage(2, 2, lost=1, different=1)),
        ([*WHOLE, WHOLE[0]], Damage(2, 4, repeated=1, different=1)),
        ([WHOLE[1], WHOLE[0], WHOLE[2]], Damage(2, 3, different=1)),
        ([*WHOLE[:2], b'{"image": '], Damage(2, 3, lost=1, repeated=1, torn=1, different=1)),
    ],
    ids=["nothing", "a lost line", "a repeated line", "another order", "a torn line"],
)
def test_damage_is_found(lines: list[bytes], expected: Damage) -> None:
    assert damage_of(2, lines, WHOLE) == expected
    assert damage_of(2, lines, WHOLE).any == (lines != WHOLE)


@pytest.mark.slow
def test_commands_that_are_killed_write_what_an_undisturbed_run_writes(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "--kills", "4", "--train-kills", "1", "--photos", "40"],
        cwd=ROOT,
        env=environment(TMPDIR=str(tmp_path), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["score", "self-label", "annotate", "build-cot", "train", "in all"]
    assert lines[-1].startswith("in all: 5 kills, ")
