"""Agreement of people with the model, and drift: figures that are known beforehand, and when there is none."""

import io
from typing import Any

import pytest
from made_labels import SAID, label

from realqa_cli.cli.views.agreement import show
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.steps.annotate.agreement import agreement, judgements

CLARITY = ATTRIBUTES["image_clarity"].options


def refined(number: int, *, person: Any = 1, before: dict[str, Any] | None = None, **after: Any) -> dict[str, Any]:
    """A photo refined at minute `number`; `before` and the keywords replace attributes of SAID."""
    original = SAID | (before or {})
    time = f"2026-11-20T{number // 60:02}:{number % 60:02}:00Z"
    who = {"model": "gpt-4o", "person": person, "created_at": time, "updated_at": time}
    return label(number, said=original | after) | {"annotator": who, "refined": True, "original": original}


def by_attribute(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["attribute"]: line for line in agreement(records) if line["measure"] == "agreement"}


def drifts(records: list[dict[str, Any]]) -> dict[tuple[Any, str], dict[str, Any]]:
    lines = agreement(records)
    return {(line["annotator"], line["drift"]): line for line in lines if line["measure"] == "drift"}


def test_all_ten_attributes_have_a_line_with_the_share_that_was_changed() -> None:
    other_reason = {"score": 7, "reason": "Something else."}
    records = [
        refined(0),
        refined(1, composition=other_reason),
        refined(2, image_clarity="very blurry"),
        refined(3),
    ]
    lines = by_attribute(records)
    assert list(lines) == list(ATTRIBUTES)
    assert {line["judged"] for line in lines.values()} == {4}
    assert lines["composition"]["changed"] == lines["image_clarity"]["changed"] == 0.25
    assert lines["exposure"]["changed"] == 0


def test_kappa_has_quadratic_weights_where_classes_are_ordered() -> None:
    # 10 photos on two classes that are far apart: observed disagreement 2 of 10, expected 5 of 10.
    given = [0] * 5 + [3] * 5
    reported = [0] * 4 + [3] + [3] * 4 + [0]
    pairs = enumerate(zip(given, reported, strict=True))
    records = [refined(i, before={"image_clarity": CLARITY[a]}, image_clarity=CLARITY[b]) for i, (a, b) in pairs]
    line = by_attribute(records)["image_clarity"]
    assert line["kappa"] == pytest.approx(1 - 0.2 / 0.5)
    assert (line["weights"], line["n"], line["shift"]) == ("quadratic", 10, 0)
    near = [refined(i, before={"image_clarity": CLARITY[a]}, image_clarity=CLARITY[b]) for i, (a, b) in enumerate(
        zip(given, [0] * 4 + [1] + [3] * 4 + [2], strict=True))]  # fmt: skip
    nearer = by_attribute(near)["image_clarity"]["kappa"]
    assert nearer > line["kappa"], "one class off weighs less than three"


def test_kappa_of_yes_and_no_has_no_weights_and_free_text_has_none() -> None:
    records = [refined(i, before={"level_shot": a}, level_shot=b) for i, (a, b) in enumerate(
        [("yes", "yes"), ("yes", "no"), ("no", "no"), ("no", "no")])]  # fmt: skip
    lines = by_attribute(records)
    assert lines["level_shot"]["weights"] is None
    assert lines["level_shot"]["kappa"] == pytest.approx(0.5)
    assert lines["subject_background"]["kappa"] is None
    assert lines["subject_background"]["reason"] == "free text has no classes"


def test_a_constant_column_has_no_kappa_and_says_why() -> None:
    lines = by_attribute([refined(i) for i in range(5)])
    assert lines["exposure"]["kappa"] is None
    assert lines["exposure"]["reason"] == "all values are the same"
    one_sided = by_attribute([refined(i, exposure="overexposed") for i in range(5)])["exposure"]
    assert (one_sided["kappa"], one_sided["shift"]) == (pytest.approx(0.0), -2)


def test_what_only_one_of_the_two_said_is_judged_but_not_paired() -> None:
    records = [refined(i, before={"saturation": None}, saturation=("low", "high")[i % 2]) for i in range(4)]
    line = by_attribute(records)["saturation"]
    assert (line["judged"], line["n"], line["changed"], line["kappa"]) == (4, 0, 1.0, None)
    assert line["reason"] == "nobody annotated it"


def test_unrefined_labels_say_nothing_and_several_people_count_each() -> None:
    two = refined(1)
    time = {"created_at": "2026-11-20T10:00:00Z", "attributes": SAID, "original": SAID}
    two["refinements"] = [{"person": 5, **time}, {"person": 6, **time}]
    assert [one.person for one in judgements([label(1), two])] == ["5", "6"]
    copies = [refined(1), refined(1) | {"image": "copy.jpg"}]
    assert len(judgements(copies)) == 1, "one photo under two names is one judgement"
    assert all(line["judged"] == 0 for line in agreement([label(1)]))


def test_an_annotator_who_grows_neutral_is_distinguished_from_one_who_does_not() -> None:
    sharp = {"image_clarity": "very clear", "saturation": "ultra-high"}
    neutral = {"image_clarity": "moderately clear", "saturation": "medium"}
    records = []
    for i in range(30):
        records.append(refined(2 * i, person="tired", before=sharp, **(neutral if i >= 15 else sharp)))
        records.append(refined(2 * i + 1, person="steady", before=sharp, **(neutral if i % 2 else sharp)))
    found = drifts(list(reversed(records)))  # the order is that of time, not that of the file
    tired, steady = found["tired", "neutral"], found["steady", "neutral"]
    assert tired["n"] == steady["n"] == 30
    assert tired["last"] > tired["first"]
    assert tired["rho"] > 0.8
    assert tired["p"] < 0.001
    assert steady["p"] > 0.3
    assert found["tired", "changed"]["rho"] > 0.8


def test_photos_that_come_later_and_are_plainer_are_not_a_drift_of_the_annotator() -> None:
    plain, bold = {"saturation": "medium"}, {"saturation": "ultra-high"}
    found = drifts([refined(i, before=plain if i > 9 else bold) for i in range(20)])
    assert found["1", "neutral"]["rho"] > 0.8
    beyond = found["1", "neutral_beyond_model"]
    assert (beyond["first"], beyond["last"], beyond["rho"]) == (0, 0, None)
    assert beyond["reason"] == "all values are the same"


def test_too_few_annotations_have_no_drift() -> None:
    line = drifts([refined(i) for i in range(5)])["1", "neutral"]
    assert (line["n"], line["rho"], line["reason"]) == (5, None, "fewer than 6 photos")


def test_the_table_shows_every_figure_and_dashes_where_there_is_none() -> None:
    shown = io.StringIO()
    records = [refined(i, before={"level_shot": "no"}, level_shot=("yes", "no")[i % 2]) for i in range(8)]
    show(list(agreement(records)), shown)
    rows = {line[:19].strip(): line for line in shown.getvalue().splitlines()}
    assert "50.0%" in rows["level shot"]
    assert "0.000" in rows["level shot"]
    assert "–" in rows["exposure"]
    assert "middle classes" in shown.getvalue()
