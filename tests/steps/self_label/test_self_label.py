"""Self-labelling: well-formed attributes for any photo and any weights."""

import json
import logging
from pathlib import Path

import pytest
from made_videos import write as write_video
from small_models import write

from realqa_cli.decoding.attribute_form import form_of
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.errors import UsageError
from realqa_cli.io.sources import read_sources
from realqa_cli.models import path
from realqa_cli.models.realqa_json import ScorerConfig
from realqa_cli.steps.self_label.self_label import LabelSettings, SelfLabeler

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"


def test_random_weights_give_well_formed_labels_with_confidences(tmp_path: Path) -> None:
    labeller = SelfLabeler(LabelSettings(model=str(write(tmp_path / "model"))))
    sources = [str(PHOTOS / "bee.jpg"), str(tmp_path / "missing.jpg"), str(PHOTOS / "dogs.jpg")]
    first, missing, second = labeller.records(read_sources(sources))
    assert missing["error"]["type"] == "missing"
    for record in (first, second):
        assert [*record][:4] == ["image", "attributes", "annotator", "confidence"]
        assert record["annotator"] == {"model": str(tmp_path / "model")}
        assert record["refined"] is False
        for key, value in record["attributes"].items():
            ATTRIBUTES[key].code(value)
        assert set(record["confidence"]) == set(record["attributes"]) == {*ATTRIBUTES} - {"subject_background"}


def test_videos_are_labelled_too_and_refused_by_models_of_photos(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4")
    qwen = SelfLabeler(LabelSettings(model=str(write(tmp_path / "qwen")), frames=2))
    (record,) = qwen.records(read_sources([str(clip)]))
    assert record["video"] == str(clip)
    assert {*record["confidence"]} == {*ATTRIBUTES} - {"subject_background"}
    llava = SelfLabeler(LabelSettings(model=str(write(tmp_path / "llava", "llava"))))
    (refused,) = llava.records(read_sources([str(clip)]))
    assert "the model takes no videos" in refused["error"]["message"]


def test_fields_of_the_input_pass_through_and_old_labels_are_replaced(tmp_path: Path) -> None:
    line = {"image": str(PHOTOS / "bee.jpg"), "mos": 3.5, "attributes": {"exposure": "old"}, "note": "kept"}
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n")
    labeller = SelfLabeler(LabelSettings(backend="echo"))
    (record,) = labeller.records(read_sources([str(tmp_path / "in.jsonl")]))
    assert (record["mos"], record["note"]) == (3.5, "kept")
    assert record["attributes"]["exposure"] in ATTRIBUTES["exposure"].options


def test_a_model_is_asked_for_what_it_was_trained_on_in_its_order() -> None:
    trained = ScorerConfig(form=("exposure", "composition.reason", "composition.score"))
    assert form_of(trained, reasons=False) == ("exposure", "composition.score")
    assert form_of(trained, reasons=True) == ("exposure", "composition.reason", "composition.score")


def test_reasons_are_refused_where_the_model_gives_none() -> None:
    with pytest.raises(UsageError, match="trained without reasons"):
        form_of(ScorerConfig(form=("exposure",)), reasons=True)


def test_a_model_that_never_learnt_attributes_is_said_to_guess(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(form_of(None, reasons=False)) == 9
    assert "guesses" in caplog.text


def test_the_bundled_models_realqa_json_is_sound() -> None:
    found = json.loads((path("realqa-tiny") / "realqa.json").read_text())
    assert ScorerConfig.model_validate(found).scale == (1.0, 5.0)
