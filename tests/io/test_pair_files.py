"""Pairs of photos from tables: the columns, the paths, and rows that are wrong."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from realqa_cli.errors import UsageError
from realqa_cli.io.pairs import read_pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("x.png", "y.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "image_a,image_b,choice\nx.png,y.png,a\n",
        "Choice;Image A;Image B\na;x.png;y.png\n",
        "left,right,choice\nx.png,y.png,a\n",
    ],
)
def test_a_table_names_its_photos_in_two_usual_columns(folder: Path, text: str) -> None:
    (folder / "pairs.csv").write_text(text)
    (pair,) = read_pairs(str(folder / "pairs.csv"))
    assert (pair.a.path, pair.b.path) == (folder / "x.png", folder / "y.png")
    assert pair.fields == {"choice": "a"}
    assert pair.error is None


def test_json_lines_can_have_the_photos_in_a_list_and_other_fields_pass(folder: Path) -> None:
    rows = [{"images": ["x.png", "y.png"], "left": 3}, {"image1": "y.png", "image2": "x.png", "share_a": "0,25"}]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = read_pairs(str(folder / "pairs.jsonl"))
    assert first.fields == {"left": 3}
    assert second.fields == {"share_a": 0.25}
    assert (first.a.path, second.a.path) == (folder / "x.png", folder / "y.png")


def test_a_wrong_row_is_a_pair_with_an_error_in_its_place(folder: Path) -> None:
    lines = ["{nonsense", '{"image_a": "x.png"}', '{"image_a": "x.png", "image_b": "gone.png"}']
    pairs = [*read_pairs("-", stdin=io.StringIO("\n".join(lines)))]
    kinds = [pair.error.type for pair in pairs if pair.error]
    assert kinds == ["record", "record", "missing"]
    assert pairs[1].name == "<stdin>:2"
    assert "image_b" in str(pairs[1].error)


def test_a_table_without_two_columns_for_photos_is_a_usage_error(folder: Path) -> None:
    (folder / "pairs.csv").write_text("image,choice\nx.png,a\n")
    with pytest.raises(UsageError, match="rename them to image_a and image_b; its columns are: image, choice"):
        [*read_pairs(str(folder / "pairs.csv"))]


def test_an_empty_list_of_pairs_is_a_usage_error(folder: Path) -> None:
    (folder / "pairs.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="holds no pairs"):
        [*read_pairs(str(folder / "pairs.jsonl"))]


def test_an_archive_in_place_of_a_photo_is_an_error_of_its_pair(folder: Path) -> None:
    (folder / "x.tar").write_bytes(bytes(1024))
    (folder / "pairs.csv").write_text("image_a,image_b\nx.tar,y.png\n")
    (pair,) = read_pairs(str(folder / "pairs.csv"))
    assert pair.error is not None
    assert pair.error.type == "unsupported"
    assert "an archive, not one photo" in str(pair.error)
