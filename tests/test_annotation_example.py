"""The example of annotation runs whole: a model labels, people refine, feedback weighs, the photos are ranked."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from process import ROOT, environment

from realqa_cli.domain.attributes import ATTRIBUTES

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "annotation"


def records_of(file: Path) -> dict[str, dict[str, Any]]:
    """The records of a file, by the photo's name."""
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {Path(record["image"]).name: record for record in records}


def test_the_example_labels_refines_weighs_and_ranks_the_sample_photos(tmp_path: Path, photos: Path) -> None:
    command = [sys.executable, str(EXAMPLE / "run.py"), "--work", str(tmp_path)]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr

    labels = records_of(tmp_path / "labels.jsonl")
    assert set(labels) == {photo.name for photo in photos.glob("*.jpg")}
    assert all(set(label["attributes"]) == set(ATTRIBUTES) for label in labels.values())
    assert all(label["cost_usd"] > 0 and not label["refined"] for label in labels.values())
    clarity = {name: label["attributes"]["image_clarity"] for name, label in labels.items()}
    assert clarity["mountain.jpg"] == "very clear", "the server's model looks at the photo"
    assert clarity["mountain_blurred_more.jpg"] == "very blurry"
    assert "Composed of realqa-tiny's classes" in labels["bee.jpg"]["attributes"]["composition"]["reason"]

    refined = records_of(tmp_path / "refined.jsonl")
    by_hand = {one["image"]: one for one in json.loads((EXAMPLE / "refinements.json").read_text("utf-8"))}
    assert {name for name, record in refined.items() if record["refined"]} == set(by_hand)
    for name, one in by_hand.items():
        record = refined[name]
        assert record["annotator"]["person"] == one["person"]
        assert set(record["changed"]) == set(one["changed"])
        assert record["attributes"] == labels[name]["attributes"] | one["changed"]
        assert record["original"] == labels[name]["attributes"]
    assert all(record == labels[name] for name, record in refined.items() if name not in by_hand)
    assert "11 records, 2 refined" in ran.stderr

    with (EXAMPLE / "invented_ctr.csv").open(encoding="utf-8", newline="") as file:
        rates = {row["image"]: float(row["invented_ctr"]) for row in csv.DictReader(file)}
    weights = json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))
    assert (weights["target"], weights["n"]) == ("invented_ctr", len(rates))
    assert weights["attributes"]["image_clarity"]["weight"] > 0
    ranked = records_of(tmp_path / "ranked.jsonl")
    assert ranked["mountain.jpg"]["composite"] > ranked["mountain_blurred_more.jpg"]["composite"]

    table = [line.split()[0] for line in ran.stdout.split("4. The photos by")[1].splitlines()[2:] if line]
    best_first = sorted(ranked, key=lambda name: -ranked[name]["composite"])
    assert table == ["photo", *best_first]
