"""Evaluation that counts what it cannot read, guesses nothing, and says how sure its figures are."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_attributes import FULL
from PIL import Image
from process import Realqa, command, environment
from scipy import stats

from realqa_cli.domain import metrics
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.parsing import labelled_score, predicted_score
from realqa_cli.errors import UsageError
from realqa_cli.io.labels import LabelRow
from realqa_cli.steps.evaluate.attribute_table import COLUMNS, measure, read_table
from realqa_cli.steps.evaluate.evaluate import EvalSettings, compare_predictions, evaluate
from realqa_cli.steps.evaluate.predictions import data_warnings, read_predictions

Line = dict[str, Any]


def rows(*records: Line) -> list[LabelRow]:
    return [LabelRow(f"x.jsonl:{i}", r.get("image"), "image", r) for i, r in enumerate(records, 1)]


def scored(n: int = 60, noise: float = 0.3, seed: int = 1, **more: Any) -> list[Line]:
    draw = np.random.default_rng(seed)
    mos = np.random.default_rng(0).uniform(1, 5, n)
    return [
        {"image": f"{i}.jpg", "score": float(m + draw.normal(0, noise)), "mos": float(m), **more}
        for i, m in enumerate(mos)
    ]


def measured(*records: Line, **settings: Any) -> dict[str, Line]:
    settings = {"bootstrap": 50} | settings
    return {line["metric"]: line for line in evaluate(read_predictions(rows(*records)), EvalSettings(**settings))}


def write(file: Path, records: list[Line]) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_every_metric_agrees_with_scipy_and_has_an_interval() -> None:
    records = scored()
    lines = measured(*records)
    a, b = [r["score"] for r in records], [r["mos"] for r in records]
    assert lines["srcc"]["value"] == pytest.approx(stats.spearmanr(a, b).statistic)
    assert lines["plcc"]["value"] == pytest.approx(stats.pearsonr(a, b).statistic)
    assert lines["krcc"]["value"] == pytest.approx(stats.kendalltau(a, b).statistic)
    assert list(lines) == ["srcc", "plcc", "krcc", "rmse"]
    for line in lines.values():
        assert line["ci95"][0] <= line["value"] <= line["ci95"][1]
        assert (line["n"], line["unparsed"], line["missing"]) == (60, 0, 0)


def test_the_same_seed_gives_the_same_interval() -> None:
    records = scored()
    assert measured(*records, seed=3) == measured(*records, seed=3)
    assert measured(*records, seed=3)["srcc"]["ci95"] != measured(*records, seed=4)["srcc"]["ci95"]


@given(st.floats(0.5, 50), st.floats(-40, 40))
def test_rmse_is_in_the_unit_of_the_mos(width: float, low: float) -> None:
    records = scored(20, scale=[1, 5])
    moved = [r | {"mos": low + (r["mos"] - 1) / 4 * width, "mos_range": [low, low + width]} for r in records]
    plain, mapped = measured(*records, bootstrap=0)["rmse"], measured(*moved, bootstrap=0)["rmse"]
    assert mapped["value"] == pytest.approx(plain["value"] / 4 * width, rel=1e-6)
    assert plain["unit"] == "score, not mapped"
    assert mapped["unit"].startswith("score from 1-5 to ") or width == 4


def test_a_logistic_fit_is_repeated_in_every_resample_and_named() -> None:
    records = [r | {"mos": r["mos"] ** 4} for r in scored()]
    raw, fitted = measured(*records), measured(*records, fit="logistic")
    assert fitted["plcc"]["value"] > raw["plcc"]["value"] + 0.01
    assert fitted["rmse"]["value"] < raw["rmse"]["value"]
    assert fitted["plcc"]["fit"] == "logistic, 4 parameters"
    assert fitted["srcc"] == raw["srcc"]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("The score of this image is 3.99.", 3.99),
        ("the SCORE of this video is  4", 4),
        ("The score of this image is 2.1. No: The final score is <3.98>.", 3.98),
        ("The final score is < 3.5 >. Or <4.5>.", None),
        ("The final score is <3.5>. I repeat: <3.50>.", 3.5),
        ("The score of this image is 3.9<|im_end|>", 3.9),
        ("The <subject> is fine. The final score is <3.98>.", 3.98),
        ("The final score is <4,20>.", 4.2),
        ("The score of this image is good.", None),
        ("The score of this image is 3,99.", 3.99),
        ("The score of this image is 3,987.", None),
        ("The score of this image is 2.00. The score of this image is 4.20.", None),
        ("The score of this image is 2.00? Yes, the score of this image is 2.", 2.0),
        ("**The score of this image is** 4.20.", 4.2),
        ("The score of this image is **4.20**.", 4.2),
        ("First: the score of this image is 2.00.</think> The score of this image is 4.20.", 4.2),
        ("<think>The score of this image is 2.00.</think>The score of this image is 4,20.", 4.2),
        ("The score of this image is 4.20. <think>or 2?</think>", 4.2),
        ("<think>The score of this image is 2.00. But", None),
        ("[THINK]<2.00>[/THINK]The final score is <4.20>.", 4.2),
        ("The score of this image is 3-4.", None),
        ("The score of this image is 1.2.3.", None),
        ("3.98", None),
        ("The final score is <>.", None),
        ("", None),
        (3.98, None),
        (None, None),
    ],
)
def test_predictions_are_read_as_the_release_reads_them_and_never_guessed(text: object, score: float | None) -> None:
    assert predicted_score(text) == score


def test_labels_are_read_after_the_sentence_even_where_brackets_follow() -> None:
    assert labelled_score("The score of this image is 3.99. <1.00>") == 3.99
    assert labelled_score("It is sharp. The final score is <3.99>.") == 3.99
    assert labelled_score("sharp") is None


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    for read in (predicted_score, labelled_score):
        value = read(text)
        assert value is None or np.isfinite(value)


def test_the_releases_file_gives_its_metrics() -> None:
    pairs = [(1.5, 1.62), (2.5, 2.31), (3.5, 3.9), (4.5, 4.4)]
    records: list[Line] = [
        {
            "prompt": "p",
            "predict": f"Thus. The final score is <{p}>.",
            "label": f"The score of this image is {m}.",
        }
        for m, p in pairs
    ]
    bad = [
        {"predict": "no idea", "label": "The score of this image is 2.0."},
        {"predict": "<3.0>", "label": "none"},
    ]
    line = measured(*records, *bad)["plcc"]
    assert line["value"] == pytest.approx(np.corrcoef(np.array(pairs), rowvar=False)[0, 1])
    assert (line["n"], line["unparsed"], line["missing"]) == (4, 1, 1)


def test_the_releases_answers_in_the_regular_form_give_the_table_of_attributes() -> None:
    def answer(clarity: str, composition: str) -> str:
        return f"1.2 Composition Score: {composition}, 3.1 Image Clarity: {clarity}\nThe final score is <3.98>."

    truth = [("very clear", "7"), ("moderately clear", "5"), ("very blurry", "2"), ("very clear", "9")]
    said = [("very clear", "7"), ("very clear", "6"), ("very blurry", "2"), ("quite clear", "8")]
    records = [{"predict": answer(*s), "label": answer(*t)} for s, t in zip(said, truth, strict=True)]
    records.append({"predict": "I like it.", "label": "3.1 Image Clarity: very clear."})
    lines = table(*records, metric=("accuracy",), bootstrap=0)
    clarity, composition = (lines["accuracy", key] for key in ("image_clarity", "composition"))
    assert (clarity["value"], clarity["n"], clarity["unparsed"]) == (pytest.approx(2 / 3), 3, 2)
    assert (composition["value"], composition["n"], composition["unparsed"]) == (0.5, 4, 0)
    assert {line["missing"] for line in lines.values()} == {0}  # nobody asked for the other attributes


def test_what_has_no_score_or_no_mos_is_counted() -> None:
    records = scored(10)
    records[0]["score"] = "high"
    records[1]["score"] = True
    del records[2]["score"]
    del records[3]["mos"]
    records[4] = {"image": "4.jpg", "error": {"type": "broken", "message": "x"}, "mos": 3}
    records[5]["mos"] = "good"
    line = measured(*records)["srcc"]
    assert (line["n"], line["unparsed"], line["missing"]) == (4, 2, 4)


def test_scores_and_mos_that_are_text_are_read_as_numbers() -> None:
    plain = scored(30)
    text = [r | {"score": f"{r['score']:.3f}".replace(".", ","), "mos": str(r["mos"])} for r in plain]
    rounded = [r | {"score": round(r["score"], 3)} for r in plain]
    assert measured(*text) == measured(*rounded)


def test_numbers_that_overflow_are_counted_and_not_computed_with() -> None:
    records = scored(30)
    records[0]["score"] = 1e308
    records[1]["mos"] = -1e308
    line = measured(*records)["plcc"]
    assert (line["n"], line["unparsed"], line["missing"]) == (28, 1, 1)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([{"image": "a.jpg", "score": 3}], "add --labels FILE"),
        (scored(5), "only 5 pairs"),
        (scored(30, mos_range=[3, 5]), "MOS are outside their mos_range 3-5"),
        ([r | {"mos": r["mos"] * 20} for r in scored(30, scale=[1, 5])], "scores are on 1-5 and the MOS are not"),
    ],
)
def test_doubtful_data_are_reported(records: list[Line], words: str) -> None:
    assert any(words in line for line in data_warnings(read_predictions(rows(*records))))
    assert data_warnings(read_predictions(rows(*scored(30, mos_range=[1, 5], scale=[1, 5])))) == []


def test_a_score_counts_over_an_error_and_the_last_score_over_others() -> None:
    records = scored(10)
    failed = {"image": "0.jpg", "error": {"type": "x", "message": "y"}}
    clean = measured(*records)
    assert measured(failed, *records) == clean
    assert measured(*records, failed) == clean
    again = measured(records[3] | {"score": 99}, *records)
    assert again["srcc"]["repeated"] == 1
    assert again["rmse"]["value"] == pytest.approx(clean["rmse"]["value"])


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (scored(1), "two pairs or more, not 1"),
        ([r | {"mos": 3} for r in scored(9)], "truth is constant"),
        ([r | {"score": 3} for r in scored(9)], "predictions are constant"),
        ([{"image": "a.jpg", "mos": 3}], "two pairs or more, not 0"),
    ],
)
def test_a_metric_without_a_value_says_why(records: list[Line], words: str) -> None:
    line = measured(*records)["srcc"]
    assert (line["value"], line["ci95"]) == (None, None)
    assert words in line["reason"]


def test_two_pairs_have_a_value_and_no_interval() -> None:
    line = measured(*scored(2))["srcc"]
    assert line["value"] is not None
    assert line["ci95"] is None
    assert "too few" in line["reason"]


def test_scores_of_different_scales_are_not_thrown_together() -> None:
    mixed = [
        *scored(5, mos_range=[1, 5]),
        *({"image": f"k{i}.jpg", "score": 3, "mos": 50, "mos_range": [0, 100]} for i in range(5)),
    ]
    with pytest.raises(UsageError, match="MOS are on different scales, 0-100 and 1-5"):
        measured(*mixed)


def test_groups_are_drawn_whole() -> None:
    records = [r | {"image": f"{k}-{r['image']}", "clip": r["image"]} for r in scored(30) for k in range(5)]
    alone = measured(*scored(30))["srcc"]["ci95"]
    pretended, grouped = (measured(*records, groups=g)["srcc"]["ci95"] for g in (None, "clip"))
    assert grouped == pytest.approx(alone)
    assert pretended[1] - pretended[0] < 0.7 * (grouped[1] - grouped[0])
    with pytest.raises(UsageError, match="no field 'film' to group by"):
        measured(*records, groups="film")


def test_a_comparison_is_of_the_images_of_both_and_paired() -> None:
    ours, theirs = scored(80, 0.2, seed=1), scored(80, 0.6, seed=2)
    theirs[0]["score"] = "?"
    left, right = read_predictions(rows(*ours[:70])), read_predictions(rows(*theirs))
    lines = {
        line["metric"]: line for line in compare_predictions(left, right, "other.jsonl", EvalSettings(bootstrap=100))
    }
    common = range(1, 70)
    mos = [ours[i]["mos"] for i in common]
    a, b = ([side[i]["score"] for i in common] for side in (ours, theirs))
    line = lines["srcc"]
    assert line["ours"] == pytest.approx(metrics.srcc(a, mos))
    assert line["theirs"] == pytest.approx(metrics.srcc(b, mos))
    assert line["value"] == pytest.approx(line["ours"] - line["theirs"])
    assert 0 < line["ci95"][0] < line["value"] < line["ci95"][1]
    assert line["p"] < 0.05
    assert (line["n"], line["unparsed"], line["missing"], line["compared_with"]) == (69, 1, 10, "other.jsonl")
    assert lines["rmse"]["value"] < 0


def test_a_file_compared_with_itself_shows_no_difference() -> None:
    sample = read_predictions(rows(*scored()))
    for line in compare_predictions(sample, sample, "same", EvalSettings(bootstrap=50)):
        assert (line["value"], line["ci95"], line["p"]) == (0, [0, 0], 1)


def test_files_that_disagree_about_the_truth_are_not_compared() -> None:
    other = [r | {"mos": 5 - r["mos"]} for r in scored()]
    with pytest.raises(UsageError, match="compare predictions of the same data set"):
        list(
            compare_predictions(read_predictions(rows(*scored())), read_predictions(rows(*other)), "o", EvalSettings())
        )


def labelled(n: int = 40) -> tuple[list[Line], list[Line]]:
    """Predicted and true attributes; each attribute is wrong by one class in every fourth image."""
    predicted, truth = [], []
    for i in range(n):
        given: Line = {}
        true: Line = {}
        for k, (key, attribute) in enumerate(ATTRIBUTES.items()):
            values = attribute.options or [{"score": s} for s in range(1, 11)]
            if attribute.scored:
                place = (i * 7 + k * 3) % len(values)
                true[key] = values[place]
                given[key] = values[min(place + 1, len(values) - 1) if (i + k) % 4 == 0 else place]
        predicted.append({"image": f"{i}.jpg", "attributes": given, "labels": true})
        truth.append({"image": f"{i}.jpg", "attributes": true})
    return predicted, truth


def table(*records: Line, **settings: Any) -> dict[tuple[str, str], Line]:
    lines = measure(read_table(rows(*records)), EvalSettings(attributes=True, **{"bootstrap": 20} | settings))
    return {(line["metric"], line["attribute"]): line for line in lines}


def test_the_table_has_the_papers_nine_columns_and_their_average() -> None:
    predicted, _ = labelled()
    lines = table(*predicted)
    assert COLUMNS[:3] == ("eye_catching", "composition", "subject_integrity")
    assert len(COLUMNS) == 9
    assert "subject_background" not in COLUMNS
    assert {metric for metric, _ in lines} == {"srcc", "plcc", "accuracy", "within_one"}
    for metric in ("srcc", "plcc", "accuracy"):
        values = [lines[metric, key]["value"] for key in COLUMNS]
        assert lines[metric, "average"]["value"] == pytest.approx(np.mean(values))
        assert lines[metric, "average"]["columns"] == 9
    ours, truth = (
        np.array([ATTRIBUTES["exposure"].code(r[side]["exposure"]) for r in predicted])
        for side in ("attributes", "labels")
    )
    assert lines["srcc", "exposure"]["value"] == pytest.approx(stats.spearmanr(ours, truth).statistic)
    assert lines["accuracy", "exposure"]["value"] == pytest.approx(np.mean(ours == truth))
    assert lines["within_one", "exposure"]["value"] == 1
    assert lines["within_one", "level_shot"]["value"] is None


def test_a_column_without_a_value_is_left_out_of_the_average_and_named() -> None:
    predicted, _ = labelled()
    for record in predicted:
        record["labels"]["level_shot"] = "yes"
        del record["attributes"]["exposure"]
    predicted[0]["attributes"]["saturation"] = "loud"
    lines = table(*predicted, metric=("srcc",))
    assert "constant" in lines["srcc", "level_shot"]["reason"]
    assert lines["srcc", "exposure"]["missing"] == 40
    assert (lines["srcc", "saturation"]["n"], lines["srcc", "saturation"]["unparsed"]) == (39, 1)
    average = lines["srcc", "average"]
    assert (average["columns"], average["left_out"]) == (7, ["level_shot", "exposure"])
    assert average["value"] is not None
    assert average["ci95"] is not None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metric": ("auc",)}, "no metric 'auc' here; use some of: srcc, plcc, krcc, rmse, all"),
        ({"metric": ("accuracy",)}, "add --attributes: scores have no classes"),
        ({"metric": ("rmse",), "attributes": True}, "use some of: srcc, plcc, krcc, accuracy, all"),
        ({"fit": "cubic"}, "--fit: unknown value 'cubic'"),
        ({"fit": "logistic", "attributes": True}, "--fit: is for scores"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        EvalSettings(**settings).check()


def test_the_command_gives_one_line_a_metric(realqa: Realqa, tmp_path: Path) -> None:
    file = write(tmp_path / "preds.jsonl", scored())
    ran = realqa("eval", file, "--metric", "srcc", "--metric", "plcc", "--bootstrap", 50)
    assert (ran.code, ran.err) == (0, "")
    assert [set(line) for line in ran.records] == [{"metric", "value", "ci95", "n", "unparsed", "missing"}] * 2
    piped = realqa("eval", "-", "--metric", "srcc", "--bootstrap", 50, stdin=file.read_text())
    assert piped.records == ran.records[:1]
    nameless = realqa("eval", file, "--metric", "all", "--bootstrap", 0, "-q")
    assert [line["metric"] for line in nameless.records] == ["srcc", "plcc", "krcc", "rmse"]
    assert nameless.records[0]["ci95"] is None


def test_rows_that_cannot_be_read_make_the_exit_code_one(realqa: Realqa, tmp_path: Path) -> None:
    file = write(tmp_path / "preds.jsonl", scored())
    file.write_text(file.read_text() + "no json\n")
    ran = realqa("eval", file, "--metric", "srcc", "--bootstrap", 0)
    assert (ran.code, ran.records[0]["n"], ran.records[0]["unparsed"]) == (1, 60, 1)
    assert ran.said == ["realqa: not measured: 1 answers, for want of a value or of its truth"]


def test_an_undefined_value_makes_the_exit_code_one(realqa: Realqa, tmp_path: Path) -> None:
    ran = realqa("eval", write(tmp_path / "p.jsonl", [r | {"score": 3} for r in scored()]), "--metric", "srcc")
    assert (ran.code, ran.records[0]["value"]) == (1, None)
    assert "predictions are constant" in ran.said[0]


def test_labels_give_the_mos_by_unique_file_name(realqa: Realqa, tmp_path: Path) -> None:
    records = scored()
    bare = [{"image": f"photos/{r['image']}", "score": r["score"]} for r in records]
    file, truth = write(tmp_path / "preds.jsonl", bare), tmp_path / "mos.csv"
    truth.write_text(
        "image,mos\n" + "".join(f"{r['image']},{r['mos']!r}\n" for r in [*records, {"image": "z", "mos": 1}])
    )
    ran = realqa("eval", file, "--labels", truth, "--metric", "srcc", "--bootstrap", 0)
    assert (ran.code, ran.records[0]["n"]) == (0, 60)
    assert ran.records[0]["value"] == pytest.approx(measured(*records, bootstrap=0)["srcc"]["value"])
    assert "the labels have 1 more images" in ran.said[0]
    assert realqa("eval", file, "--metric", "srcc").records[0]["missing"] == 60


def test_attributes_are_measured_against_a_file_of_labels(realqa: Realqa, tmp_path: Path) -> None:
    predicted, truth = labelled()
    alone = [{key: value for key, value in record.items() if key != "labels"} for record in predicted]
    files = write(tmp_path / "attrs.jsonl", alone), write(tmp_path / "truth.jsonl", truth)
    ran = realqa("eval", files[0], "--attributes", "--labels", files[1], "--bootstrap", 20)
    own = realqa("eval", write(tmp_path / "own.jsonl", predicted), "--attributes", "--bootstrap", 20)
    assert (ran.code, own.code) == (0, 0)
    assert ran.records == own.records
    assert len(ran.records) == 40
    assert realqa("eval", files[0], "--attributes", "--bootstrap", 0).code == 1


def test_two_files_are_compared(realqa: Realqa, tmp_path: Path) -> None:
    ours, theirs = (
        write(tmp_path / "a.jsonl", scored()),
        write(tmp_path / "b.jsonl", scored(noise=0.9, seed=5)),
    )
    ran = realqa("eval", ours, "--compare", theirs, "--metric", "srcc", "--bootstrap", 100)
    (line,) = ran.records
    assert line["value"] > 0
    assert line["value"] == pytest.approx(line["ours"] - line["theirs"])
    release = [{"predict": f"<{i % 4}>", "label": f"The score of this image is {i % 5}."} for i in range(20)]
    files = write(tmp_path / "r1.jsonl", release), write(tmp_path / "r2.jsonl", release)
    assert realqa("eval", files[0], "--compare", files[1], "--bootstrap", 0).records[0]["value"] == 0


@pytest.mark.parametrize("n", [40, 2500])
def test_the_plot_is_a_picture_of_the_points(realqa: Realqa, tmp_path: Path, n: int) -> None:
    records = scored(n, scale=[1, 5], mos_range=[1, 5])
    ran = realqa(
        "eval",
        write(tmp_path / "p.jsonl", records),
        "--bootstrap",
        0,
        "--plot",
        tmp_path / "p.png",
        "--metric",
        "srcc",
    )
    assert (ran.code, ran.err) == (0, "")
    with Image.open(tmp_path / "p.png") as picture:
        assert min(picture.size) > 900
        colours = picture.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 100


def test_the_terminal_gets_a_table(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", scored())
    leader, follower = pty.openpty()
    ran = subprocess.run(
        command("eval", file, "--bootstrap", 20),
        stdout=follower,
        env=environment(COLUMNS="100", NO_COLOR="1"),
        timeout=60,
    )
    os.close(follower)
    text = re.sub(r"\x1b\[[0-9;]*m", "", raw := os.read(leader, 100_000).decode())
    assert ran.returncode == 0
    assert [line.split()[0] for line in text.splitlines()] == ["metric", "SRCC", "PLCC", "KRCC", "RMSE"]
    assert "\x1b[3" not in raw


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.jsonl"], "none.jsonl: cannot be read"),
        (["p.jsonl", "--metric", "auc"], "no metric 'auc' here"),
        (["p.jsonl", "--labels", "none.csv"], "none.csv: cannot be read"),
        (["p.jsonl", "--labels", "-"], "standard input is for the predictions"),
        (["p.jsonl", "--compare", "p.jsonl"], "is the same file"),
        (["p.jsonl", "--plot", "p.txt"], "p.txt does not have the suffix of a plot"),
        (["p.jsonl", "--plot", "none/p.png"], "no folder none"),
        (["p.jsonl", "--attributes", "--plot", "p.png"], "--plot: is for scores"),
        (["p.jsonl", "--bootstrap", "-3"], "--bootstrap"),
        (["empty.jsonl"], "holds no records"),
        ([], "PREDS"),
    ],
)
def test_wrong_usage_is_one_line(realqa: Realqa, tmp_path: Path, arguments: list[str], words: str) -> None:
    write(tmp_path / "p.jsonl", scored(5))
    write(tmp_path / "empty.jsonl", [])
    ran = realqa("eval", *arguments, cwd=tmp_path)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    assert words in ran.said[0]


def test_full_labels_are_measured_whole() -> None:
    lines = table(*[{"image": f"{i}.jpg", "attributes": FULL, "labels": FULL} for i in range(5)])
    assert all(lines["accuracy", key]["value"] == 1 for key in COLUMNS)
