"""`realqa compare` as a person runs it: pairs, tables, errors, and a run that continues."""

import csv
import json
from pathlib import Path

import pytest
from process import Realqa

from realqa_cli import Scorer


@pytest.fixture
def pairs(tmp_path: Path, photo_files: list[Path]) -> Path:
    """Each photo is in several pairs; one row has a photo that does not exist."""
    a, b, c = photo_files[:3]
    rows = [(a, b, "a"), (b, c, "tie"), (c, a, "b"), (a, tmp_path / "gone.jpg", "a"), (b, a, "b")]
    file = tmp_path / "pairs.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image_a", "image_b", "choice"), *rows])
    return file


def test_two_photos_are_compared_exactly_as_by_the_python_api(realqa: Realqa, photo_files: list[Path]) -> None:
    a, b = photo_files[:2]
    ran = realqa("compare", a, b)
    (record,) = ran.records
    expected = Scorer().compare(a, b)
    assert ran.code == 0
    assert record["p_a_better"] == pytest.approx(expected.p_better, abs=1e-6)
    assert record["decided"] == expected.decided
    assert (record["score_a"], record["score_b"]) == pytest.approx((expected.a["score"], expected.b["score"]))
    assert record["margin"] == pytest.approx(max(record["p_a_better"], 1 - record["p_a_better"]) - 0.75)


def test_each_pair_has_its_record_in_order_and_a_bad_photo_fails_its_pairs_alone(realqa: Realqa, pairs: Path) -> None:
    ran = realqa("compare", "--pairs", pairs)
    assert ran.code == 1
    assert [record["choice"] for record in ran.records] == ["a", "tie", "b", "a", "b"]
    assert [record["error"] is None for record in ran.records] == [True, True, True, False, True]
    assert ran.records[3].keys() == ran.records[0].keys()
    assert ran.records[3]["error"]["type"] == "missing"
    first, last = ran.records[0], ran.records[4]
    assert first["p_a_better"] == pytest.approx(1 - last["p_a_better"], abs=1e-9)
    assert "5 pairs: 4 compared, 1 failed" in ran.err


def test_each_photo_is_scored_once_and_a_later_run_continues(realqa: Realqa, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert realqa("compare", "--pairs", pairs, "-o", output, "--limit", "2").code == 0
    scores = tmp_path / "out.jsonl.scores.jsonl"
    assert len(scores.read_text().splitlines()) == 3
    before = output.read_text()
    ran = realqa("compare", "--pairs", pairs, "-o", output)
    assert "5 pairs: 2 compared, 2 done before, 1 failed" in ran.err
    assert "3 scores of an earlier run used" in ran.err
    assert output.read_text().startswith(before)
    assert sum(json.loads(line)["error"] is None for line in scores.read_text().splitlines()) == 3
    whole = [json.loads(line) for line in output.read_text().splitlines()]
    once = realqa("compare", "--pairs", pairs).records
    assert [line["p_a_better"] for line in whole] == pytest.approx([line["p_a_better"] for line in once])


def test_a_table_shows_who_is_better_and_what_people_chose(realqa: Realqa, pairs: Path) -> None:
    ran = realqa("compare", "--pairs", pairs, "--table")
    assert "P(A > B)" in ran.out
    assert "tie" in ran.out
    assert "too close to call" in ran.out or "is better" in ran.out
    assert "gone.jpg: no such file" in " ".join(ran.out.split())


def test_an_exported_table_can_be_evaluated(realqa: Realqa, pairs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    assert realqa("compare", "--pairs", pairs, "-o", output).code == 1
    ran = realqa("eval", output, "--pairs", "--bootstrap", "0")
    assert [(line["n"], line["missing"], line["ties"]) for line in ran.records[::2]] == [(3, 1, 1), (4, 1, 1)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give two photos, or a table of pairs"),
        (["one.jpg"], "needs two photos, not 1"),
        (["a.jpg", "b.jpg", "--pairs", "x.csv"], "give two photos, or a table of pairs"),
        (["a.jpg", "b.jpg", "--by", "taste"], "unknown value 'taste'"),
        (["a.jpg", "b.jpg", "--choices", "A,B"], "applies to --by model"),
        (["a.jpg", "b.jpg", "--by", "model", "--preset", "deqa"], "applies to --by distribution"),
        (["a.jpg", "b.jpg", "--by", "model", "--choices", "A"], "needs two different words"),
        (["a.jpg", "b.jpg", "--by", "model"], "trained on questions about one photo"),
        (["--pairs", "missing.csv"], "missing.csv"),
    ],
)
def test_wrong_usage_is_one_line(realqa: Realqa, tmp_path: Path, options: list[str], said: str) -> None:
    ran = realqa("compare", *options, cwd=tmp_path)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_method_without_distributions_says_so_in_each_record(realqa: Realqa, photo_files: list[Path]) -> None:
    ran = realqa("compare", *photo_files[:2], "--backend", "echo", "--method", "direct", "--limit", "1")
    assert ran.code == 0
    refused = realqa("compare", *photo_files[:2], "--method", "regression")
    assert (refused.code, "was not trained" in refused.err) == (2, True)
