"""Label Studio: tasks that it takes, and its export read back, whatever people did there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_labels import SAID, annotate, content, export_of, label, write_export

from realqa_cli.domain.attributes import ATTRIBUTES, Attribute
from realqa_cli.errors import OutputError, UsageError
from realqa_cli.media.files import content_id_of
from realqa_cli.steps.annotate.controls import read_result, results
from realqa_cli.steps.annotate.label_studio import config_path, read_export, write_tasks
from realqa_cli.steps.annotate.refinements import changes


def tasks_of(file: Path) -> list[dict[str, Any]]:
    return list(json.loads(file.read_text(encoding="utf-8")))


def written(folder: Path, *labels: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """Tasks of the labels as their export would be, ready to be annotated."""
    write_tasks(labels, folder / "tasks.json", overwrite=True, **options)
    return export_of(folder / "tasks.json")


def read(tasks: list[dict[str, Any]], folder: Path, said: list[str] | None = None) -> list[dict[str, Any]]:
    return list(read_export(write_export(tasks, folder / "export.json"), say=(said if said is not None else []).append))


def test_a_label_becomes_a_task_with_its_values_as_predictions(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    confident = label(1, confidence={"image_clarity": 0.9, "level_shot": 0.7})
    assert write_tasks([confident, label(2)], file) == 2
    first, second = tasks_of(file)
    assert first["data"]["realqa_id"] == content(1)
    assert first["data"]["image"] == "/data/local-files/?d=photos/1.jpg"
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == "gpt-4o"
    assert prediction["score"] == pytest.approx(0.8)
    assert second["predictions"][0]["score"] is None, "the model does not say how sure it is"
    values = {item["from_name"]: (item["type"], item["value"]) for item in prediction["result"]}
    assert values["composition"] == ("rating", {"rating": 7})
    assert values["composition_reason"] == ("textarea", {"text": ["Lines lead to the bed."]})
    assert values["subject_background_background"] == ("textarea", {"text": ["hotel room"]})
    assert values["level_shot"] == ("choices", {"choices": ["yes"]})
    assert {name.removesuffix("_reason").removesuffix("_subject") for name in values} >= set(ATTRIBUTES) - {
        "subject_background"
    }
    idents = [item["id"] for task in (first, second) for item in task["predictions"][0]["result"]]
    assert len(set(idents)) == len(idents)


def test_the_configuration_has_every_option_and_a_control_for_all_that_is_predicted(tmp_path: Path) -> None:
    write_tasks([label(1)], tmp_path / "tasks.json")
    view = ElementTree.parse(config_path(tmp_path / "tasks.json")).getroot()
    named = {tag.get("name"): tag for tag in view.iter() if tag.get("name")}
    result = tasks_of(tmp_path / "tasks.json")[0]["predictions"][0]["result"]
    assert {item["from_name"]: item["type"] for item in result} == {
        name: tag.tag.lower() for name, tag in named.items() if name != "image"
    }
    for key, attribute in ATTRIBUTES.items():
        if attribute.kind == "choice":
            assert tuple(choice.get("value") for choice in named[key]) == attribute.options
    assert named["composition"].get("maxRating") == "10"
    assert all(tag.get("toName") == "image" for name, tag in named.items() if name != "image")


def test_photos_are_addressed_from_the_folder_that_label_studio_serves(tmp_path: Path) -> None:
    odd = tmp_path / "served" / "photos" / "a b" / "ü&1.jpg"
    plain = tmp_path / "served" / "photos" / "c" / "2.jpg"
    labels = [label(1, image=str(odd)), label(2, image=str(plain)), label(3, image="https://x.org/3.jpg")]
    said: list[str] = []

    def addresses(**options: Any) -> list[str]:
        write_tasks(labels, tmp_path / "t.json", overwrite=True, say=said.append, **options)
        return [task["data"]["image"] for task in tasks_of(tmp_path / "t.json")]

    assert addresses() == [
        "/data/local-files/?d=photos/a%20b/%C3%BC%261.jpg",
        "/data/local-files/?d=photos/c/2.jpg",
        "https://x.org/3.jpg",
    ]
    assert f"LOCAL_FILES_DOCUMENT_ROOT={tmp_path / 'served'}" in said[0]
    assert f"local storage for {tmp_path / 'served' / 'photos'}" in said[0]
    assert addresses(image_root=tmp_path)[1] == "/data/local-files/?d=served/photos/c/2.jpg"
    there = {"image_root": tmp_path / "served", "image_url": "http://cdn/p/"}
    assert addresses(**there)[1] == "http://cdn/p/photos/c/2.jpg"
    with pytest.raises(UsageError, match="not below the served folder"):
        addresses(image_root=tmp_path / "served" / "photos" / "c")


def test_failed_items_and_videos_give_no_task_and_a_file_is_not_replaced_by_chance(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    said: list[Any] = []
    failed = {"image": "a.jpg", "error": {"type": "missing", "message": "no such file"}}
    video = {**label(3), "video": "a.mp4"}
    assert write_tasks([failed, label(1), video], file, say=said.append) == 1
    assert said[:2] == ["failed items, without a task: 1", "videos, without a task: 1"]
    with pytest.raises(OutputError, match="not empty; add --overwrite"):
        write_tasks([label(1)], file)
    assert write_tasks([label(1), label(2)], file, overwrite=True) == 2
    with pytest.raises(UsageError, match="no labels to make tasks of"):
        write_tasks([failed], tmp_path / "other.json")
    with pytest.raises(UsageError, match="needs image and attributes"):
        write_tasks([{"image": "a.jpg", "score": 3.5}], tmp_path / "other.json")
    with pytest.raises(UsageError, match="labeling configuration gets this name"):
        write_tasks([label(1)], tmp_path / "tasks.xml")


def test_a_label_without_a_content_id_gets_the_photos_own(tmp_path: Path, photo_files: list[Path]) -> None:
    foreign = {"image": str(photo_files[0]), "attributes": SAID}
    (task,) = written(tmp_path, foreign)
    assert task["data"]["realqa_id"] == content_id_of(photo_files[0])
    with pytest.raises(UsageError, match="no content id"):
        written(tmp_path, {"image": str(tmp_path / "none.jpg"), "attributes": SAID})


def test_values_outside_the_vocabulary_are_left_blank_and_counted(tmp_path: Path) -> None:
    said: list[str] = []
    (task,) = written(
        tmp_path, label(1, said={"composition": 7, "exposure": "odd", "level_shot": "Yes"}), say=said.append
    )
    assert said[0] == "values outside the vocabulary, left blank in the tasks: 1"
    assert [i["value"] for i in task["_predictions"][0]["result"]] == [{"rating": 7}, {"choices": ["yes"]}]


def test_what_a_person_changed_comes_back_together_with_the_label_of_the_model(tmp_path: Path) -> None:
    said: list[str] = []
    tasks = written(tmp_path, label(1, mos=3.5, confidence={"image_clarity": 0.9, "exposure": 0.8}), label(2))
    annotate(
        tasks[0],
        person=7,
        image_clarity="moderately blurry",
        composition_reason="No line leads.",
        level_shot=None,
    )
    refined, untouched = read(tasks, tmp_path, said)
    assert refined["refined"] is True
    assert refined["changed"] == ["composition", "level_shot", "image_clarity"]
    assert refined["attributes"]["composition"] == {"score": 7, "reason": "No line leads."}
    assert refined["attributes"]["image_clarity"] == "moderately blurry"
    assert "level_shot" not in refined["attributes"]
    assert refined["original"] == SAID
    assert refined["annotator"] == {
        "model": "gpt-4o", "prompt": "ab12", "person": 7, "lead_time": 12.5,
        "created_at": "2026-11-20T10:00:00.000001Z", "updated_at": "2026-11-20T10:00:00.000001Z",
    }  # fmt: skip
    assert refined["confidence"] == {"exposure": 0.8}, "the model's confidence is void where a person put it right"
    assert (refined["image"], refined["mos"], refined["content"]) == ("photos/1.jpg", 3.5, content(1))
    assert untouched == label(2) | {"error": None}
    assert "without an annotation" in said[-1]


def test_a_person_who_agrees_with_everything_refines_without_a_change(tmp_path: Path) -> None:
    tasks = written(tmp_path, label(1))
    annotate(tasks[0], composition_reason="  Lines lead \n to the bed. ")
    (record,) = read(tasks, tmp_path)
    assert record["attributes"] == record["original"], "the label's own words, blanks and all"
    assert record["refined"] is True
    assert record["changed"] == []
    assert record["attributes"] == SAID


def test_what_nobody_changed_keeps_the_labels_own_form(tmp_path: Path) -> None:
    said = {
        "composition": 7,
        "eye_catching": {"score": 6, "reason": "One.\n\nTwo."},
        "exposure": "Overexposed",
        "mine": 3,
    }
    tasks = written(tmp_path, label(1, said=said))
    annotate(tasks[0], composition_reason="unused: there was none")
    (record,) = read(tasks, tmp_path)
    assert record["attributes"] == record["original"] | {"mine": 3}
    assert record["attributes"] == said
    assert record["changed"] == []


@given(data=st.data())
def test_every_label_comes_back_from_its_controls_as_it_was(data: st.DataObject) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.split)
    kinds: dict[str, Callable[[Attribute], Any]] = {
        "rating": lambda a: st.fixed_dictionaries({"score": st.integers(1, 10)}, optional={"reason": text}),
        "choice": lambda a: st.sampled_from(a.options),
        "text": lambda a: st.fixed_dictionaries({"subject": text}, optional={"background": text}),
    }
    values = {key: kinds[attribute.kind](attribute) for key, attribute in ATTRIBUTES.items()}
    said = data.draw(st.fixed_dictionaries({}, optional=values))
    result, lost = results(said, "seed")
    back, foreign = read_result(json.loads(json.dumps(result)))
    assert (lost, foreign) == (0, {})
    assert changes(said, back) == []
    assert list(back) == [key for key in ATTRIBUTES if key in said]


def test_skipped_and_empty_annotations_keep_the_models_label(tmp_path: Path) -> None:
    said: list[str] = []
    tasks = written(tmp_path, label(1), label(2), label(3))
    annotate(tasks[0], person=4, cancelled=True, image_clarity="very blurry")
    annotate(tasks[1], person=5, empty=True)
    annotate(tasks[2], person=4, cancelled=True)
    annotate(tasks[2], person=5, image_clarity="very blurry")
    skipped, empty, both = read(tasks, tmp_path, said)
    assert skipped == label(1) | {"skipped": [4], "error": None}
    assert empty == label(2) | {"skipped": [5], "error": None}
    assert both["changed"] == ["image_clarity"]
    assert both["skipped"] == [4]
    assert "skipped or left empty, with the label that they had: 2" in said[0]


def test_of_several_annotators_the_latest_counts_and_all_are_kept(tmp_path: Path) -> None:
    tasks = written(tmp_path, label(1))
    annotate(tasks[0], person=1, time="2026-11-20T12:00:00+02:00", exposure="overexposed")
    annotate(tasks[0], person=2, time="2026-11-20T11:00:00Z", image_clarity="very blurry")
    annotate(tasks[0], person={"id": 3, "email": "c@example.com"}, time="2026-11-20T10:30:00Z", saturation="low")
    annotate(tasks[0], person=None, time="2027-01-01T00:00:00Z", saturation="high")  # a program's
    annotate(tasks[0], person=1, time="2026-11-20T10:40:00Z", exposure="underexposed")
    (record,) = read(tasks, tmp_path)
    assert record["annotator"]["person"] == 2, "12:00+02:00 is 10:00 in UTC, and a program is not a person"
    assert record["attributes"]["image_clarity"] == "very blurry"
    assert [(one["person"], one["changed"]) for one in record["refinements"]] == [
        (None, ["saturation"]), (3, ["saturation"]), (1, ["exposure"]), (2, ["image_clarity"]),
    ]  # fmt: skip
    assert record["refinements"][2]["attributes"]["exposure"] == "underexposed", "the latest of each person"


def test_tasks_that_were_imported_twice_are_one_photo(tmp_path: Path) -> None:
    said: list[str] = []
    tasks = written(tmp_path, label(1), label(2))
    again = written(tmp_path, label(1))
    again[0]["id"] = 9
    annotate(again[0], person=2, time="2026-11-21T09:00:00Z", image_clarity="very blurry")
    annotate(tasks[0], person=1, time="2026-11-20T09:00:00Z", image_clarity="moderately blurry")
    first, second = read([*tasks, *again], tmp_path, said)
    assert (first["content"], second["content"]) == (content(1), content(2))
    assert first["attributes"]["image_clarity"] == "very blurry"
    assert first["annotator"]["person"] == 2
    assert said[0].endswith("tasks of photos that have several: 1; the latest annotation of a photo counts")


def test_labels_of_two_models_are_two_predictions_and_the_refined_one_is_named(
    tmp_path: Path,
) -> None:
    blurred = SAID | {"image_clarity": "very blurry"}
    tasks = written(tmp_path, label(1), label(1, model="qwen", said=blurred, cost_usd=None))
    assert [p["model_version"] for p in tasks[0]["_predictions"]] == ["gpt-4o", "qwen"]
    annotate(tasks[0], started_from=1, image_clarity="moderately blurry")
    (record,) = read(tasks, tmp_path)
    assert (record["annotator"]["model"], record["cost_usd"]) == ("qwen", None)
    assert record["changed"] == ["image_clarity"]
    assert record["original"] == blurred


def test_one_photo_under_two_names_is_one_task_and_gives_both_records(tmp_path: Path) -> None:
    tasks = written(tmp_path, label(1), label(1, image="copies/1.jpg", mos=2.0))
    assert len(tasks) == 1
    annotate(tasks[0], image_clarity="very blurry")
    first, second = read(tasks, tmp_path)
    assert [first["image"], second["image"], second["mos"]] == ["photos/1.jpg", "copies/1.jpg", 2.0]
    assert first["changed"] == second["changed"] == ["image_clarity"]


def test_an_annotation_from_scratch_is_compared_with_the_label_that_travelled_along(tmp_path: Path) -> None:
    tasks = written(tmp_path, label(1))
    annotate(tasks[0], started_from=None, saturation="high")
    (record,) = read(tasks, tmp_path)
    assert record["changed"] == ["saturation"]
    assert record["original"] == SAID


def test_items_that_are_not_answers_cost_nothing(tmp_path: Path) -> None:
    tasks = written(tmp_path, label(1))
    annotate(tasks[0], exposure="overexposed")
    relation = {"from_id": "a", "to_id": "b", "type": "relation", "direction": "right", "labels": []}
    tasks[0]["annotations"][0]["result"] += [relation, {"type": "brush"}, {"id": "z", "from_name": None, "value": {}}]
    (record,) = read(tasks, tmp_path)
    assert record.get("error") is None
    assert record["attributes"]["exposure"] == "overexposed"


def test_an_export_of_hand_made_tasks_is_read_too_and_foreign_controls_are_kept(tmp_path: Path) -> None:
    tasks = written(tmp_path, label(1))
    del tasks[0]["data"]["realqa"]
    annotate(tasks[0], exposure="overexposed")
    extra = {
        "id": "x",
        "from_name": "usable",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": ["no"]},
    }
    number = {
        "id": "y",
        "from_name": "eye_catching",
        "to_name": "image",
        "type": "number",
        "value": {"number": 6},
    }
    result = tasks[0]["annotations"][0]["result"]
    result[:] = [item for item in result if item["from_name"] != "eye_catching"] + [extra, number]
    (record,) = read(tasks, tmp_path)
    assert record["image"] == "photos/1.jpg"
    assert record["changed"] == ["exposure"], "the export's own copy of the prediction says what was there"
    assert record["other"] == {"usable": "no"}
    assert record["attributes"]["eye_catching"]["score"] == 6


def test_a_label_that_cannot_be_used_is_an_error_record_and_the_others_go_on(tmp_path: Path) -> None:
    tasks = written(tmp_path, *(label(n) for n in range(1, 6)))
    annotate(tasks[0], exposure="upside down")
    annotate(tasks[1], composition=11)
    annotate(tasks[2])
    tasks[2]["annotations"][0]["result"][0].pop("value")
    del tasks[3]["data"]["realqa_id"]
    annotate(tasks[4])
    *broken, fine = read(tasks, tmp_path)
    assert [record["image"] for record in broken] == [f"photos/{n}.jpg" for n in range(1, 5)]
    messages = [record["error"]["message"] for record in broken]
    for message, needed in zip(
        messages, ("upside down", "11 is not from 1 to 10", "no value", "no realqa_id"), strict=True
    ):
        assert needed in message
        assert "export.json" in message
    assert fine["refined"] is True


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "not JSON"),
        ('[{"data": {"image": "a"}, "annot', "not JSON"),
        ('{"tasks": []}', "not a list of tasks"),
        ("[1, 2]", "not a list of tasks"),
        ("[]", "there are no tasks in it"),
        ('[{"id": 3, "annotations": []}]', "task 3: the task has no data"),
        ('[{"id": 3, "data": {}, "predictions": []}]', "tasks for import"),
        ('[{"image": "a.jpg", "annotation_id": 1, "annotator": 1}]', "JSON-MIN"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_not_an_export_is_one_clear_line(tmp_path: Path, text: str, reported: str) -> None:
    file = tmp_path / "export.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=reported) as caught:
        read_export(file)
    assert "\n" not in str(caught.value)
    assert "export.json" in str(caught.value)


def test_a_missing_export_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_export(tmp_path / "none.json")


def test_label_studios_own_sdk_accepts_configuration_tasks_and_predictions(tmp_path: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    partial = {"composition": 7, "image_clarity": "very clear", "subject_background": {"subject": "bed"}}
    write_tasks([label(1), label(2, said=partial)], tmp_path / "tasks.json")
    configuration = config_path(tmp_path / "tasks.json").read_text(encoding="utf-8")
    checked = interface.LabelInterface(configuration)
    checked.validate()
    for task in tasks_of(tmp_path / "tasks.json"):
        assert checked.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert checked.validate_prediction(prediction, return_errors=True) == []
            wrong = {**prediction, "result": [{**prediction["result"][0], "from_name": "nothing"}]}
            assert checked.validate_prediction(wrong, return_errors=True) != []
