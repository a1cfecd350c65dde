"""Conversations in sharegpt form: lists and lines, and photos named from the author's folder."""

import json
from pathlib import Path
from typing import Any

import made_datasets as made
import pytest

from realqa_cli.errors import RecordError, UsageError
from realqa_cli.inference.teacher_forcing import conversations
from realqa_cli.io import sharegpt

RECORDS: list[dict[str, Any]] = [
    {"messages": [], "images": ["a.jpg"]},
    {"conversations": [], "images": ["b.jpg"]},
]


@pytest.mark.parametrize("start", ["", "\ufeff", "\n \t"])
def test_a_list_and_lines_give_the_same_records(tmp_path: Path, start: str) -> None:
    as_list, as_lines = tmp_path / "x.json", tmp_path / "x.jsonl"
    as_list.write_text(start + json.dumps(RECORDS, indent=1), encoding="utf-8")
    as_lines.write_text(start + "".join(json.dumps(record) + "\n" for record in RECORDS), encoding="utf-8")
    assert [record for _, record in sharegpt.read_sharegpt(as_list)] == RECORDS
    assert [record for _, record in sharegpt.read_sharegpt(as_lines)] == RECORDS
    assert [number for number, _ in sharegpt.read_sharegpt(as_list)] == [1, 2]


def test_a_bad_item_of_a_list_is_an_error_and_a_broken_list_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('[{"a": 1}, 3]')
    (_, good), (number, bad) = sharegpt.read_sharegpt(file)
    assert good == {"a": 1}
    assert isinstance(bad, RecordError)
    assert (number, str(bad)) == (2, f"{file}:2: an item of the list is of type int, not an object")
    for text in ('[{"a": 1}', "[" * 100_000):
        file.write_text(text)
        with pytest.raises(UsageError, match="cannot be read as JSON"):
            list(sharegpt.read_sharegpt(file))
    with pytest.raises(UsageError, match="cannot be read"):
        list(sharegpt.read_sharegpt(tmp_path / "none.json"))


def test_the_answers_of_both_dialects_are_read(tmp_path: Path) -> None:
    ours = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    theirs = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    assert sharegpt.answers(ours) == sharegpt.answers(theirs) == ["a"]
    assert sharegpt.answers({"messages": "q", "text": "a"}) == []


def test_photos_are_found_without_the_authors_leading_folders(tmp_path: Path) -> None:
    photo = made.photo(tmp_path / "images" / "a.jpg")
    for name in ("images/a.jpg", "/home/author/RealQA/images/a.jpg", "data/images/a.jpg", "C:\\x\\images\\a.jpg"):
        assert sharegpt.locate_image(name, [tmp_path]) == str(photo)
    assert sharegpt.locate_image("images/b.jpg", [tmp_path]) is None


def test_the_release_is_read_for_training_unchanged(tmp_path: Path) -> None:
    made.release(tmp_path)
    found = conversations.read_conversations([tmp_path / "realqa_train.json", tmp_path / "realqa_test.jsonl"])
    assert [one.numeral for one in found] == ["6.59", None, "3.1", "8.0"]
    assert [one.images[0].name for one in found] == ["a.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert found[1].where == f"{tmp_path / 'realqa_train.json'}:2"
