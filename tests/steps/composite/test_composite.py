"""Composite: known weights are found again among collinear attributes, and what is missing is said."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from process import Ran, Realqa

from realqa_cli.cli import main
from realqa_cli.cli.views.weights import print_weights
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.errors import UsageError
from realqa_cli.io.labels import LabelRow
from realqa_cli.steps.composite import pls as least_squares
from realqa_cli.steps.composite.composite import CompositeSettings, apply_composite, fit_composite
from realqa_cli.steps.composite.feedback import COLUMNS, FeedbackTable, read_feedback
from realqa_cli.steps.composite.weights_file import Weights, attribute_code, codes_of, read_weights

Floats = NDArray[np.float64]
Label = dict[str, Any]

TRUE_BY_LEVEL = {"high": 0.4, "middle": 0.2, "low": 0.1}
TRUE_P: Floats = np.array([TRUE_BY_LEVEL[ATTRIBUTES[key].level] for key in COLUMNS])
"""The weights that the made feedback has, of standardised codes."""


def made(n: int = 150, *, seed: int = 0, noise: float = 1.0, together: float = 0.97) -> list[Label]:
    """Labels whose attributes of a level nearly move as one, and `ctr` by TRUE_P with noise."""
    random = np.random.default_rng(seed)
    moods = {level: random.normal(size=n) for level in TRUE_BY_LEVEL}
    columns = {}
    for key in COLUMNS:
        own = together**0.5 * moods[ATTRIBUTES[key].level] + (1 - together) ** 0.5 * random.normal(size=n)
        worst_first = _worst_first(key)
        columns[key] = [worst_first[i * len(worst_first) // n] for i in own.argsort().argsort()]
    labels: list[Label] = [
        {"image": f"{i}.jpg", "attributes": {key: values[i] for key, values in columns.items()}} for i in range(n)
    ]
    target = standardised(codes(labels)) @ TRUE_P + noise * random.normal(size=n)
    return [one | {"ctr": float(value)} for one, value in zip(labels, target, strict=True)]


def _worst_first(key: str) -> list[Any]:
    attribute = ATTRIBUTES[key]
    if attribute.kind == "rating":
        return [{"score": score, "reason": "..."} for score in range(1, 11)]
    if key == "exposure":  # the dark half alone, so that every code has one option
        return ["underexposed", "slightly underexposed", "properly exposed"]
    return sorted(attribute.options, key=attribute.code)


def codes(labels: list[Label]) -> Floats:
    return np.array([[attribute_code(key, one["attributes"][key], codes_of(key)) for key in COLUMNS] for one in labels])


def standardised(values: Floats) -> Floats:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0, ddof=1))


def rows(labels: list[Label]) -> list[LabelRow]:
    return [LabelRow(f"labels.jsonl:{i}", one.get("image"), "image", one) for i, one in enumerate(labels, 1)]


def sample(labels: list[Label], target: str = "ctr") -> FeedbackTable:
    return read_feedback(rows(labels), target)


def fitted(labels: list[Label], **settings: Any) -> tuple[Weights, list[str]]:
    given: dict[str, Any] = {"target": "ctr", "bootstrap": 0} | settings
    return fit_composite(sample(labels, given["target"]), CompositeSettings(**given))


def test_known_weights_are_recovered_from_collinear_attributes_where_least_squares_fails() -> None:
    ours, ordinary = [], []
    for seed in range(6):
        labels = made(seed=seed)
        target = np.array([one["ctr"] for one in labels])
        weights, _ = fitted(labels)
        true_P = TRUE_P / target.std(ddof=1)
        found_P = np.array([weights.attributes[key].standardised for key in COLUMNS])
        plain_P = np.linalg.lstsq(standardised(codes(labels)), standardised(target), rcond=None)[0]
        ours.append(np.linalg.norm(found_P - true_P) / np.linalg.norm(true_P))
        ordinary.append(np.linalg.norm(plain_P - true_P) / np.linalg.norm(true_P))
        assert ours[-1] < 0.5 * ordinary[-1]
        assert (found_P > 0).all(), "every true weight is positive"
        assert (plain_P < 0).any(), "and ordinary least squares turns some of them round"
    assert np.mean(ours) < 0.3
    assert np.mean(ordinary) > 0.9


def test_with_as_many_components_as_columns_it_is_ordinary_least_squares() -> None:
    labels = made(n=80)
    weights, _ = fitted(labels, components=9)
    design = np.column_stack([codes(labels), np.ones(80)])
    plain = np.linalg.lstsq(design, np.array([one["ctr"] for one in labels]), rcond=None)[0]
    assert [one.weight for one in weights.attributes.values()] == pytest.approx(plain[:-1], abs=1e-8)
    assert weights.intercept == pytest.approx(plain[-1], abs=1e-8)


def test_the_weights_are_those_of_partial_least_squares() -> None:
    from sklearn.cross_decomposition import PLSRegression

    labels = made(n=80)
    target = np.array([one["ctr"] for one in labels])
    for components in (1, 2, 4):
        weights, _ = fitted(labels, components=components)
        composites = [record["composite"] for record in apply_composite(rows(labels), weights)]
        theirs = PLSRegression(n_components=components).fit(codes(labels), target).predict(codes(labels))
        assert composites == pytest.approx(np.ravel(theirs), abs=1e-8)


def test_a_target_without_noise_is_explained_and_the_composite_is_the_target() -> None:
    labels = made(n=60, noise=0.0)
    weights, _ = fitted(labels)
    assert weights.cross_validation["r2"] > 0.98
    composites = [record["composite"] for record in apply_composite(rows(labels), weights)]
    assert np.corrcoef(composites, [one["ctr"] for one in labels])[0, 1] > 0.99


def test_importance_has_a_mean_square_of_one_and_intervals_hold_their_weights() -> None:
    weights, _ = fitted(made(n=100), bootstrap=50)
    assert np.mean([one.vip**2 for one in weights.attributes.values()]) == pytest.approx(1)
    for one in weights.attributes.values():
        assert one.ci95 is not None
        assert one.ci95[0] < one.standardised < one.ci95[1]


def test_the_same_seed_gives_the_same_weights() -> None:
    labels = made(n=60)
    assert fitted(labels, bootstrap=10)[0] == fitted(labels, bootstrap=10)[0]


def test_labels_of_one_photo_are_never_parted_by_a_fold() -> None:
    # Feedback that is pure chance, and each photo labelled five times: parted, the copies would predict each other.
    random = np.random.default_rng(0)
    x_NP, y_N = random.normal(size=(12, 8)), random.normal(size=12)
    copies = np.tile(np.arange(12), 5)
    held_together = least_squares.fit_pls(x_NP[copies], y_N[copies], copies.tolist(), components=8, bootstrap=0)
    parted = least_squares.fit_pls(x_NP[copies], y_N[copies], list(range(60)), components=8, bootstrap=0)
    assert held_together.validation.r2 < 0 < parted.validation.r2


def test_exposure_is_weighed_by_its_distance_from_proper() -> None:
    codes_of_exposure = codes_of("exposure")
    assert codes_of_exposure is not None
    assert list(codes_of_exposure.values()) == [0, 1, 2, 1, 0]


def test_missing_and_constant_attributes_are_said() -> None:
    labels = made(n=60)
    for i, one in enumerate(labels):
        one["attributes"]["level_shot"] = "yes"
        del one["attributes"]["saturation"]
        if i < 7:
            del one["attributes"]["composition"]
    weights, notes = fitted(labels)
    assert weights.left_out == {"level_shot": "the same in all labels", "saturation": "in no label"}
    assert notes[0].endswith("without a weight: level_shot (the same in all labels), saturation (in no label)")
    assert notes[1] == "missing, replaced by the attribute's mean: composition in 7 of 60 labels"
    assert "composition" in weights.attributes


def test_labels_of_several_models_and_too_few_photos_are_said() -> None:
    labels = [one | {"annotator": {"model": "ab"[i % 2]}} for i, one in enumerate(made(n=20))]
    _, notes = fitted(labels)
    assert notes[0].startswith("the labels come from several models (10 of a, 10 of b)")
    assert notes[1] == "only 20 photos for 9 attributes: mind the intervals"


@pytest.mark.parametrize(
    ("spoil", "reported"),
    [
        (lambda labels: labels[:4], "photos with ctr and attributes: 4, and 5 are the least; add labels"),
        (lambda labels: [labels[0]] * 30, "photos with ctr and attributes: 1, and 5"),
        (lambda labels: [one | {"ctr": 2} for one in labels], "ctr is 2 everywhere"),
        (lambda labels: [{**one, "attributes": labels[0]["attributes"]} for one in labels], "one value only"),
        (
            lambda labels: [{**one, "ctr": None, "shows": 3} for one in labels],
            "no label has a field 'ctr'; the labels have: shows",
        ),
        (lambda labels: [{**one, "attributes": None} for one in labels], "the label has no attributes"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_clear_line(
    spoil: Callable[[list[Label]], list[Label]], reported: str
) -> None:
    with pytest.raises(UsageError, match=reported) as caught:
        fitted(spoil(made(n=20)))
    assert "\n" not in str(caught.value)


def test_more_components_than_the_labels_allow_are_refused() -> None:
    with pytest.raises(UsageError, match="the labels allow 1 to 5 components, not 7"):
        fitted(made(n=7), components=7)


def test_the_target_is_found_by_its_name_or_along_its_dots() -> None:
    labels = made(n=20)
    nested = [{**one, "feedback": {"clicks": {"rate": one["ctr"]}}, "a.b": -one["ctr"]} for one in labels]
    assert list(sample(nested, "feedback.clicks.rate").target_N) == [one["ctr"] for one in labels]
    assert list(sample(nested, "a.b").target_N) == [-one["ctr"] for one in labels]


def test_rows_that_cannot_be_used_are_counted_by_reason() -> None:
    labels = made(n=10)
    labels[0]["ctr"], labels[1]["ctr"] = None, "many"
    labels[2]["attributes"]["exposure"] = "odd"
    labels[3] = {"image": "3.jpg", "error": {"type": "missing", "message": "no such file"}}
    labels[4]["ctr"] = "0.25"  # as a CSV file has it
    found = sample(labels)
    assert dict(found.counts) == {"no target": 1, "record": 2, "failed": 1}
    assert found.flaws == ["labels.jsonl:2: ctr: 'many' is not a number"]
    assert found.target_N[0] == 0.25


def test_apply_adds_the_weighted_sum_and_keeps_every_other_field() -> None:
    weights, _ = fitted(made(n=60))
    label = made(n=60)[5] | {"mine": {"a": 1}, "composite": "old"}
    (record,) = apply_composite(rows([label]), weights)
    parts = [
        one.weight * attribute_code(key, label["attributes"][key], one.codes) for key, one in weights.attributes.items()
    ]
    assert record["composite"] == pytest.approx(weights.intercept + sum(parts))
    assert {k: v for k, v in record.items() if not k.startswith("composite")} == {
        k: v for k, v in label.items() if k != "composite"
    }
    assert record["composite_weights"] == weights.ident


def test_apply_puts_the_mean_for_a_missing_attribute_and_names_it() -> None:
    weights, _ = fitted(made(n=60))
    whole = made(n=60)[5]
    lacking = {**whole, "attributes": {k: v for k, v in whole["attributes"].items() if k != "composition"}}
    first, second = apply_composite(rows([whole, lacking]), weights)
    assert "composite_imputed" not in first
    assert second["composite_imputed"] == ["composition"]
    one = weights.attributes["composition"]
    instead = one.weight * (one.mean - whole["attributes"]["composition"]["score"])
    assert second["composite"] == pytest.approx(first["composite"] + instead)


def test_apply_puts_an_error_in_the_place_of_what_it_cannot_weigh() -> None:
    weights, _ = fitted(made(n=60))
    failed = {"image": "a.jpg", "error": {"type": "missing", "message": "no such file"}}
    odd = {"image": "b.jpg", "attributes": {"exposure": "odd"}, "composite": 3.0}
    none = {"image": "c.jpg", "attributes": {}}
    first, second, third, fourth = apply_composite(rows([failed, odd, none, {"image": "d.jpg"}]), weights)
    assert first == failed
    assert "'odd' is none of" in second["error"]["message"]
    assert "composite" not in second
    assert "none of the weighed attributes" in third["error"]["message"]
    assert "no attributes" in fourth["error"]["message"]


def test_the_file_of_weights_is_small_and_comes_back_as_it_was(tmp_path: Path) -> None:
    weights, _ = fitted(made(n=60), bootstrap=10)
    weights.write(tmp_path / "weights.json")
    assert read_weights(tmp_path / "weights.json") == weights
    assert (tmp_path / "weights.json").stat().st_size < 8000
    plain = json.loads((tmp_path / "weights.json").read_text())
    assert (plain["format"], plain["target"], plain["n"]) == (1, "ctr", 60)
    assert plain["attributes"]["level_shot"]["codes"] == {"yes": 1, "no": 0}


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"format": 2}, "has format 2, and this version reads 1"),
        ({"format": None}, "has format None"),
        ({"attributes": {}}, "is damaged: attributes"),
        ({"intercept": "much"}, "is damaged: intercept"),
        ({"intercept": float("inf")}, "is damaged: intercept"),
    ],
)
def test_a_damaged_file_of_weights_is_one_clear_line(tmp_path: Path, change: dict[str, Any], reported: str) -> None:
    weights, _ = fitted(made(n=60))
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(weights.model_dump(mode="json") | change))
    with pytest.raises(UsageError, match=reported) as caught:
        read_weights(file)
    assert str(caught.value).startswith(str(file))


def test_weights_of_unknown_attributes_or_options_are_refused(tmp_path: Path) -> None:
    weights, _ = fitted(made(n=60))
    file = tmp_path / "weights.json"
    for old, new in (("saturation", "warmth"), ('"very clear"', '"crisp"')):
        text = json.dumps(weights.model_dump(mode="json")).replace(old, new)
        file.write_text(text)
        with pytest.raises(UsageError, match="by options that are not known"):
            read_weights(file)
    for text, reported in (
        ("", "not valid JSON"),
        ("[]", "not a file of weights"),
        ('{"a": 1}', "not a file of weights"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=reported):
            read_weights(file)


def lines(labels: list[Label]) -> str:
    return "".join(json.dumps(one) + "\n" for one in labels)


def test_fit_and_apply_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def ran(*arguments: str) -> Ran:
        return Ran(main(["composite", *arguments]), *capsys.readouterr())

    labels, apply_to = made(n=60), ("apply", "--weights", "weights.json")
    Path("labels.jsonl").write_text(lines([{k: v for k, v in one.items() if k != "ctr"} for one in labels]))
    rates = [f"{one['image']},{one['ctr']}" for one in labels[:50]]
    Path("clicks.csv").write_text("\n".join(["image,ctr", *rates]))
    learn = ("fit", "labels.jsonl", "--target", "ctr", "--bootstrap", "20", "-o", "weights.json")
    learnt = ran(*learn, "--feedback", "clicks.csv", "--plot", "weights.png")
    assert learnt.code == 0
    *weights, whole = learnt.records
    assert sorted(weights, key=lambda line: -abs(line["standardised"])) == weights, "the heaviest first"
    assert {line["attribute"] for line in weights} == set(COLUMNS)
    assert (whole["target"], whole["n"]) == ("ctr", 50)
    assert "realqa: labels without a matching row of feedback, left out: 10" in learnt.said
    with Image.open("weights.png") as picture:
        assert min(picture.size) > 400
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50
    again = ran(*learn, "--feedback", "clicks.csv")
    assert (again.code, again.said[0]) == (0, "realqa: weights.json has these weights already")
    other = (*learn, "--feedback", "clicks.csv", "--seed", "1")
    before = Path("weights.json").read_bytes()
    for more, code in (((), 2), (("--no-resume",), 2)):
        refused = ran(*other, *more)
        assert (refused.code, refused.out) == (code, "")
        assert "the file is not empty" in refused.said[-1]
        assert Path("weights.json").read_bytes() == before
    assert ran(*other, "--overwrite").code == 0
    assert Path("weights.json").read_bytes() != before
    assert ran(*learn, "--feedback", "clicks.csv", "--overwrite").code == 0
    misnamed = ran("fit", "labels.jsonl", "--target", "clicks", "--feedback", "clicks.csv")
    assert_usage_error(misnamed, "no feedback row has a field 'clicks'; the feedback rows have: ctr")

    applied = ran(*apply_to, "labels.jsonl")
    assert (applied.code, applied.said) == (0, ["realqa: records: 60 have a composite"])
    assert [one["image"] for one in applied.records] == [one["image"] for one in labels]
    written = ran(*apply_to, "labels.jsonl", "-o", "out.jsonl")
    assert (written.code, written.out) == (0, "")
    assert Path("out.jsonl").read_text() == applied.out
    Path("out.jsonl").write_text(applied.out[:-400])  # as a kill leaves it
    resumed = ran(*apply_to, "labels.jsonl", "-o", "out.jsonl")
    assert resumed.said == ["realqa: records: 1 have a composite; 59 had it before"]
    assert Path("out.jsonl").read_text() == applied.out
    assert_usage_error(
        ran(*apply_to, "labels.jsonl", "-o", "out.jsonl", "--no-resume"), "out.jsonl: the file is not empty"
    )
    assert_usage_error(ran(*apply_to, "labels.jsonl", "-o", "./labels.jsonl"), "is also an input")


def test_apply_reads_a_pipe_and_a_bad_line_stops_nothing(tmp_path: Path, realqa: Realqa) -> None:
    weights, _ = fitted(made(n=60))
    weights.write(tmp_path / "weights.json")
    ran = realqa("composite", "apply", "--weights", tmp_path / "weights.json", stdin="garbage\n" + lines(made(n=3)))
    assert ran.code == 1
    assert ran.records[0]["image"] == "<stdin>:1"
    assert ["composite" in record for record in ran.records] == [False, True, True, True]
    assert ran.said == ["realqa: records: 3 have a composite; 1 failed"]


def test_a_person_at_a_terminal_sees_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = io.StringIO()
    monkeypatch.setattr("sys.stdout", shown)
    print_weights(fitted(made(n=60), bootstrap=10)[0])
    rows_shown = shown.getvalue().splitlines()
    assert {line[:19].strip().replace(" ", "_") for line in rows_shown[1:10]} == set(COLUMNS)
    assert "ctr of 60 labels" in rows_shown[-1]
    assert "held out: R2 0." in rows_shown[-1]


def assert_usage_error(ran: Ran, reported: str) -> None:
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.said) == 1
    assert reported in ran.said[0]
