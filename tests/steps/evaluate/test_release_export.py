"""`realqa eval --export-release`: the file of the release, with the same metrics as the records that it came from."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from process import Realqa
from scipy import stats

RECORDS: list[dict[str, Any]] = [
    {"image": f"{i}.jpg", "score": 1 + i / 7 + (i % 5) / 3, "scale": [1, 5], "mos": 1.5 + i / 8, "mos_range": [1, 5]}
    for i in range(21)
]


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    file = tmp_path / "preds.jsonl"
    unusable = [{"image": "bad.jpg", "score": None, "mos": 3, "error": {"type": "decode", "message": "broken"}}]
    file.write_text("".join(json.dumps(record) + "\n" for record in [*RECORDS, *unusable]))
    return file


def test_a_script_that_reads_the_release_finds_the_same_metrics(
    predictions: Path, tmp_path: Path, realqa_here: Realqa
) -> None:
    released = tmp_path / "generated_predictions.jsonl"
    ran = realqa_here("eval", predictions, "--bootstrap", 0, "--export-release", released)
    assert "21 rows, 1 left out" in ran.err
    rows = [json.loads(line) for line in released.read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [record["image"] for record in RECORDS]
    pattern = re.compile(r"score of this image is (\d+\.\d+)\.$")
    numbers = [[float(pattern.findall(row[key])[0]) for row in rows] for key in ("predict", "label")]
    assert numbers == [[record[key] for record in RECORDS] for key in ("score", "mos")]
    values = {record["metric"]: record["value"] for record in ran.records}
    assert values["srcc"] == pytest.approx(stats.spearmanr(*numbers).statistic)
    assert values["plcc"] == pytest.approx(stats.pearsonr(*numbers).statistic)


def test_our_own_evaluation_of_the_exported_file_agrees(predictions: Path, tmp_path: Path, realqa_here: Realqa) -> None:
    released = tmp_path / "generated_predictions.jsonl"
    first = realqa_here("eval", predictions, "--bootstrap", 0, "--export-release", released).records
    second = realqa_here("eval", released, "--bootstrap", 0).records
    assert [record["value"] for record in first] == pytest.approx([record["value"] for record in second])
    assert realqa_here("eval", predictions, "--bootstrap", 0, "--export-release", released).code == 1


def test_an_export_of_attributes_is_refused(predictions: Path, tmp_path: Path, realqa_here: Realqa) -> None:
    ran = realqa_here("eval", predictions, "--attributes", "--export-release", tmp_path / "x.jsonl")
    assert ran.code == 2
    assert "--export-release: is for scores" in ran.err


def test_a_comparison_of_few_common_images_is_warned_of(tmp_path: Path, realqa_here: Realqa) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    renamed = [{**record, "image": f"x{record['image']}"} for record in RECORDS[3:]]
    other.write_text("".join(json.dumps(record) + "\n" for record in [*RECORDS[:3], *renamed]))
    ran = realqa_here("eval", one, "--compare", other, "--bootstrap", 50)
    assert "warning: only 3 pairs; below 20 the metrics and intervals mean little" in ran.err
