"""Labels: rows of files and tables, and the join by path, then by unique file name, without guessing."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from realqa_cli.errors import ItemError, UsageError
from realqa_cli.io.labels import LabelIndex, LabelRow, read_label_rows


def write(file: Path, *records: dict[str, Any] | str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), encoding="utf-8")
    return str(file)


def join(file: str) -> LabelIndex:
    return LabelIndex(read_label_rows(file), name=file)


def rows(file: str) -> list[LabelRow]:
    return list(read_label_rows(file))


def test_paths_are_relative_to_the_files_folder_then_to_the_current_one(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for photo in ("data/a.jpg", "b.jpg"):
        Path(photo).parent.mkdir(exist_ok=True)
        Path(photo).touch()
    file = write(Path("data/x.jsonl"), *({"image": name} for name in ("a.jpg", "b.jpg", "nowhere.jpg")))
    assert [row.named for row in rows(file)] == ["data/a.jpg", "b.jpg", "data/nowhere.jpg"]
    assert rows(file)[1].path == os.path.realpath("b.jpg")


def test_the_same_image_is_found_by_any_path_to_it(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "photos" / "a.jpg")
    truth = join(write(tmp_path / "photos" / "mos.jsonl", {"image": "a.jpg", "mos": 3}))
    for named in ("photos/a.jpg", str(tmp_path / "photos" / "a.jpg"), "photos/../photos/a.jpg", "link.jpg"):
        (row,) = rows(write(tmp_path / "labels.jsonl", {"image": named}))
        assert truth.find(row).record["mos"] == 3


def test_a_unique_file_name_matches_and_a_repeated_one_is_ambiguous(tmp_path: Path) -> None:
    names = ["x/a.jpg", "x/b.jpg", "y/b.jpg"]
    truth = join(write(tmp_path / "mos.jsonl", *({"image": name, "mos": 1} for name in names)))
    a, b, c = rows(write(tmp_path / "labels.jsonl", *({"image": f"z/{n}.jpg"} for n in "abc")))
    assert truth.find(a).record["image"] == "x/a.jpg"
    with pytest.raises(ItemError, match=r"2 images in .* are called b\.jpg") as error:
        truth.find(b)
    assert error.value.type == "ambiguous"
    with pytest.raises(ItemError, match="not in") as error:
        truth.find(c)
    assert error.value.type == "unmatched"
    assert truth.unused == 2


def test_two_images_cannot_be_joined_to_one_row(tmp_path: Path) -> None:
    truth = join(write(tmp_path / "mos.jsonl", {"image": "a.jpg", "mos": 1}))
    first, second = rows(write(tmp_path / "l.jsonl", {"image": "x/a.jpg"}, {"image": "y/a.jpg"}))
    assert truth.find(first) == truth.find(first)
    with pytest.raises(ItemError, match="both match"):
        truth.find(second)


def test_later_rows_replace_earlier_ones_and_failed_ones_are_ignored(tmp_path: Path) -> None:
    failed = {"image": "a.jpg", "error": {"type": "x", "message": "y"}}
    file = write(tmp_path / "mos.jsonl", {"image": "a.jpg", "mos": 1}, {"image": "a.jpg", "mos": 2}, failed)
    truth = join(file)
    assert truth.find(rows(file)[0]).record["mos"] == 2
    assert (truth.repeated, len(truth)) == (1, 1)


def test_a_csv_file_gives_the_same_rows(tmp_path: Path) -> None:
    file = tmp_path / "mos.CSV"
    file.write_text(
        '\ufeffImage,MOS,mos_range,note\na.jpg,3.5,1-5,fine\nb.jpg,,,\nc.jpg,2,"[0, 100]",\n',
        encoding="utf-8",
    )
    a, b, c = rows(str(file))
    assert a.record == {"image": "a.jpg", "mos": 3.5, "mos_range": [1, 5], "note": "fine"}
    assert "mos" not in b.record
    assert c.record["mos_range"] == [0, 100]
    assert a.where == f"{file}:2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name2,mos\na.jpg,1\n", "there is no column 'image'; rename one column to image; its columns are: name2, mos"),
        ("image,mos\na.jpg,good\n", "mos.csv:2: mos: 'good' is not a number"),
        ("image,mos\na.jpg,1\n,2\n", "mos.csv:3: the row has no image"),
        ("image,mos,mos_range\na.jpg,1,5-1\n", "'5-1' is not a range"),
        ("image,mos\n", "the table has no rows"),
        ("", "the table is empty"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mos.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words.replace("[", r"\[")):
        list(read_label_rows(str(file)))


def test_backslashes_are_separators_and_accents_compare_equal(tmp_path: Path) -> None:
    names = ["images\\a.jpg", "C:\\photos\\b.jpg", "Gr\u00f6\u00dfe.jpg"]
    truth = join(write(tmp_path / "mos.jsonl", *({"image": name, "mos": i} for i, name in enumerate(names))))
    here = write(tmp_path / "labels.jsonl", *({"image": name} for name in ("a.jpg", "x/b.jpg", "Gro\u0308\u00dfe.jpg")))
    assert [truth.find(row).record["mos"] for row in rows(here)] == [0, 1, 2]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    assert rows(str(tmp_path / "mos.jsonl"))[0].named == str(tmp_path / "images" / "a.jpg")


def test_a_name_with_a_backslash_is_taken_literally_where_there_is_such_a_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in\\a.jpg", "in/a.jpg"):
        (tmp_path / name).touch()
    assert rows(write(tmp_path / "x.jsonl", {"image": "in\\a.jpg"}))[0].named == str(tmp_path / "in\\a.jpg")


@pytest.mark.parametrize(("text", "number"), [("3.9", 3.9), ("4,20", 4.2), (" 4 ", 4), ("NA", None), ("good", "good")])
def test_a_mos_that_is_text_is_read_as_a_number(tmp_path: Path, text: str, number: object) -> None:
    (row,) = rows(write(tmp_path / "x.jsonl", {"image": "a.jpg", "mos": text, "mos_range": "1-5"}))
    assert (row.record["mos"], row.record["mos_range"]) == (number, [1, 5])


def test_a_join_that_finds_nothing_is_explained_with_names_of_both_sides(tmp_path: Path) -> None:
    truth = join(write(tmp_path / "mos.jsonl", *({"image": f"/data/{i}.png", "mos": 1} for i in range(3))))
    explained = truth.explain(rows(write(tmp_path / "p.jsonl", *({"image": f"/photos/{i}.jpg"} for i in range(3)))))
    assert "Names here: /photos/0.jpg, /photos/1.jpg; names there: /data/0.png, /data/1.png" in explained


def test_a_bad_line_is_a_row_with_an_error_and_in_a_join_it_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", {"image": "a.jpg"}, "no json", {"image": 3}, {"other": 1}, {"image": "\0"})
    first, second, third, fourth, fifth = rows(file)
    assert (first.error, fourth.error, fourth.named) == (None, None, None)
    assert second.error is not None
    assert third.error is not None
    assert fifth.error is not None
    assert second.name == f"{file}:2"
    with pytest.raises(UsageError, match=r"x\.jsonl:2"):
        join(file)
    with pytest.raises(UsageError, match="names no image"):
        join(write(tmp_path / "y.jsonl", {"other": 1}))


def test_standard_input_and_files_of_any_name_are_json_lines(tmp_path: Path) -> None:
    (row,) = read_label_rows("-", stdin=io.StringIO('{"video": "v.mp4"}\n'))
    assert (row.named, row.kind, row.where) == ("v.mp4", "video", "<stdin>:1")
    assert rows(write(tmp_path / "labels.txt", {"images": ["a.jpg"]}))[0].named == str(tmp_path / "a.jpg")


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_label_rows(str(tmp_path / "none.jsonl")))
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_label_rows(str(tmp_path / "none.csv")))
    with pytest.raises(UsageError, match="holds no records"):
        list(read_label_rows(write(tmp_path / "empty.jsonl")))
