"""Records: what they hold, what they keep of the user's, and what they refuse."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.errors import MediaError, RecordError
from realqa_cli.io import records
from realqa_cli.io.jsonl import dump_line, parse_line
from realqa_cli.io.records import (
    CotRecord,
    ImageRecord,
    LabelRecord,
    LevelRecord,
    Record,
    ScoreRecord,
    error_line,
)

CONTENT = "sha256:" + "0" * 64
OWN: dict[str, Any] = {
    "score": 0.1 + 0.2,
    "mode": 3.92,
    "std": 0.41,
    "interval": (3.1, 4.6),
    "mass": 0.998,
    "scale": (1.0, 5.0),
    "method": "direct",
    "decode": "exact",
    "text": "The score of this image is 3.92.",
    "run": "abc",
    "content": CONTENT,
}

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def foreign_fields(*classes: type[Record]) -> st.SearchStrategy[dict[str, Any]]:
    """Fields that none of the classes declares, with names that could hit a method or an attribute, too."""
    declared = {name for each in classes for name in each.model_fields}
    names = st.text() | st.sampled_from(["copy", "json", "to_line", "model_config", "__dict__", "_private", "self"])
    return st.dictionaries(names.filter(lambda name: name not in declared), values, max_size=5)


@dataclass(frozen=True)
class Photo:
    name: str = "a.jpg"
    fields: dict[str, Any] = field(default_factory=dict)
    kind: Literal["image", "video"] = "image"


# Fields of the user's


@given(foreign_fields(ImageRecord))
def test_unknown_fields_come_back_as_they_were_in_their_order(fields: dict[str, Any]) -> None:
    line = ImageRecord.parse({"image": "a.jpg", **fields}).to_line()
    assert list(line.items()) == [("image", "a.jpg"), *fields.items()]


@given(foreign_fields(ScoreRecord))
def test_a_result_is_written_before_the_fields_that_pass_through(fields: dict[str, Any]) -> None:
    line = ScoreRecord.of(Photo(fields=fields), **OWN).to_line()
    assert list(line) == ["image", *OWN, *fields, "error"]
    assert line["error"] is None
    assert {key: line[key] for key in fields} == fields
    assert parse_line(dump_line(line).encode()) == line


@pytest.mark.parametrize("mos", [4, 4.0, 3.9800000001, 0.1 + 0.2])
def test_the_opinion_score_keeps_its_scale_and_its_type(mos: float) -> None:
    for line in (
        ImageRecord.parse({"image": "a.jpg", "mos": mos}).to_line(),
        ScoreRecord.of(Photo(fields={"mos": mos}), **OWN).to_line(),
    ):
        assert (line["mos"], type(line["mos"])) == (mos, type(mos))


def test_a_new_result_replaces_one_of_the_input() -> None:
    photo = Photo(fields={"score": 9.9, "mos": 3, "run": "old"})
    line = ScoreRecord.of(photo, **OWN).to_line()
    assert (line["score"], line["run"], line["mos"]) == (OWN["score"], "abc", 3)


def test_an_old_result_is_not_mixed_with_the_new_one() -> None:
    photo = Photo(fields={"distribution": "of an earlier run", "mos": 3})
    line = ScoreRecord.of(photo, **OWN).to_line()
    assert "distribution" not in line
    assert line["mos"] == 3


# What is written


def test_fields_that_were_never_set_are_left_out() -> None:
    assert ImageRecord(image="a.jpg").to_line() == {"image": "a.jpg"}


def test_fields_that_were_set_to_nothing_are_null() -> None:
    greedy = OWN | {"decode": "greedy", "std": None, "interval": None, "mass": None}
    line = ScoreRecord.of(Photo(), **greedy).to_line()
    assert line["std"] is line["interval"] is line["mass"] is None


def test_numbers_are_written_unrounded_and_pairs_as_lists() -> None:
    line = ScoreRecord.of(Photo(), **OWN, distribution=[(3.92, 1 / 3)]).to_line()
    assert line["score"] == 0.1 + 0.2
    assert line["interval"] == [3.1, 4.6]
    assert line["distribution"] == [[3.92, 1 / 3]]
    assert ImageRecord.parse({"mos": 3, "mos_range": [1, 5]}).to_line()["mos_range"] == [1, 5]


def test_a_video_has_its_own_field() -> None:
    line = ScoreRecord.of(Photo("a.mp4", kind="video"), **OWN).to_line()
    assert line["video"] == "a.mp4"
    assert "image" not in line


def test_a_file_name_that_is_not_utf_8_is_kept() -> None:
    assert ScoreRecord.of(Photo("a\udc80.jpg"), **OWN).to_line()["image"] == "a\udc80.jpg"


# What is refused


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["score", "std", "mass"])
def test_a_result_is_never_nan_or_infinite(name: str, value: float) -> None:
    with pytest.raises(RecordError, match=f"a.jpg: not a valid ScoreRecord: {name}: Input should be a finite number"):
        ScoreRecord.of(Photo(), **OWN | {name: value})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mos": "3.9"}, "mos"),
        ({"mos": True}, "mos"),
        ({"mos_range": [5, 1]}, r"mos_range must be \[lowest, highest\]"),
        ({"mos_range": [1]}, "mos_range"),
        ({"image": 3}, "image"),
        ({"error": "text"}, "error"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordError, match=words) as caught:
        ImageRecord.parse(fields, where="in.jsonl:3")
    assert str(caught.value).startswith("in.jsonl:3: not a valid ImageRecord")
    assert "\n" not in str(caught.value)
    assert caught.value.type == "record"


def test_a_score_is_about_one_thing() -> None:
    for subject in ({}, {"image": "a.jpg", "video": "a.mp4"}):
        with pytest.raises(RecordError, match="exactly one of image and video"):
            ScoreRecord.parse({**subject, **OWN})


def test_a_content_id_is_one() -> None:
    with pytest.raises(RecordError, match="content"):
        ScoreRecord.of(Photo(), **OWN | {"content": "sha256:abc"})


# Errors


def test_a_failed_item_keeps_its_place_and_its_fields() -> None:
    error = MediaError("no such file", type="missing", where="a.jpg", remedy="check the path")
    assert error_line(Photo(fields={"mos": 3, "tag": "x"}), error) == {
        "image": "a.jpg",
        "mos": 3,
        "tag": "x",
        "error": {"type": "missing", "message": "a.jpg: no such file; check the path"},
    }


def test_an_error_record_has_the_fields_of_a_result_without_values() -> None:
    photo = Photo("a.mp4", {"score": 3.9, "mos": 3, "error": "old", "content": "old"}, "video")
    line = error_line(photo, MediaError("broken"), content=CONTENT, instead_of=ScoreRecord)
    result = ScoreRecord.of(Photo("b.mp4", {"mos": 3}, "video"), **OWN, flags=[]).to_line()
    assert set(line) == {*result, "input.score", "input.content"}
    assert {key for key in result if line[key] is not None} == {"video", "mos", "content", "error"}
    assert line["flags"] is None
    assert (line["content"], line["input.score"], line["input.content"]) == (CONTENT, 3.9, "old")


@pytest.mark.parametrize("kind", [ScoreRecord, CotRecord, LevelRecord, LabelRecord])
def test_an_error_record_of_every_class_has_its_required_fields_as_null(kind: type[ScoreRecord]) -> None:
    line = error_line(Photo(), MediaError("broken"), instead_of=kind, optional=("distribution",))
    required = {name for name, info in kind.model_fields.items() if info.is_required()}
    required |= {"flags"} & set(kind.model_fields)  # every result has them
    assert set(line) == {"image", *required, *kind.nullable} | {"distribution"} & set(kind.model_fields)
    assert [key for key, value in line.items() if value is not None] == ["image", "error"]


def test_input_fields_with_our_names_are_kept_and_reported_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_REPORTED", set())
    for name in ("a.jpg", "b.jpg"):
        photo = Photo(name, {"std": 9, "mode": "auto", "mass": None, "mos": 3, "input.std": "older"})
        line = ScoreRecord.of(photo, **OWN).to_line()
        assert (line["std"], line["mode"], line["mass"]) == (OWN["std"], OWN["mode"], OWN["mass"])
        assert (line["input.input.std"], line["input.std"], line["input.mode"]) == (9, "older", "auto")
        assert "input.mass" not in line
    assert [record.getMessage() for record in caplog.records] == [
        "a.jpg: fields of the input that realqa writes itself are kept as input.mode, input.std"
    ]


def test_an_error_record_can_be_read_again() -> None:
    line = error_line(Photo(), MediaError("it is cut", type="broken"))
    record = ImageRecord.parse(line)
    assert record.error is not None
    assert (record.error.type, record.error.message) == ("broken", "it is cut")
    assert record.to_line() == line
