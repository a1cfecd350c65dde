"""Public data sets in their official layouts: what is read, what is reported, and what is refused."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_datasets as made
import made_rated_sets
import numpy as np
import pytest
from read_datasets import lines, read, refusal
from scipy.io import savemat

from realqa_cli.datasets import DATASETS, DatasetSelection
from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.items import dataset_items
from realqa_cli.errors import UsageError

# What is read


def test_koniq_is_read_on_0_to_100_with_its_split(tmp_path: Path) -> None:
    found = lines(read("koniq10k", made.koniq(tmp_path)))
    assert found[:3] == [
        {"image": "1024x768/0.jpg", "mos": 5, "mos_range": [0, 100], "split": "training"},
        {"image": "1024x768/1.jpg", "mos": 15, "mos_range": [0, 100], "split": "validation"},
        {"image": "1024x768/2.jpg", "mos": 25, "mos_range": [0, 100], "split": "test"},
    ]
    assert len(found) == 6


def test_koniqs_other_table_is_recognised_by_its_columns_and_read_on_1_to_5(tmp_path: Path) -> None:
    found = lines(read("koniq10k", made.koniq_scores(tmp_path / "a")))
    assert found[0] == {"image": "512x384/0.jpg", "mos": 1.5, "mos_range": [1, 5], "mos_zscore": 20.5}
    made.koniq_scores(tmp_path / "b")
    made.koniq(tmp_path / "b")  # both tables and both sizes: the one with the split, the larger photos
    assert lines(read("koniq10k", tmp_path / "b"))[0]["mos_range"] == [0, 100]
    sets, scores = made.koniq(tmp_path / "c"), tmp_path / "d"
    scores.mkdir()
    (sets / "koniq10k_distributions_sets.csv").rename(scores / "koniq10k_scores_and_distributions.csv")
    assert read("koniq10k", scores).entries[0].fields["mos_range"] == [0, 100]  # whatever the file is called


def test_spaq_is_read_from_its_excel_file_with_five_attributes(tmp_path: Path) -> None:
    first, second = lines(read("spaq", made.spaq(tmp_path)))
    assert first == {
        "image": "TestImage/00001.jpg",
        "mos": 48.86,
        "mos_range": [0, 100],
        "attribute_mos": {
            "brightness": 47.43,
            "colorfulness": 55.57,
            "contrast": 55.71,
            "noisiness": 37.86,
            "sharpness": 42.57,
        },
    }
    assert (second["mos"], second["image"]) == (62, "TestImage/00002.jpg")


def test_live_challenge_is_read_from_matlab_without_the_seven_training_images(tmp_path: Path) -> None:
    assert lines(read("livec", made.livec(tmp_path))) == [
        {
            "image": f"Images/{name}",
            "mos": pytest.approx(10.25 * i % 100),
            "mos_range": [0, 100],
            "mos_std": 19.5,
        }
        for i, name in ((7, "100.bmp"), (8, "878.JPG"), (9, "9.bmp"))
    ]


def test_upper_and_lower_case_differ(tmp_path: Path) -> None:
    made.livec(tmp_path)
    (tmp_path / "Images" / "878.JPG").rename(tmp_path / "Images" / "878.jpg")
    assert [line.get("error") for line in lines(read("livec", tmp_path))] == [None, "missing", None]


def test_avas_mos_is_the_mean_of_its_ratings_and_its_list_the_test_split(tmp_path: Path) -> None:
    dataset = read("ava", made.ava(tmp_path))
    counts = [0, 1, 5, 17, 38, 36, 15, 6, 5, 1]
    mean = sum(rating * count for rating, count in enumerate(counts, 1)) / sum(counts)
    first, second = lines(dataset)
    assert first == {"image": "images/953619.jpg", "mos": mean, "mos_range": [1, 10], "split": "test"}
    assert second["split"] == "train"
    assert dataset.notes_on() == ["ava: 1 photo of aesthetics_image_lists/generic_test.jpgl not found in AVA.txt"]
    unsplit = made.ava(tmp_path / "unlisted", listed=False)
    assert "split" not in lines(read("ava", unsplit))[0]
    assert "download aesthetics_image_lists/generic_test.jpgl into the folder of AVA.txt" in refusal(
        "ava", unsplit, "test"
    )


def test_tad66k_is_split_as_its_files_are(tmp_path: Path) -> None:
    found = lines(read("tad66k", made.tad66k(tmp_path)))
    assert [(line["image"], line["mos"], line["split"]) for line in found] == [
        ("TAD66K/43751877@N085618633908.jpg", 2.21, "train"),
        ("TAD66K/a.jpg", 7.5, "train"),
        ("TAD66K/b.jpg", 9.46, "test"),
    ]
    assert {tuple(line["mos_range"]) for line in found} == {(1, 10)}
    (tmp_path / "merge" / "train.csv").unlink()
    assert read("tad66k", tmp_path).notes_on() == [
        f"tad66k: {tmp_path / 'merge' / 'train.csv'} does not exist, so its split is left out"
    ]


def test_konvids_videos_are_found_under_each_of_their_names(tmp_path: Path) -> None:
    dataset = read("konvid1k", made.konvid(tmp_path))
    tail = "centercrop_960x540_8s.mp4"
    assert lines(dataset) == [
        {"video": "KoNViD_1k_videos/11.mp4", "mos": 1.22, "mos_range": [1, 5]},
        {"video": f"KoNViD_1k_videos/22_original_{tail}", "mos": 3, "mos_range": [1, 5]},
        {"video": f"KoNViD_1k_videos/33_cut_{tail}", "mos": 4, "mos_range": [1, 5]},
        {"video": f"KoNViD_1k_videos/44_cut_{tail}", "mos": 2, "mos_range": [1, 5], "error": "missing"},
    ]
    assert set(dataset.entries[3].also) == {"44.mp4", f"44_original_{tail}"}


def test_the_release_gives_one_entry_a_photo_with_all_that_its_conversations_say(tmp_path: Path) -> None:
    dataset = read("realqa", made.release(tmp_path))
    found = {line["image"]: line for line in lines(dataset)}
    assert found["images/a.jpg"] == {
        "image": "images/a.jpg",
        "mos": 6.59,
        "mos_range": [1, 10],
        "split": "train",
        "labels": {
            "composition": {"reason": "the bed, seen from the side, fills the frame", "score": 7},
            "eye_catching": {"reason": "plain", "score": 6},
            "subject_background": {"subject": "bed", "background": "hotel room"},
            "subject_integrity": "fully complete",
            "level_shot": "yes",
            "image_clarity": "very clear",
            "saturation": "medium",
        },
    }
    assert (found["images/b.jpg"]["mos"], found["images/c.jpg"]["split"]) == (3.1, "test")
    assert len(found) == 3
    assert "taken as 1-10" in dataset.notes_on()[0]
    assert len(read("realqa", tmp_path / "realqa_test.jsonl")) == 1


def sets_of_the_release(folder: Path) -> Path:
    """The authors' `data` folder: one list for each set, with scores on the set's own range."""

    def direct(name: str, score: float) -> dict[str, Any]:
        made.photo(folder / "images" / name)
        turns = [
            {"role": "user", "content": "<image>Rate the aesthetics and quality of this image briefly."},
            {"role": "assistant", "content": f"The score of this image is {score:.2f}."},
        ]
        return {"messages": turns, "images": [f"images/{name}"]}

    data = folder / "data"
    data.mkdir(parents=True)
    for file, prefix, scores in (
        ("aesthetic_decimal2", "r", (6.59, 3.1)),
        ("koniq10k_training_decimal2", "k", (0.39, 7.2, 8.84)),
        ("koniq10k_test", "kt", (55.25, 71.0)),
        ("koniq10k", "kk", (44.0,)),
        ("spaq_test", "s", (96.0, 2.0)),
        ("ava_test", "a", (1.5, 8.2)),
    ):
        records = [direct(f"{prefix}{i}.jpg", score) for i, score in enumerate(scores)]
        (data / f"{file}.json").write_text(json.dumps(records))
    (data / "dataset_info.json").write_text(json.dumps({"spaq": {"file_name": "spaq_test.json"}}))
    return folder


def subset(folder: Path, name: str | None, split: str | None = None) -> Dataset:
    return DatasetSelection("realqa", split, subset=name).open([str(folder)])


def test_the_sets_of_the_release_are_listed_and_read_one_at_a_time(tmp_path: Path) -> None:
    folder = sets_of_the_release(tmp_path)
    with pytest.raises(UsageError) as caught:
        subset(folder, None)
    assert "choose one by --subset: aesthetic_decimal2, ava, koniq10k, koniq10k_decimal2, spaq" in str(caught.value)
    with pytest.raises(UsageError, match="--subset: there is no set 'livec'; choose one of: aesthetic_decimal2"):
        subset(folder, "livec")
    for name, count, bounds in (
        ("aesthetic_decimal2", 2, [1, 10]),
        ("koniq10k_decimal2", 3, [0, 10]),
        ("koniq10k_training_decimal2", 3, [0, 10]),
        ("KonIQ10k", 3, [0, 100]),
        ("koniq10k_test", 2, [0, 100]),
        ("spaq", 2, [0, 100]),
        ("ava", 2, [1, 10]),
    ):
        entries = subset(folder, name).entries
        assert len(entries) == count, name
        assert {tuple(entry.fields["mos_range"]) for entry in entries} == {tuple(bounds)}, name
        assert all(entry.present for entry in entries)


def test_a_training_file_without_the_word_in_its_name_is_not_dropped(tmp_path: Path) -> None:
    folder = sets_of_the_release(tmp_path)
    assert [entry.fields["mos"] for entry in subset(folder, "koniq10k", "train").entries] == [44.0]
    assert [entry.fields["mos"] for entry in subset(folder, "koniq10k", "test").entries] == [55.25, 71.0]
    with pytest.raises(UsageError, match="realqa has no split here; leave it out"):
        subset(folder, "aesthetic_decimal2", "train")


def test_a_score_outside_the_range_of_its_set_stops_the_reader_with_its_place(tmp_path: Path) -> None:
    folder = sets_of_the_release(tmp_path)
    file = folder / "data" / "ava_test.json"
    records = json.loads(file.read_text())
    answer = {"role": "assistant", "content": "The score of this image is 55.25."}
    odd = {**records[0], "messages": [records[0]["messages"][0], answer], "images": ["images/odd.jpg"]}
    good = [{**records[0], "images": [f"images/a{i}.jpg"]} for i in range(40)]
    file.write_text(json.dumps([*good, odd]))
    with pytest.raises(
        UsageError, match=r"ava_test\.json:41: the score 55\.25 is outside 1-10, which nearly all other"
    ):
        subset(folder, "ava")
    file.write_text(json.dumps([*good, {**records[0], "mos": 6, "mos_range": [1, 5]}]))
    with pytest.raises(UsageError, match=r"ava_test\.json:41: the score 6 is outside 1-5; correct the record"):
        subset(folder, "ava")


def test_scores_of_a_photo_that_contradict_each_other_are_counted(tmp_path: Path) -> None:
    folder = sets_of_the_release(tmp_path)
    file = folder / "data" / "ava_test.json"
    records = json.loads(file.read_text())
    file.write_text(json.dumps([*records, {**records[1], "images": records[0]["images"]}]))
    dataset = subset(folder, "ava")
    assert dataset.entries[0].fields["mos"] == 1.5
    assert any("state different scores, of which the first counts: 1" in note for note in dataset.notes_on())


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".jsonl"])
def test_any_table_is_read_by_the_columns_that_are_named(tmp_path: Path, suffix: str) -> None:
    columns, rows = ("Name", "Opinion", "Part", "note"), [["a.jpg", 3.5, "A", "x"], ["b.jpg", 4, "B", ""]]
    file = tmp_path / f"table{suffix}"
    if suffix == ".xlsx":
        made.sheet(file, columns, *rows)
    elif suffix == ".jsonl":
        file.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    else:
        text = "\n".join((";" if suffix == ".csv" else "\t").join(map(str, row)) for row in (columns, *rows))
        file.write_text(text)
    made.photo(tmp_path / "images" / "a.jpg")
    made.photo(tmp_path / "images" / "b.jpg")
    dataset = read("csv", tmp_path, image="name", mos="Opinion", split="Part", mos_range="1-5")
    assert lines(dataset) == [
        {"image": "images/a.jpg", "mos": 3.5, "mos_range": [1, 5], "split": "A", "note": "x"},
        {"image": "images/b.jpg", "mos": 4, "mos_range": [1, 5], "split": "B"},
    ]
    assert len(read("csv", file, "b", image="name", mos="Opinion", split="Part")) == 1


def test_columns_with_usual_names_need_not_be_named(tmp_path: Path) -> None:
    made.photo(tmp_path / "a.jpg")
    file = made.table(tmp_path / "t.csv", ("Image Name", "MOS", "set", "mos_range"), ["a.jpg", 3, "test", "0-100"])
    (line,) = lines(read("csv", tmp_path))
    assert line == {"image": "a.jpg", "mos": 3, "mos_range": [0, 100], "split": "test"}
    made.table(file, ("video", "mos"), ["clip.mp4", 3])
    assert read("csv", file).entries[0].kind == "video"


def test_two_columns_of_one_name_are_kept_separate(tmp_path: Path) -> None:
    made.photo(tmp_path / "a.jpg")
    file = made.table(tmp_path / "t.csv", ("image", "mos", "Brightness", "Brightness"), ["a.jpg", 3, 47.4, -1.2])
    (line,) = lines(read("csv", tmp_path))
    assert (line["Brightness"], line["Brightness.1"]) == ("47.4", "-1.2")
    assert "several columns are called 'Brightness'" in refusal("csv", file, mos="Brightness")


# Splits


@pytest.mark.parametrize(("asked", "count"), [("test", 2), ("train", 2), ("Training", 2), ("val", 2), ("all", 6)])
def test_a_split_goes_by_its_own_name_or_the_usual_ones(tmp_path: Path, asked: str, count: int) -> None:
    assert len(read("koniq10k", made.koniq(tmp_path), asked)) == count


def test_a_split_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    message = refusal("koniq10k", made.koniq(tmp_path / "k"), "dev")
    assert message == "--split: koniq10k has no split 'dev'; use one of: test, training, validation, all"
    assert "put koniq10k_distributions_sets.csv" in refusal("koniq10k", made.koniq_scores(tmp_path / "s"), "test")
    assert refusal("spaq", made.spaq(tmp_path / "q"), "test") == "--split: spaq has no split here; leave it out"


# What is refused


MADE: dict[str, Callable[[Path], Path]] = {
    "koniq10k": made.koniq,
    "spaq": made.spaq,
    "livec": made.livec,
    "ava": made.ava,
    "tad66k": made.tad66k,
    "konvid1k": made.konvid,
    "realqa": made.release,
    **made_rated_sets.MAKERS,
}


def test_every_data_set_of_the_contract_is_known_and_others_are_answered_with_them() -> None:
    assert set(DATASETS) == {*MADE, "csv"}
    with pytest.raises(UsageError, match="unknown data set 'kadid'; use one of: koniq10k, spaq, livec, ava"):
        DatasetSelection("kadid").check()


@pytest.mark.parametrize("name", DATASETS)
def test_a_wrong_folder_is_refused_with_what_was_looked_for_and_where(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    message = refusal(name, tmp_path)
    assert message.startswith(f"{tmp_path}: ")
    assert "looked " in message
    assert "no such" in refusal(name, tmp_path / "nowhere")


def test_a_folder_above_or_two_folders_get_the_right_one_named(tmp_path: Path) -> None:
    below = made.koniq(tmp_path / "koniq")
    assert refusal("koniq10k", tmp_path).endswith(f"; give {below}")
    with pytest.raises(UsageError, match="koniq10k takes one folder, not 2"):
        DatasetSelection("koniq10k").open([str(below), str(below)])


@pytest.mark.parametrize("name", MADE)
def test_a_data_set_without_one_photo_is_refused_for_a_run(tmp_path: Path, name: str) -> None:
    MADE[name](tmp_path)
    for file in tmp_path.rglob("*.*"):
        if file.suffix.lower() in (".jpg", ".mp4", ".bmp", ".png"):
            file.unlink()
    for folder in sorted((f for f in tmp_path.rglob("*") if f.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    assert len(read(name, tmp_path)) > 0  # the tables alone are enough for `realqa eval`
    message = refusal(name, tmp_path)
    assert message.startswith(f"{tmp_path}: none of its ")
    assert "looked for" in message


def test_a_missing_photo_is_an_error_in_its_place_and_counted(tmp_path: Path) -> None:
    dataset = read("koniq10k", made.koniq(tmp_path, missing=[1, 4]))
    assert [line.get("error") for line in lines(dataset)] == [None, "missing", None, None, "missing", None]
    first, second = (str(tmp_path / "1024x768" / f"{i}.jpg") for i in (1, 4))
    assert dataset.notes_on() == [f"koniq10k: 2 of 6 files missing: {first}, {second}"]
    assert dataset.notes_on(limit=3) == [f"koniq10k: 1 of 3 files missing: {first}"]
    assert dataset.notes_on(limit=1) == []
    (error,) = [item.error for item in dataset_items(dataset, limit=2) if item.error]
    assert str(error) == f"{first}: no such file; {tmp_path / 'koniq10k_distributions_sets.csv'}:3 names it"


def test_photos_of_another_size_never_replace_missing_ones(tmp_path: Path) -> None:
    made.koniq(tmp_path, missing=[1])
    made.photo(tmp_path / "512x384" / "1.jpg")
    assert lines(read("koniq10k", tmp_path))[1]["error"] == "missing"


def koniq_table(folder: Path, text: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "koniq10k_distributions_sets.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


HEADER = ",".join(made.KONIQ_SETS)
ROW = "0.jpg,0,0,0,0,1,100,{mos},0.5,test\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the table is empty; check that it is the right one"),
        (f"{HEADER}\n", "the table has no rows; check that it is the right one"),
        (
            "image_name,MOS\na.jpg,3\n",
            "without a column 'set' or 'MOS_zscore' it is unknown whether MOS is on 0-100 or 1-5",
        ),
        (
            "image,MOS,set\na.jpg,3,test\n",
            "there is no column 'image_name'; its columns are: image, MOS, set",
        ),
        (f"{HEADER}\n{ROW.format(mos='good')}", ":2: MOS: 'good' is not a number; correct the table"),
        (f"{HEADER}\n{ROW.format(mos='nan')}", ":2: MOS: 'nan' is not a number"),
        (f"{HEADER}\n{ROW.format(mos='')}", ":2: the row has no MOS"),
        (
            f"{HEADER}\n{ROW.format(mos='101')}",
            ":2: MOS: 101 is outside 0-100; check that it is the right table",
        ),
        (f"{HEADER}\n{ROW.format(mos='3,5')}", ":2: the row has 11 cells and the table 10 columns"),
        (f'{HEADER}\n"0.jpg', "cannot be read as CSV (unexpected end of data)"),
        (f"{HEADER}\n{ROW.format(mos=101)}".encode("utf-16"), ":2: MOS: 101 is outside 0-100"),
    ],
)
def test_a_table_that_is_not_the_official_one_is_refused_by_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    file = koniq_table(tmp_path, text)
    message = refusal("koniq10k", tmp_path)
    assert message.startswith(str(file))
    assert words in message


def test_a_byte_order_mark_other_line_ends_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    text = f"\ufeff{HEADER}\r\n\r\n" + ROW.format(mos=3).replace("\n", "\r\n") + "\r\n"
    koniq_table(tmp_path, text)
    (entry,) = read("koniq10k", tmp_path).entries
    assert (entry.fields["mos"], entry.where.rpartition(":")[2]) == (3, "3")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["x.jpg", 1, 1, 1, 1, 1]], "there is no column 'Sharpness'"),
        ([], "the table has no rows"),
        ([["x.jpg", "high", 1, 1, 1, 1, 1]], ":2: MOS: 'high' is not a number"),
        ([["x.jpg", 50, 1, 1, 1, 1, None]], ":2: the row has no Sharpness"),
        ([[None, 50, 1, 1, 1, 1, 1]], ":2: the row has no Image name"),
    ],
)
def test_an_excel_file_that_is_not_the_official_one_is_refused_by_line(
    tmp_path: Path, rows: list[list[Any]], words: str
) -> None:
    columns = made.SPAQ[: len(rows[0]) if rows else None]
    file = made.sheet(tmp_path / "MOS and Image attribute scores.xlsx", columns, *rows)
    assert words in refusal("spaq", tmp_path)
    file.write_bytes(b"PK\x03\x04 no archive")
    assert "cannot be read as an Excel file" in refusal("spaq", tmp_path)


def test_matlab_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    made.livec(tmp_path, scores=[1, 2])
    assert "have different lengths: 10 names, 2 scores and 2 deviations" in refusal("livec", tmp_path)
    made.livec(tmp_path, ["t1.bmp"])
    assert "holds only the training photos t1.bmp to t7.bmp" in refusal("livec", tmp_path)
    made.livec(tmp_path, scores=[*range(9), 200])
    assert "AllMOS_release.mat[10]: MOS: 200 is outside 0-100" in refusal("livec", tmp_path)
    file = tmp_path / "Data" / "AllMOS_release.mat"
    savemat(file, {"AllMOS_release": np.array([[np.array([1.0, 2.0]), 3]], dtype=object)})
    assert "is not a list of single values" in refusal("livec", tmp_path)
    file.write_bytes(b"no matrix")
    assert f"{file}: cannot be read as a MATLAB file" in refusal("livec", tmp_path)
    file.unlink()
    assert "looked for Data/AllMOS_release.mat or AllMOS_release.mat" in refusal("livec", tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 953619 0 1 5", "AVA.txt:1: not 15 numbers"),
        ("1 953619 0 1 5 17 x 36 15 6 5 1 1 22 1396", "AVA.txt:1: not 15 numbers"),
        ("1 953619 0 0 0 0 0 0 0 0 0 0 1 22 1396", "AVA.txt:1: photo 953619 has no ratings"),
        ("", "AVA.txt: the table is empty"),
    ],
)
def test_a_bad_line_of_ava_is_refused(tmp_path: Path, line: str, words: str) -> None:
    made.ava(tmp_path)
    (tmp_path / "AVA.txt").write_text(f"{line}\n")
    assert words in refusal("ava", tmp_path)


def test_a_test_list_of_something_else_is_refused(tmp_path: Path) -> None:
    made.ava(tmp_path)
    (tmp_path / "aesthetics_image_lists" / "generic_test.jpgl").write_text("953619\nphoto.jpg\n")
    assert "generic_test.jpgl:2: 'photo.jpg' is not the id of a photo" in refusal("ava", tmp_path)


def test_a_release_with_a_bad_record_among_conversations_is_refused(tmp_path: Path) -> None:
    made.release(tmp_path)
    file = tmp_path / "realqa_test.jsonl"
    file.write_text(file.read_text() + "no json\n")
    assert f"{file}:2: not a JSON object" in refusal("realqa", tmp_path)
    file.unlink()
    (tmp_path / "realqa_train.json").write_text("[{]")
    assert "realqa_train.json: cannot be read as JSON" in refusal("realqa", tmp_path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"mos": "Quality"}, "there is no column 'Quality'; its columns are: image, mos"),
        ({"mos_range": "wide"}, "there is no column 'wide'"),
        ({"mos_range": "5-1"}, "there is no column '5-1'"),
        ({"mos_range": "1-2"}, "t.csv:2: mos: 3 is outside 1-2"),
        (
            {"tag": "image"},
            "--columns: unknown key 'tag'; use some of: image, video, mos",
        ),
        ({"image": "image", "video": "mos"}, "--columns: both image and video are given"),
    ],
)
def test_columns_that_cannot_be_are_refused(tmp_path: Path, columns: dict[str, str], words: str) -> None:
    made.photo(tmp_path / "a.jpg")
    file = made.table(tmp_path / "t.csv", ("image", "mos"), ["a.jpg", 3])
    assert words in refusal("csv", file, **columns)


def test_a_table_that_says_nothing_of_scores_or_names_asks_for_them(tmp_path: Path) -> None:
    file = made.table(tmp_path / "t.csv", ("photo", "rating"), ["a.jpg", 3])
    assert "there is no column 'image'; name it by --columns image=COLUMN" in refusal("csv", file)
    assert "there is no column 'mos'; name it by --columns mos=COLUMN" in refusal("csv", file, image="photo")
    made.table(tmp_path / "u.csv", ("image", "mos"), ["a.jpg", 3])
    assert "expected one table here, found 2 (t.csv, u.csv)" in refusal("csv", tmp_path)
    with pytest.raises(UsageError, match="--columns: applies to --dataset csv: ava has columns of its own"):
        DatasetSelection("ava", columns={"mos": "x"}).check()


# The real tables, where there are any next to the repository


REAL = Path(__file__).resolve().parents[3] / "shared" / "datasets"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the official tables are not here")


def spread(dataset: Dataset) -> tuple[int, float, float]:
    mos = [entry.fields["mos"] for entry in dataset.entries]
    return len(mos), round(min(mos), 2), round(max(mos), 2)


def splits(dataset: Dataset) -> dict[str, int]:
    return dict(Counter(entry.fields["split"] for entry in dataset.entries))


def real_rows(file: str) -> list[dict[str, str]]:
    with (REAL / file).open(newline="") as stream:
        return list(csv.DictReader(stream))


@real
def test_the_real_koniq_has_its_splits() -> None:
    dataset = read("koniq10k", REAL / "koniq10k")
    assert spread(dataset) == (10073, 3.91, 88.39)
    assert splits(dataset) == {"training": 7058, "validation": 1000, "test": 2015}


@real
def test_the_real_tad66k_has_its_splits() -> None:
    dataset = read("tad66k", REAL / "tad66k")
    assert spread(dataset) == (66327, 1.13, 9.46)
    assert splits(dataset) == {"train": 52248, "test": 14079}


@real
def test_the_real_konvid_has_its_videos() -> None:
    assert spread(read("konvid1k", REAL / "konvid1k")) == (1200, 1.22, 4.64)


@real
def test_the_real_live_challenge_has_1162_photos(tmp_path: Path) -> None:
    rows = real_rows("livec/livec_mos.csv")
    (tmp_path / "Data").mkdir()
    cells = np.empty((len(rows), 1), dtype=object)
    cells[:, 0] = [np.array([row["img_name"]]) for row in rows]
    for stem, value in (
        ("AllImages_release", cells),
        ("AllMOS_release", np.array([[float(row["mos"]) for row in rows]])),
        ("AllStdDev_release", np.array([[float(row["std"]) for row in rows]])),
    ):
        savemat(tmp_path / "Data" / f"{stem}.mat", {stem: value})
    assert len(rows) == 1169
    assert spread(read("livec", tmp_path)) == (1162, 3.42, 92.43)
    as_table = read("csv", REAL / "livec" / "livec_mos.csv", image="img_name", mos_range="0-100")
    assert len(as_table) == 1169


@real
def test_the_real_spaq_has_11125_photos_and_two_columns_of_one_name(tmp_path: Path) -> None:
    as_table = read("csv", REAL / "spaq" / "spaq_joined.csv", mos_range="0-100")
    assert spread(as_table) == (11125, 2, 96)
    assert as_table.entries[0].fields["Brightness.1"] == "-1.21"  # of EXIF; the people's comes before
    with (REAL / "spaq" / "spaq_joined.csv").open(newline="") as stream:
        rows = [[name, *map(float, cells[:6])] for name, *cells in list(csv.reader(stream))[1:]]
    made.sheet(tmp_path / "MOS and Image attribute scores.xlsx", made.SPAQ, *rows[:1000])
    assert len(read("spaq", tmp_path)) == 1000  # every score within its range; all rows take seconds


@real
def test_the_real_list_of_ava_makes_20000_photos_the_test_split(tmp_path: Path) -> None:
    ids = (REAL / "ava" / "generic_test.jpgl").read_text().split()
    made.ava(tmp_path)
    (tmp_path / "aesthetics_image_lists" / "generic_test.jpgl").write_bytes(
        (REAL / "ava" / "generic_test.jpgl").read_bytes()
    )
    counts = "0 1 5 17 38 36 15 6 5 1"
    photos = [*ids, *(f"9{i}000000" for i in range(10, 15))]
    text = "".join(f"{i} {photo} {counts} 1 22 1396\n" for i, photo in enumerate(photos, 1))
    (tmp_path / "AVA.txt").write_text(text)
    assert splits(read("ava", tmp_path)) == {"test": 20000, "train": 5}
