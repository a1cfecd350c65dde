"""What a model is asked, and what is read from its reply: tolerant of spelling, strict about values."""

import json
from typing import Any

import pytest
from billing_server import label

from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.steps.annotate.reading import InvalidReply, read_label

SCREEN = {"subtitle": False, "watermark": True, "stitched": False}


def flaws(text: str, *, screen: bool = False) -> str:
    with pytest.raises(InvalidReply) as raised:
        read_label(text, screen=screen)
    assert raised.value.type == "unparsed"
    return "; ".join(raised.value.flaws)


def test_the_question_names_every_attribute_with_every_option_and_its_gloss() -> None:
    asked = prompts.annotation_question()
    for attribute in ATTRIBUTES.values():
        assert f"- {attribute.key}: " in asked
        assert all(f'"{option}"' in asked for option in attribute.options)
        assert all(gloss in asked for gloss in attribute.glosses)
    assert "screen" not in asked


def test_the_curation_flags_are_asked_for_on_demand_only() -> None:
    asked = prompts.annotation_question(screen=True)
    assert all(f"- {flag}: " in asked for flag in SCREEN)
    assert prompts.annotation_prompt_hash(screen=True) != prompts.annotation_prompt_hash()


def objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [each for value in schema.get("properties", {}).values() for each in objects(value)]
    return [schema, *inner] if schema["type"] == "object" else inner


def test_the_schema_is_one_that_strict_servers_take() -> None:
    reported = prompts.response_format(screen=True)["json_schema"]
    assert reported["strict"] is True
    for schema in objects(reported["schema"]):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
    assert set(reported["schema"]["properties"]) == {*ATTRIBUTES, "screen"}
    assert reported["schema"]["properties"]["exposure"]["enum"] == list(ATTRIBUTES["exposure"].options)


def test_a_model_reasons_before_it_scores() -> None:
    properties = prompts.response_format()["json_schema"]["schema"]["properties"]
    assert list(properties["composition"]["properties"]) == ["reason", "score"]


def test_a_good_reply_gives_the_ten_attributes() -> None:
    found = read_label(json.dumps(label(7)))
    assert found.attributes == label(7)
    assert list(found.attributes) == list(ATTRIBUTES)
    assert found.screen is None


@pytest.mark.parametrize(
    "dress",
    [
        lambda text: f"```json\n{text}\n```",
        lambda text: f"Sure! Here is the {{object}}:\n{text}\nAnything else?",
        lambda text: json.dumps({"attributes": json.loads(text)}),
        lambda text: json.dumps({"photo": json.loads(text), "note": "fine"}),
        lambda text: text.replace("eye_catching", "Eye-Catching").replace("level_shot", "Level Shot"),
        lambda text: json.dumps(label(3)) + "\nOn second thoughts:\n" + text,
    ],
    ids=["a fence", "words around it", "one deeper", "one deeper with company", "other keys", "a second try"],
)
def test_how_a_reply_is_dressed_does_not_matter(dress: Any) -> None:
    assert read_label(dress(json.dumps(label(7)))).attributes == label(7)


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("saturation", "Medium saturation", "medium"),
        ("image_clarity", " Very   Clear. ", "very clear"),
        ("subject_integrity", "fully complete (no cuts or obstructions at all)", "fully complete"),
        ("level_shot", True, "yes"),
        ("composition", {"Score": "7/10", "Reason": "calm"}, {"score": 7, "reason": "calm"}),
        ("composition", {"score": 7.0, "reason": "calm\n and  wide"}, {"score": 7, "reason": "calm and wide"}),
    ],
)  # fmt: skip
def test_options_and_scores_are_read_however_they_are_spelt(key: str, written: object, value: object) -> None:
    assert read_label(json.dumps(label(7, **{key: written}))).attributes[key] == value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exposure": "dark"}, "exposure: 'dark' is none of: overexposed, slightly overexposed"),
        ({"exposure": None}, "exposure: missing"),
        ({"composition": {"score": 12, "reason": "x"}}, "composition: 12 is not from 1 to 10"),
        ({"composition": {"score": 6.5, "reason": "x"}}, "composition: 6.5 is not a whole number"),
        ({"composition": {"score": float("inf"), "reason": "x"}}, "composition: cannot convert"),
        ({"composition": {"score": True, "reason": "x"}}, "composition: True is not a whole number"),
        ({"composition": {"score": 6}}, "composition.reason: missing"),
        ({"composition": 6}, "composition: 6 is not an object"),
        ({"subject_background": {"subject": "bed", "background": " "}}, "subject_background.background"),
        ({"subject_background": {"subject": ["bed"], "background": "x"}}, "['bed'] is not a text"),
        ({"level_shot": ["yes"]}, "level_shot"),
    ],
)  # fmt: skip
def test_what_is_missing_or_unknown_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in flaws(json.dumps(label(7, **changes)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I cannot tell.", "there is no JSON object in it"),
        ('{"composition": {"score": 7, "rea', "its JSON is broken"),
        ("[1, 2]", "there is no JSON object in it"),
        ("{}", "composition: missing; eye_catching: missing"),
        ('{"a":' * 5000, "its JSON is broken"),
    ],
)
def test_what_is_not_a_label_says_so(text: str, words: str) -> None:
    assert words in flaws(text)


def test_flags_are_read_where_they_were_asked_for() -> None:
    assert read_label(json.dumps(label(7, screen=SCREEN)), screen=True).screen == SCREEN
    words = {"subtitle": "no", "watermark": "True", "stitched": False}
    assert read_label(json.dumps(label(7, screen=words)), screen=True).screen == SCREEN
    assert read_label(json.dumps(label(7, **SCREEN)), screen=True).screen == SCREEN, "next to the attributes"
    assert flaws(json.dumps(label(7)), screen=True) == "screen.subtitle: missing"


def test_the_repair_names_the_flaws() -> None:
    assert "- exposure: missing\n" in prompts.repair_request(["exposure: missing"])
