"""Accuracy and log-loss of comparisons: against scikit-learn, with ties, and with rows that cannot be read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process import Realqa
from sklearn.metrics import accuracy_score, log_loss

from realqa_cli.domain import metrics


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    names = {"image_a": "a.jpg", "image_b": "b.jpg", "run": "r"}
    file.write_text("".join(json.dumps(names | row) + "\n" for row in rows))
    return file


def measured(realqa_here: Realqa, file: Path, *options: object) -> tuple[int, dict[str, dict[str, Any]]]:
    ran = realqa_here("eval", file, "--pairs", "--json", *options)
    return ran.code, {line["metric"]: line for line in ran.records}


def test_accuracy_and_log_loss_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    p, chosen = rng.uniform(0.01, 0.99, 200), rng.integers(0, 2, 200)
    assert metrics.pair_accuracy(p, chosen) == pytest.approx(accuracy_score(chosen, p > 0.5))
    assert metrics.pair_log_loss(p, chosen) == pytest.approx(log_loss(chosen, p))


def test_a_certain_error_costs_much_and_not_infinitely() -> None:
    assert metrics.pair_log_loss([1.0], [0.0]) == pytest.approx(-np.log(1e-6))
    assert metrics.pair_log_loss([0.5, 0.5], [1.0, 0.5]) == pytest.approx(np.log(2))


def test_ties_of_people_count_in_the_log_loss_alone_and_those_of_the_model_by_half(
    realqa_here: Realqa, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [
        {"p_a_better": 0.9, "choice": "a"},
        {"p_a_better": 0.5, "choice": "b"},
        {"p_a_better": 0.8, "choice": "tie"},
        {"p_a_better": 0.2, "share_a": 0.4},
    ]
    code, lines = measured(realqa_here, write(tmp_path / "pairs.jsonl", rows), "--bootstrap", "0")
    assert code == 0
    assert lines["pair_accuracy"] | {"ci95": None} == {
        "metric": "pair_accuracy",
        "value": pytest.approx(2.5 / 3),
        "ci95": None,
        "n": 3,
        "unparsed": 0,
        "missing": 0,
        "ties": 1,
    }
    assert (lines["pair_accuracy_decided"]["value"], lines["pair_accuracy_decided"]["n"]) == (1.0, 2)
    parts = [-np.log(0.9), np.log(2), -np.log(0.8 * 0.2) / 2, -0.4 * np.log(0.2) - 0.6 * np.log(0.8)]
    assert lines["pair_log_loss"]["value"] == pytest.approx(np.mean(parts))
    assert lines["pair_log_loss"]["n"] == 4


def test_rows_that_say_nothing_are_counted_and_make_the_exit_code_1(realqa_here: Realqa, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"p_a_better": 0.9, "choice": "a"},
        {"p_a_better": 0.9},
        {"p_a_better": 0.9, "choice": "perhaps"},
        {"p_a_better": "high", "choice": "a"},
        {"image_a": "c.jpg", "p_a_better": None, "choice": "a", "error": {"type": "missing", "message": "m"}},
    ]
    code, lines = measured(realqa_here, write(tmp_path / "pairs.jsonl", rows))
    assert code == 1
    assert [lines["pair_accuracy"][key] for key in ("n", "unparsed", "missing")] == [1, 2, 2]


def test_every_row_is_a_judgement_but_errors_that_were_made_good_and_earlier_runs(
    realqa_here: Realqa, tmp_path: Path
) -> None:
    judged = {"p_a_better": 0.9, "choice": "a"}
    rows = [
        {**judged, "p_a_better": None, "run": None, "error": {"type": "decode", "message": "m"}},
        {**judged, "p_a_better": 0.1, "run": "old"},
        judged,
        {**judged, "choice": "b"},
    ]
    code, lines = measured(realqa_here, write(tmp_path / "pairs.jsonl", rows))
    assert code == 0
    assert [lines["pair_accuracy"][key] for key in ("value", "n", "repeated")] == [0.5, 2, 1]


def test_an_interval_holds_the_value_and_groups_are_drawn_together(realqa_here: Realqa, tmp_path: Path) -> None:
    rows = [{"p_a_better": 0.9 if i // 10 % 2 else 0.1, "choice": "a", "scene": i // 10} for i in range(60)]
    file = write(tmp_path / "pairs.jsonl", rows)
    _, alone = measured(realqa_here, file, "--metric", "pair_accuracy")
    _, grouped = measured(realqa_here, file, "--metric", "pair_accuracy", "--groups", "scene")
    (low, high), (wide_low, wide_high) = (lines["pair_accuracy"]["ci95"] for lines in (alone, grouped))
    assert wide_low < low < alone["pair_accuracy"]["value"] < high < wide_high


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metric", "srcc"], "no metric 'srcc' of pairs"),
        (["--attributes"], "leave out --attributes or --pairs"),
        (["--fit", "logistic"], "leave out --fit or --pairs"),
        (["--groups", "scene"], "no field 'scene' to group by"),
    ],
)
def test_options_for_scores_are_usage_errors(
    realqa_here: Realqa, tmp_path: Path, options: list[str], said: str
) -> None:
    file = write(tmp_path / "pairs.jsonl", [{"p_a_better": 0.9, "choice": "a"}])
    ran = realqa_here("eval", file, "--pairs", *options)
    assert (ran.code, said in ran.err) == (2, True)
