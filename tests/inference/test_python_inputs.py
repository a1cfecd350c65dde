"""What Python code passes to `Scorer.score`: one thing gives one record, several give a list."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from realqa_cli import Scorer, ScoreResult, ScoreResults, UsageError

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
BEE = PHOTOS / "bee.jpg"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(backend="echo")


SINGLE: dict[str, Callable[[], Any]] = {
    "text": lambda: str(BEE),
    "path": lambda: BEE,
    "image": lambda: Image.open(BEE),
    "array": lambda: np.asarray(Image.open(BEE)),
    "floats": lambda: np.asarray(Image.open(BEE)) / 255,
    "tensor": lambda: torch.from_numpy(np.asarray(Image.open(BEE)).copy()).permute(2, 0, 1),
    "bytes": BEE.read_bytes,
    "bytearray": lambda: bytearray(BEE.read_bytes()),
    "view": lambda: memoryview(BEE.read_bytes()),
    "stream": lambda: io.BytesIO(BEE.read_bytes()),
}


@pytest.mark.parametrize("kind", SINGLE)
def test_one_photo_gives_one_record_with_the_score_of_its_file(scorer: Scorer, kind: str) -> None:
    record = scorer.score(SINGLE[kind]())
    assert isinstance(record, ScoreResult)
    assert record["score"] == scorer.score(BEE)["score"]
    assert json.loads(json.dumps(record)) == record


def test_an_open_file_is_read_and_named(scorer: Scorer) -> None:
    with BEE.open("rb") as file:
        record: Any = scorer.score(file)
    assert (record["image"], record["content"]) == (str(BEE), scorer.score(BEE)["content"])


def test_a_list_a_folder_and_a_list_file_give_a_list(scorer: Scorer, tmp_path: Path) -> None:
    lines = tmp_path / "photos.jsonl"
    lines.write_text(json.dumps({"image": str(BEE), "mos": 3}) + "\n")
    for several, count in (([str(BEE)], 1), ((BEE, BEE), 2), (iter([BEE]), 1), ([], 0), (str(PHOTOS), 11), (lines, 1)):
        records = scorer.score(several)
        assert isinstance(records, ScoreResults)
        assert len(records) == count
    assert scorer.score(lines)[0]["mos"] == 3
    assert len(scorer.score([PHOTOS, BEE])) == 12


def test_a_stack_of_arrays_or_tensors_is_several_photos(scorer: Scorer) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (3, 120, 130, 3), dtype=np.uint8)
    records = scorer.score(stack)
    assert [record["image"] for record in records] == ["image-0", "image-1", "image-2"]
    tensors = scorer.score(torch.from_numpy(stack).permute(0, 3, 1, 2))
    assert [record["content"] for record in tensors] == [record["content"] for record in records]


def test_a_bad_photo_keeps_its_place_with_its_error(scorer: Scorer) -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    records = scorer.score([BEE, "nope.jpg", b"", np.zeros((3, 4)), np.zeros(3), closed, io.BytesIO(), BEE])
    types = [record["error"] and record["error"]["type"] for record in records]
    assert types == [None, "missing", "empty", None, "array", "unreadable", "empty", None]
    assert scorer.score("nope.jpg")["error"]["type"] == "missing"


@pytest.mark.parametrize("wrong", [5, None, {"image": "a.jpg"}, {BEE}, io.StringIO("a"), object()])
def test_a_value_that_cannot_be_a_photo_is_a_usage_error(scorer: Scorer, wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"give a path|binary|rb"):
        scorer.score(wrong)
    with pytest.raises(UsageError, match="photo 1"):
        scorer.score([BEE, wrong])


def test_a_folder_without_photos_is_a_usage_error(scorer: Scorer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no photos or videos"):
        scorer.score(tmp_path)


def test_a_dash_is_a_file_and_not_standard_input(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_bytes(BEE.read_bytes())
    assert scorer.score("-")["error"] is None


def test_progress_is_reported_after_each_photo(scorer: Scorer, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[tuple[int, int | None]] = []
    found = list(scorer.iter_score([BEE, BEE, PHOTOS / "dogs.jpg"], progress=lambda *call: calls.append(call)))
    assert len(found) == 3
    assert calls == [(1, 3), (2, 3), (3, 3)]
    list(scorer.iter_score(iter([BEE]), progress=lambda *call: calls.append(call)))
    assert calls[-1] == (1, None)
    scorer.score([BEE, BEE], progress=True)
    out, err = capsys.readouterr()
    assert "2/2" in err
    assert out == ""
