"""Small folders in the layouts that data sets are published in, with the official names of files and columns."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openpyxl import Workbook
from PIL import Image
from scipy.io import savemat


def photo(file: Path) -> Path:
    """A photo whose brightness depends on its name, so that scores differ."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (sum(file.stem.encode()) * 7 % 256,) * 3).save(file)
    return file


def table(file: Path, columns: Sequence[str], *rows: Sequence[Any], encoding: str = "utf-8") -> Path:
    """A CSV file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return file


def sheet(file: Path, columns: Sequence[str], *rows: Sequence[Any]) -> Path:
    """An Excel file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    book = Workbook()
    for row in (columns, *rows):
        book.active.append(list(row))
    book.save(file)
    return file


KONIQ_SETS = ("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set")
KONIQ_SCORES = ("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "MOS_zscore")


def koniq(folder: Path, count: int = 6, *, missing: Sequence[int] = ()) -> Path:
    """KonIQ-10k with the table of 0-100 and the split; photo i has the MOS 10 i + 5."""
    sets = ("training", "validation", "test")
    rows = [[f"{i}.jpg", *[0.2] * 5, 100, 10 * i + 5, 0.5, sets[i % 3]] for i in range(count)]
    table(folder / "koniq10k_distributions_sets.csv", KONIQ_SETS, *rows)
    for i in set(range(count)) - {*missing}:
        photo(folder / "1024x768" / f"{i}.jpg")
    return folder


def koniq_scores(folder: Path) -> Path:
    """KonIQ-10k with the table of 1-5."""
    rows = [[f"{i}.jpg", *[0.2] * 5, 100, 1.5 + i, 0.5, 20.5 + i] for i in range(3)]
    table(folder / "koniq10k_scores_and_distributions.csv", KONIQ_SCORES, *rows)
    for i in range(3):
        photo(folder / "512x384" / f"{i}.jpg")
    return folder


SPAQ = ("Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness")


def spaq(folder: Path) -> Path:
    """SPAQ with two photos."""
    rows = [["00001.jpg", 48.86, 47.43, 55.57, 55.71, 37.86, 42.57], ["00002.jpg", 62, 55, 67, 53, 57, 47]]
    sheet(folder / "Annotations" / "MOS and Image attribute scores.xlsx", SPAQ, *rows)
    for row in rows:
        photo(folder / "TestImage" / str(row[0]))
    return folder


LIVEC = [*(f"t{i}.bmp" for i in range(1, 8)), "100.bmp", "878.JPG", "9.bmp"]


def livec(folder: Path, names: Sequence[str] = LIVEC, scores: Sequence[float] | None = None) -> Path:
    """LIVE Challenge: a column of cells with the names, rows of numbers; the first seven trained the raters."""
    (folder / "Data").mkdir(parents=True, exist_ok=True)
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = [np.array([name]) for name in names]
    mos = np.array([[10.25 * i % 100 for i in range(len(names))] if scores is None else list(scores)])
    for stem, value in (("AllImages", cells), ("AllMOS", mos), ("AllStdDev", mos * 0 + 19.5)):
        savemat(folder / "Data" / f"{stem}_release.mat", {f"{stem}_release": value})
    for name in names:
        home = "Images/trainingImages" if name.startswith("t") else "Images"
        made = photo(folder / home / name.lower())
        made.rename(made.with_name(name))
    return folder


def ava(folder: Path, *, listed: bool = True) -> Path:
    """AVA: lines of 15 numbers; photo 953619 is in the test list, and so is one that the table lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396",
        "2 953958 10 7 15 26 26 21 10 8 1 2 15 21 1396",
    ]
    (folder / "AVA.txt").write_text("\n".join(lines) + "\n")
    if listed:
        (folder / "aesthetics_image_lists").mkdir()
        (folder / "aesthetics_image_lists" / "generic_test.jpgl").write_text("953619\n111\n")
    for name in ("953619", "953958"):
        photo(folder / "images" / f"{name}.jpg")
    return folder


def tad66k(folder: Path) -> Path:
    """TAD66K: two tables; a name holds an @."""
    table(
        folder / "merge" / "train.csv",
        ("image", "score"),
        ["43751877@N085618633908.jpg", 2.21],
        ["a.jpg", 7.5],
    )
    table(folder / "merge" / "test.csv", ("image", "score"), ["b.jpg", 9.46])
    for name in ("43751877@N085618633908.jpg", "a.jpg", "b.jpg"):
        photo(folder / "TAD66K" / name)
    return folder


KONVID = ("flickr_id", "download_id", "file_name", "MOS", "ti", "si")


def konvid(folder: Path) -> Path:
    """KoNViD-1k: one video under each of its three names, one that is missing."""
    tail = "centercrop_960x540_8s.mp4"
    rows = [
        [n, 1, f"{n}_{cut}_{tail}", mos, 1, 1]
        for n, cut, mos in ((11, "original", 1.22), (22, "cut", 3), (33, "cut", 4), (44, "cut", 2))
    ]
    table(folder / "KoNViD_1k_attributes.csv", KONVID, *rows)
    (folder / "KoNViD_1k_videos").mkdir()
    for name in ("11.mp4", f"22_original_{tail}", f"33_cut_{tail}"):
        (folder / "KoNViD_1k_videos" / name).write_bytes(b"no video")
    return folder


REGULAR = (
    "1.1 Reason for Composition Score: the bed, seen from the side, fills the frame, 1.2 Composition Score: 7"
    " 1.3 Reason for Eye-Catching Score: plain, 1.4 Eye-Catching Score: 6\n"
    "2.1 Subject: bed, 2.2 Background: hotel room, 2.3 Subject Integrity: fully complete (no cuts or"
    " obstructions at all), 2.4 Level Shot: yes\n3.1 Image Clarity: very clear, 3.2 Saturation: medium saturation"
)


def release(folder: Path) -> Path:
    """RealQA: a list for training in one dialect, lines for testing in the other; photos below `images`."""
    direct = "Rate the aesthetics and quality of this image briefly."
    form = "Rate the aesthetics and quality of this image step by step with the regular form."

    def turns(question: str, answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"<image>{question}"}, {"role": "assistant", "content": answer}]

    train = [
        {"messages": turns(direct, "The score of this image is 6.59."), "images": ["images/a.jpg"]},
        {"messages": turns(form, f"{REGULAR}\nThe final score is <6.59>."), "images": ["images/a.jpg"]},
        {
            "messages": turns(direct, "The score of this image is 3.1."),
            "images": ["/home/author/RealQA/images/b.jpg"],
        },
    ]
    test = {
        "conversations": [
            {"from": "human", "value": f"<image>{direct}"},
            {"from": "gpt", "value": "The score of this image is 8.0."},
        ],
        "images": ["images/c.jpg"],
    }
    for name in "abc":
        photo(folder / "images" / f"{name}.jpg")
    (folder / "realqa_train.json").write_text(json.dumps(train, indent=2))
    (folder / "realqa_test.jsonl").write_text(json.dumps(test) + "\n")
    (folder / "dataset_info.json").write_text(json.dumps({"realqa": {"file_name": "realqa_train.json"}}))
    return folder
