"""Replies that are nearly JSON: what is plainly meant is read, and nothing is guessed."""

import json
import re
from collections.abc import Callable

import pytest
from billing_server import label
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.steps.annotate.json_repair import decode_object
from realqa_cli.steps.annotate.reading import read_label

NEARLY: dict[str, Callable[[str], str]] = {
    "a comma before the last brace": lambda text: text[:-1] + ",}",
    "commas before every brace": lambda text: text.replace("}", ", }"),
    "single quotes": lambda text: text.replace('"', "'"),
    "typographic quotes": lambda text: re.sub(r'"([^"]*)"', "“\\1”", text),
    "a dictionary of Python": lambda text: repr(json.loads(text)),
    "a line break within a string": lambda text: text.replace("The frame", "The\nframe"),
    "inner quotes": lambda text: text.replace("The light draws", 'The "light" draws'),
}


@pytest.mark.parametrize("change", NEARLY)
def test_a_reply_that_is_nearly_json_gives_all_ten_attributes(change: str) -> None:
    text = NEARLY[change](json.dumps(label(7)))
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    read = read_label(text).attributes
    assert read.keys() == label(7).keys()
    assert {key: value for key, value in read.items() if "reason" not in str(value)} == {
        key: value for key, value in label(7).items() if "reason" not in str(value)
    }


@pytest.mark.parametrize(
    "text", ['{"a": 1', '{"a" 1}', '{"a": 1 "b": 2}', '{"a": "x', "{'a': 'x", "{", "[1]", ""], ids=repr
)
def test_what_is_cut_or_lacks_a_delimiter_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are those of the decoder
        decode_object(text, 0)


@given(st.text(alphabet="{}[]\"'“”‘’:,\\ \n\t1aTrueNone\ud800", max_size=60))
def test_no_text_breaks_the_repair(text: str) -> None:
    try:
        found, end = decode_object("{" + text, 0)
    except ValueError:
        return
    assert isinstance(found, dict)
    assert 0 < end <= len(text) + 1


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_valid_json_is_read_as_it_is(record: dict[str, object]) -> None:
    text = json.dumps(record)
    assert decode_object(text, 0) == (record, len(text))
