"""Data sets that a `RatedSet` describes: names of photos, ranges, reversed scores, splits, and what is refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_datasets as made
import made_rated_sets as rated
import numpy as np
import pytest
from process import Realqa
from read_datasets import Line, lines, read, refusal
from scipy.io import savemat

from realqa_cli.datasets import DATASETS
from realqa_cli.datasets.contents import Dataset

ROOT = Path(__file__).resolve().parents[2]


def brief(dataset: Dataset, *fields: str) -> list[tuple[Any, ...]]:
    """The photo, the MOS and the further `fields` of each entry; none may be missing."""
    found: list[Line] = lines(dataset)
    assert not [line for line in found if "error" in line]
    return [tuple(line.get(name) for name in ("image", "mos", *fields)) for line in found]


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        (
            "kadid10k",
            ["reference"],
            [("images/I01_01_01.png", 4.57, "I01.png"), ("images/I01_01_05.png", 1.9, "I01.png")],
        ),
        (
            "tid2013",
            ["reference"],
            [("distorted_images/i01_01_1.bmp", 5.51429, "I01"), ("distorted_images/i25_24_5.bmp", 0.24242, "I25")],
        ),
        (
            "csiq",
            ["dmos", "mos_std", "reference"],
            [
                ("dst_imgs/awgn/1600.AWGN.1.png", 1 - 0.062, 0.062, 0.029, "1600"),
                ("dst_imgs/jpeg2000/trolley.jpeg2000.4.png", 0.25, 0.75, 0.1, "trolley"),
            ],
        ),
        (
            "live",
            ["dmos", "dmos_realigned", "reference"],
            [
                ("jp2k/img1.bmp", 72, 28, pytest.approx(36.4), "womanhat.bmp"),
                ("jpeg/img1.bmp", 15.5, 84.5, pytest.approx(109.85), "womanhat.bmp"),
                ("fastfading/img174.bmp", 59.75, 40.25, pytest.approx(52.325), "womanhat.bmp"),
            ],
        ),
        (
            "pipal",
            ["reference"],
            [
                ("Distortion_1/A0001_00_00.bmp", 1520.0648, "A0001"),
                ("Distortion_1/A0001_00_01.bmp", 1437.0798, "A0001"),
                ("Distortion_3/A0121_00_00.bmp", 1300.5, "A0121"),
            ],
        ),
        (
            "agiqa3k",
            ["alignment_mos", "prompt"],
            [
                ("file/AttnGAN_normal_000.jpg", 1.18, 1.3, "statue of a man"),
                ("file/xl2.2_normal_299.jpg", 3.8, 4.1, "a cat, asleep"),
            ],
        ),
        (
            "agiqa1k",
            ["prompt"],
            [("file/deepai_bird.png", 2.25, "bird"), ("file/dream_cat.png", 3.5, "cat, driving bike")],
        ),
        (
            "aigciqa2023",
            ["authenticity_mos", "correspondence_mos"],
            [("Image/allimg/0.png", 31.5, 40, 55), ("Image/allimg/1.png", 62.25, 50, 45.5)],
        ),
        (
            "uhdiqa",
            ["split"],
            [
                ("training/1.jpg", 0.25, "training"),
                ("validation/2.jpg", 0.5, "validation"),
                ("test/3.jpg", 0.75, "test"),
            ],
        ),
        ("bid", [], [("DatabaseImage0001.JPG", 3.2), ("DatabaseImage0586.JPG", 0.9)]),
        (
            "flive",
            ["split"],
            [
                ("database/voc_emotic_ava/a.jpg", 71.5, "train"),
                ("database/blur_dataset/b.jpg", 40, "validation"),
                ("database/EE371R/c.jpg", 62.25, "test"),
            ],
        ),
        ("eva", [], [("images/EVA_together/10000.jpg", 7.5), ("images/EVA_together/10111.jpg", 2)]),
        (
            "para",
            ["quality_mos", "split"],
            [("imgs/session1/iaa_pub1_.jpg", 3.1, 3.3, "train"), ("imgs/session2/iaa_pub71_.jpg", 2, 2.5, "test")],
        ),
        (
            "aadb",
            ["split"],
            [
                ("datasetImages_originalSize/farm1_a.jpg", 0.65, "train"),
                ("datasetImages_originalSize/farm1_b.jpg", 0.2, "validation"),
                ("AADB_newtest_originalSize/farm1_c.jpg", 1, "test"),
            ],
        ),
    ],
)
def test_each_is_read_in_its_layout(tmp_path: Path, name: str, fields: list[str], expected: list[Any]) -> None:
    assert brief(read(name, rated.MAKERS[name](tmp_path)), *fields) == expected


@pytest.mark.parametrize(("name", "top"), [("csiq", "1"), ("live", "100")])
def test_scores_that_are_lower_for_better_photos_are_reversed_and_a_line_says_so(
    tmp_path: Path, name: str, top: str
) -> None:
    dataset = read(name, rated.MAKERS[name](tmp_path))
    low, high = dataset.entries[0].fields["mos_range"]
    for entry in dataset.entries:
        assert entry.fields["mos"] == pytest.approx(low + high - entry.fields["dmos"])
    assert dataset.notes == (f"{name}: its scores are lower for better photos; mos is {top} - DMOS, on 0-{top}",)


@pytest.mark.parametrize("name", sorted({*rated.MAKERS} - {"csiq", "live"}))
def test_scores_that_are_higher_for_better_photos_are_kept(tmp_path: Path, name: str) -> None:
    dataset = read(name, rated.MAKERS[name](tmp_path))
    assert (dataset.notes, {"dmos"} & dataset.entries[0].fields.keys()) == ((), set())


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def matlab(file: str, **variables: Any) -> Callable[[Path], None]:
    return lambda folder: savemat(folder / file, variables)


BID = ("Image Number", "Average Subjective Grade")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("kadid10k", replaced("dmos.csv", "4.57", "5.57"), "dmos.csv:2: dmos: 5.57 is outside 1-5; check that it is"),
        (
            "kadid10k",
            replaced("dmos.csv", "ref_img", "reference"),
            "there is no column 'ref_img'; its columns are: dist",
        ),
        ("tid2013", replaced("mos_with_names.txt", "5.51429", "9.5"), ":1: mos: 9.5 is outside 0-9"),
        ("tid2013", replaced("mos_with_names.txt", "0.24242 ", ""), ":2: the row has 1 cell and the table 2 columns"),
        ("csiq", lambda folder: rated.csiq(folder, [[1600, 1, "noise", 1, 0, 2]]), ":5: dmos: 2 is outside 0-1"),
        (
            "csiq",
            lambda folder: rated.csiq(folder, [[1600, 1, "rain", 1, 0, 0.5]]),
            ":5: dst_type: 'rain' is none of noise, blur, contrast, fnoise, jpeg, jpeg 2000; check",
        ),
        (
            "csiq",
            lambda folder: made.sheet(folder / "csiq.DMOS.xlsx", rated.CSIQ, [1600, 1, "noise", 1, 0, 0.5]),
            "csiq.DMOS.xlsx: there is no sheet 'all_by_image'",
        ),
        (
            "live",
            lambda folder: rated.live(folder, count=981),
            "dmos has 981 values instead of 982; use the .mat files",
        ),
        (
            "live",
            matlab("dmos.mat", scores=np.ones(982), more=1.0),
            "there is no variable 'dmos'; its variables are: sc",
        ),
        (
            "live",
            matlab("dmos.mat", dmos=np.ones((1, 982)) * 101, orgs=np.zeros((1, 982))),
            "dmos.mat[1]: dmos: 101.0 is outside 0-100",
        ),
        ("live", matlab("dmos.mat", dmos=np.ones((1, 982)), orgs=np.ones((1, 982))), "dmos.mat: holds only references"),
        ("live", lambda folder: (folder / "dmos.mat").write_bytes(b"no"), "dmos.mat: cannot be read as a MATLAB file"),
        ("live", lambda folder: (folder / "refnames_all.mat").unlink(), "looked for refnames_all.mat"),
        (
            "pipal",
            replaced("Train_Label/A0001.txt", "1520", "15200"),
            "A0001.txt:1: mos: 15200.0648 is outside 800-2000",
        ),
        ("aigciqa2023", matlab("DATA/MOS/mosz2.mat", MOSz=np.ones(3)), "mosz2.mat: has 3 scores, and mosz1.mat has 2"),
        ("aigciqa2023", matlab("DATA/MOS/mosz1.mat", MOSz=np.array([])), "mosz1.mat: holds no scores"),
        (
            "bid",
            lambda folder: made.sheet(folder / "DatabaseGrades.xlsx", BID, ["one", 2]),
            "Image Number: 'one' is not a",
        ),
        ("eva", replaced("data/votes_filtered.csv", "=7=", "=11="), "votes_filtered.csv:2: score: 11 is outside 0-10"),
        ("uhdiqa", replaced("uhd-iqa-metadata.csv", "training", ""), ":2: the row has no set; correct the table"),
    ],
)
def test_another_table_is_refused_by_its_place(
    tmp_path: Path, name: str, change: Callable[[Path], Any], words: str
) -> None:
    folder = rated.MAKERS[name](tmp_path)
    change(folder)
    assert words in refusal(name, folder)


def test_a_list_of_a_split_that_does_not_exist_is_noted_and_its_split_left_out(tmp_path: Path) -> None:
    rated.aadb(tmp_path)
    file = tmp_path / "imgListFiles_label" / "imgListValidationRegression_score.txt"
    file.unlink()
    dataset = read("aadb", tmp_path)
    assert dataset.notes == (f"aadb: {file} does not exist, so its split is left out",)
    assert "aadb has no split 'val'; use one of: test, train, all" in refusal("aadb", tmp_path, "val")


def test_a_split_that_needs_further_tables_says_which(tmp_path: Path) -> None:
    folder = rated.flive(tmp_path, split=False)
    assert "split" not in lines(read("flive", folder))[0]
    words = "put labels<=640_padded.csv and labels>640.csv next to labels_image.csv"
    assert refusal("flive", folder, "test") == f"--split: flive has no split here; {words}"


def test_live_without_realigned_scores_is_read(tmp_path: Path) -> None:
    assert "dmos_realigned" not in lines(read("live", rated.live(tmp_path, realigned=False)))[0]


def test_a_missing_photo_is_named_as_the_data_set_names_it(tmp_path: Path) -> None:
    rated.csiq(tmp_path)
    (tmp_path / "dst_imgs" / "awgn" / "1600.AWGN.1.png").unlink()
    assert [line.get("error") for line in lines(read("csiq", tmp_path))] == ["missing", None]
    assert lines(read("csiq", tmp_path))[0]["image"] == "dst_imgs/awgn/1600.AWGN.1.png"


# Through the commands


@pytest.mark.parametrize("name", rated.MAKERS)
def test_each_is_scored_and_made_into_conversations(realqa_here: Realqa, tmp_path: Path, name: str) -> None:
    folder = rated.MAKERS[name](tmp_path / name)
    ran = realqa_here("score", folder, "--dataset", name, "--limit", 2, "--backend", "echo")
    assert (ran.code, len(ran.records)) == (0, 2)
    first = lines(read(name, folder))[0]
    assert {key: ran.records[0][key] for key in first if key != "image"} == {
        key: value for key, value in first.items() if key != "image"
    }
    built = realqa_here("build-cot", folder, "--dataset", name)
    assert (built.code, len(built.records)) == (0, len(read(name, folder)))
    assert "The score of this image is" in built.records[0]["messages"][-1]["content"]
    reversed_ = [line for line in (*ran.said, *built.said) if "lower for better photos" in line]
    assert len(reversed_) == (2 if name in ("csiq", "live") else 0)  # once in each command


def test_the_note_on_reversed_scores_is_also_that_of_an_evaluation(realqa_here: Realqa, tmp_path: Path) -> None:
    folder = rated.live(tmp_path / "live")
    scored = realqa_here("score", folder, "--dataset", "live", "--backend", "echo")
    (tmp_path / "p.jsonl").write_text(scored.out)
    ran = realqa_here("eval", tmp_path / "p.jsonl", "--labels", folder, "--dataset", "live", "--bootstrap", 0)
    assert len([line for line in ran.said if "mos is 100 - DMOS" in line]) == 1


def test_conversations_are_split_by_reference(realqa_here: Realqa, tmp_path: Path) -> None:
    built = realqa_here("build-cot", rated.tid2013(tmp_path / "tid2013"), "--dataset", "tid2013")
    file = tmp_path / "all.jsonl"
    file.write_text(built.out)
    parts = [tmp_path / "fit.jsonl", tmp_path / "dev.jsonl"]
    ran = realqa_here("split", file, "--share", 0.5, "--by", "reference", "-o", parts[0], "--held-out", parts[1])
    assert ran.code == 0
    assert [len(part.read_text().splitlines()) for part in parts] == [1, 1]


# The page


def rows_of_the_page() -> dict[str, list[str]]:
    page = (ROOT / "docs" / "reference" / "datasets.md").read_text(encoding="utf-8")
    lines_of_it = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line] for line in lines_of_it[1:]]  # the first is the header
    assert {len(row) for row in rows} == {8}
    return {row[0].strip("` "): row[1:] for row in rows}


def test_the_page_has_every_data_set_and_no_other() -> None:
    assert [*rows_of_the_page(), "csv"] == list(DATASETS)


@pytest.mark.parametrize("name", rated.MAKERS)
def test_the_page_states_the_scale_the_direction_and_the_split_that_are_read(tmp_path: Path, name: str) -> None:
    folder, _, scale, direction, split, licence, source = rows_of_the_page()[name]
    dataset = read(name, rated.MAKERS[name](tmp_path))
    fields = dataset.entries[0].fields
    assert scale == "{}-{}".format(*fields["mos_range"])
    assert direction.startswith("lower" if dataset.notes else "higher")
    known = dict.fromkeys(entry.fields["split"] for entry in dataset.entries if "split" in entry.fields)
    assert split == (", ".join(known) or "none")
    for named in re.findall(r"`([^`]+)`", folder):
        last = named.strip("/").rpartition("/")[2]
        assert [*tmp_path.rglob(last)] or last in ("Distortion_4", "wn", "gblur"), named  # whose photos are left out
    assert licence
    assert source
