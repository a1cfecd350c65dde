"""Every command that reads records reads them in all forms that `-o` writes, with the same result."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from process import PHOTOS, Ran, Realqa

from realqa_cli.cli.app import build_app
from realqa_cli.io.export import EXPORTS
from realqa_cli.io.labels import read_label_rows

FORMS = tuple(suffix.removeprefix(".") for suffix in EXPORTS)
ECHO = ("--backend", "echo")

READS: Mapping[str, str] = {
    "score": "score scores.FORM --backend echo",
    "self-label": "self-label scores.FORM --backend echo",
    "rank": "rank scores.FORM",
    "merge": "merge scores.FORM",
    "merge labels": "merge labels.FORM",
    "split": "split labels.FORM -o one.jsonl --held-out two.jsonl --overwrite",
    "eval": "eval rated.FORM --bootstrap 10",
    "eval --labels": "eval scores.jsonl --labels rated.FORM --bootstrap 0",
    "eval --compare": "eval again.jsonl --compare rated.FORM --bootstrap 10",
    "eval --pairs": "eval compared.FORM --pairs",
    "compare": "compare --pairs compared.FORM --backend echo",
    "calibrate fit": "calibrate fit rated.jsonl --scores rated.FORM -o fitted.json --overwrite",
    "calibrate fit labels": "calibrate fit rated.FORM --scores again.jsonl -o fitted.json --overwrite",
    "calibrate apply": "calibrate apply scores.FORM --calibration given.calibration.json",
    "composite fit": "composite fit rated.FORM --target mos --bootstrap 0",
    "composite fit --feedback": "composite fit again.jsonl --target mos --bootstrap 0 --feedback rated.FORM",
    "composite apply": "composite apply labels.FORM --weights given.json",
    "build-cot": "build-cot rated.FORM",
    "build-cot --scores": "build-cot labels.jsonl --scores rated.FORM",
    "annotate": "annotate labels.FORM --to label-studio tasks.json --overwrite",
}
"""A run of every command that reads records, by the command and by what it reads; FORM is the suffix of the file."""

READS_OTHER = {
    "explain": "one photo",
    "serve": "requests",
    "doctor": "a model",
    "leaderboard": "data sets and models",
    "presets": "nothing",
    "train": "conversations, which are written as JSON Lines only; records with --validation by the reader of eval",
    "ncm": "logs and conversations",
    "sort-probe": "nothing",
}
"""Commands that read no records that `-o` writes in several forms, and what they read."""

COUNT, FEW = 60, 4
"""Rated photos, and those that the backend scores and labels."""
CHOICES = (("very blurry", "underexposed"), ("moderately clear", "properly exposed"), ("very clear", "overexposed"))


def rated(index: int, name: str) -> dict[str, Any]:
    """A record of scores and labels with a MOS; one of them has an error in place of results."""
    if index == 7:
        return {"image": name, "score": None, "error": {"type": "unsupported", "message": "not a photo"}}
    clarity, exposure = CHOICES[index % 3]
    return {
        "image": name,
        "score": 1 + (index * 7 % 40) / 10,
        "std": 0.25,
        "interval": [1.0, 4.5],
        "mass": 0.875,
        "scale": [1.0, 5.0],
        "method": "direct",
        "mos": 1 + (index * 7 % 37) / 10,
        "mos_range": [1.0, 5.0],
        "attributes": {"image_clarity": clarity, "exposure": exposure},
        "run": "0123456789abcdef",
        "error": None,
    }


def made_photo(file: Path, index: int) -> Path:
    """A small photo that is not like the others."""
    file.parent.mkdir(exist_ok=True)
    seed = np.random.default_rng(index)
    Image.fromarray(seed.integers(0, 256, (24, 32, 3), np.uint8)).save(file)
    return file


def write_forms(lines: list[dict[str, Any]], folder: Path, stem: str, run: Realqa) -> None:
    """The records in JSON Lines, and in the other forms by `realqa merge`, as it writes them."""
    plain = folder / f"{stem}.jsonl"
    plain.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for suffix in EXPORTS:
        ran = run("merge", plain, "-o", folder / f"{stem}{suffix}", "-q")
        assert (ran.code, ran.err) == (0, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, realqa: Realqa) -> Path:
    """Scores, labels, rated records and compared pairs in all forms, and what was fitted to them."""
    place = tmp_path_factory.mktemp("forms")
    photos = [str(made_photo(place / "photos" / f"{index:02}.jpg", index)) for index in range(COUNT)]
    write_forms(realqa("score", *photos[:FEW], "--measured", *ECHO).records, place, "scores", realqa)
    write_forms(realqa("self-label", *photos[:FEW], *ECHO).records, place, "labels", realqa)
    write_forms([rated(index, name) for index, name in enumerate(photos)], place, "rated", realqa)
    shutil.copy(place / "rated.jsonl", place / "again.jsonl")
    pairs = [{"image_a": photos[0], "image_b": photo, "choice": "a"} for photo in photos[1:4]]
    (place / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    for suffix in (".jsonl", *EXPORTS):
        output = place / f"compared{suffix}"
        assert realqa("compare", "--pairs", place / "pairs.jsonl", *ECHO, "-o", output, "-q").code == 0
    for fit in (
        "calibrate fit rated.jsonl --scores rated.jsonl -o given.calibration.json -q",
        "composite fit rated.jsonl --target mos --bootstrap 0 -o given.json -q",
    ):
        assert realqa(*fit.split(), cwd=place).code == 0
    return place


def plain(value: Any) -> Any:
    """The value without what differs between files: empty fields, the order of fields, percentiles, names of lines."""
    if isinstance(value, dict):
        own = ("percentile", "input.percentile", "created", "run", "message", "compared_with")
        kept = {key: plain(each) for key, each in value.items() if key not in own}
        return {key: each for key, each in sorted(kept.items()) if each not in (None, "", [], {})}
    return [plain(each) for each in value] if isinstance(value, list) else value


def result(ran: Ran, folder: Path) -> list[Any]:
    """What the run printed, and the files that it wrote in the names of `READS`."""
    found: list[Any] = [plain(record) for record in ran.records if "settings" not in record]
    for name in ("one.jsonl", "two.jsonl", "fitted.json", "tasks.json"):
        file = folder / name
        if file.exists():
            text = file.read_text()
            found.append(
                plain([json.loads(line) for line in text.splitlines()] if "jsonl" in name else json.loads(text))
            )
            file.unlink()
    return found


@pytest.mark.parametrize("what", READS)
def test_a_command_reads_all_forms_of_records_with_the_same_result(what: str, folder: Path, realqa: Realqa) -> None:
    expected = realqa(*READS[what].replace("FORM", "jsonl").split(), cwd=folder)
    assert expected.code in (0, 1), expected.err
    wanted = result(expected, folder)
    assert wanted, expected.err
    for form in FORMS:
        ran = realqa(*READS[what].replace("FORM", form).split(), cwd=folder)
        assert ran.code == expected.code, f"{form}: {ran.err}"
        assert result(ran, folder) == wanted, form


def test_every_command_is_among_those_that_read_records_or_those_that_do_not() -> None:
    group: Any = typer.main.get_command(build_app())
    names = {
        f"{name} {verb}".strip()
        for name, command in group.commands.items()
        for verb in getattr(command, "commands", None) or [""]
    }
    tried = {name for name in names if any(what == name or what.startswith(f"{name} ") for what in READS)}
    assert names == tried | READS_OTHER.keys()
    assert not tried & READS_OTHER.keys()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_same_record_in_two_forms_is_merged_once(form: str, folder: Path, realqa: Realqa) -> None:
    ran = realqa("merge", folder / "scores.jsonl", folder / f"scores.{form}")
    assert ran.code == 0, ran.err
    assert len(ran.records) == FEW
    assert ran.said == [f"realqa: {FEW} records from 2 files; left out: {FEW} repeated"]


def test_merged_percentiles_are_those_among_all_records(folder: Path, tmp_path: Path, realqa: Realqa) -> None:
    photos = sorted(PHOTOS.glob("*.jpg"))
    for name, some in (("a", photos[:4]), ("b", photos[4:8]), ("whole", photos[:8])):
        assert realqa("score", *some, *ECHO, "-o", tmp_path / f"{name}.jsonl.gz", "-q").code == 0
    merged = tmp_path / "merged.jsonl.gz"
    assert realqa("merge", tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz", "-o", merged, "-q").code == 0
    percentiles = [
        [row.record["percentile"] for row in read_label_rows(str(tmp_path / name))]
        for name in ("a.jsonl.gz", "merged.jsonl.gz", "whole.jsonl.gz")
    ]
    assert percentiles[1] == percentiles[2]
    assert percentiles[1][:4] != percentiles[0]
