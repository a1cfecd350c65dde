"""Small folders in the layouts of the data sets that are described by a `RatedSet`: two to four photos each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import made_datasets as made
import numpy as np
from openpyxl import Workbook
from scipy.io import savemat


def photos(folder: Path, *names: str) -> None:
    """Photos with exactly these names; what is in a `.JPG` or `.BMP` is what its suffix says."""
    for name in names:
        lower = made.photo(folder / Path(name).parent / Path(name).name.lower())
        lower.rename(folder / name)


def lines(file: Path, *rows: str) -> None:
    """A text file of these lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(rows) + "\n")


def kadid10k(folder: Path) -> Path:
    rows = [["I01_01_01.png", "I01.png", 4.57, 0.496], ["I01_01_05.png", "I01.png", 1.9, 0.9]]
    made.table(folder / "dmos.csv", ("dist_img", "ref_img", "dmos", "var"), *rows)
    photos(folder / "images", "I01_01_01.png", "I01_01_05.png", "I01.png")
    return folder


def tid2013(folder: Path) -> Path:
    lines(folder / "mos_with_names.txt", "5.51429 I01_01_1.bmp", "0.24242 i25_24_5.bmp")
    photos(folder / "distorted_images", "i01_01_1.bmp", "i25_24_5.bmp")  # the first is I01 in the table
    photos(folder / "reference_images", "I01.BMP")
    return folder


CSIQ = ("image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos")


def csiq(folder: Path, rows: Sequence[Sequence[Any]] | None = None) -> Path:
    """As its authors' workbook: another sheet first, and a title above and empty columns left of the table."""
    book = Workbook()
    book.active.title = "all_by_distortion"
    sheet = book.create_sheet("all_by_image")
    above: list[list[Any]] = [["CSIQ"], [], [], [None, None, None, *CSIQ]]
    for row in above:
        sheet.append(row)
    known = [[1600, 1, "noise", 1, 0.029, 0.062], ["trolley", 5, "jpeg 2000", 4, 0.1, 0.75]]
    for values in known if rows is None else rows:
        sheet.append([None, None, None, *values])
    folder.mkdir(parents=True, exist_ok=True)
    book.save(folder / "csiq.DMOS.xlsx")
    photos(folder / "dst_imgs", "awgn/1600.AWGN.1.png", "jpeg2000/trolley.jpeg2000.4.png")
    return folder


def live(folder: Path, *, realigned: bool = True, count: int = 982) -> Path:
    """All places of the release; only three of them are distorted photos, the others are references."""
    dmos, orgs = np.zeros(count), np.ones(count)
    for i, score in ((0, 28.0), (227, 84.5), (981, 40.25)):
        if i < count:
            dmos[i], orgs[i] = score, 0
    names = np.empty((1, count), dtype=object)
    names[0, :] = [np.array(["womanhat.bmp"])] * count
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "dmos.mat", {"dmos": dmos[None], "orgs": orgs[None]})
    savemat(folder / "refnames_all.mat", {"refnames_all": names})
    if realigned:
        data = {"dmos_new": dmos[None] * 1.3, "dmos_std": dmos[None], "orgs": orgs[None]}
        savemat(folder / "dmos_realigned.mat", data)
    photos(folder, "jp2k/img1.bmp", "jpeg/img1.bmp", "fastfading/img174.bmp")
    return folder


def pipal(folder: Path) -> Path:
    lines(folder / "Train_Label" / "A0001.txt", "A0001_00_00.bmp,1520.0648", "A0001_00_01.bmp,1437.0798")
    lines(folder / "Train_Label" / "A0121.txt", "A0121_00_00.bmp,1300.5")
    photos(folder, "Distortion_1/A0001_00_00.bmp", "Distortion_1/A0001_00_01.bmp", "Distortion_3/A0121_00_00.bmp")
    return folder


AGIQA3K = ("name", "prompt", "adj1", "adj2", "style", "mos_quality", "std_quality", "mos_align", "std_align")


def agiqa3k(folder: Path) -> Path:
    rows = [
        ["AttnGAN_normal_000.jpg", "statue of a man", "", "", "", 1.18, 0.4, 1.3, 0.5],
        ["xl2.2_normal_299.jpg", "a cat, asleep", "", "", "anime style", 3.8, 0.3, 4.1, 0.2],
    ]
    made.table(folder / "data.csv", AGIQA3K, *rows)
    photos(folder / "file", "AttnGAN_normal_000.jpg", "xl2.2_normal_299.jpg")
    return folder


def agiqa1k(folder: Path) -> Path:
    rows = [["deepai_bird.png", "bird", 2.25], ["dream_cat.png", "cat, driving bike", 3.5]]
    made.sheet(folder / "AIGC_MOS_Zscore.xlsx", ("Image", "Prompt", "MOS"), *rows)
    photos(folder / "file", "deepai_bird.png", "dream_cat.png")
    return folder


def aigciqa2023(folder: Path) -> Path:
    (folder / "DATA" / "MOS").mkdir(parents=True)
    for i, values in enumerate(([31.5, 62.25], [40.0, 50.0], [55.0, 45.5]), 1):
        savemat(folder / "DATA" / "MOS" / f"mosz{i}.mat", {"MOSz": np.array([values]).T})
    photos(folder / "Image" / "allimg", "0.png", "1.png")
    return folder


def uhdiqa(folder: Path) -> Path:
    rows = [["1.jpg", 0.25, "training", ""], ["2.jpg", 0.5, "validation", ""], ["3.jpg", 0.75, "test", "macro"]]
    made.table(folder / "uhd-iqa-metadata.csv", ("image_name", "quality_mos", "set", "subset"), *rows)
    photos(folder, "training/1.jpg", "validation/2.jpg", "test/3.jpg")
    return folder


def bid(folder: Path) -> Path:
    columns = ("Image Number", "Average Subjective Grade", "std")
    made.sheet(folder / "DatabaseGrades.xlsx", columns, [1, 3.2, 0.4], [586, 0.9, 0.5])
    photos(folder, "DatabaseImage0001.JPG", "DatabaseImage0586.JPG")
    return folder


def flive(folder: Path, *, split: bool = True) -> Path:
    names = ("voc_emotic_ava/a.jpg", "blur_dataset/b.jpg", "EE371R/c.jpg")
    rows = [[name, mos] for name, mos in zip(names, (71.5, 40.0, 62.25), strict=True)]
    made.table(folder / "labels_image.csv", ("name", "mos"), *rows)
    if split:
        small = [[names[0], False], [names[1], True]]
        made.table(folder / "labels<=640_padded.csv", ("name_image", "is_valid"), *small)
        made.table(folder / "labels>640.csv", ("name_image", "mos_image"), [names[2], 62.25])
    photos(folder / "database", *names)
    return folder


def eva(folder: Path) -> Path:
    votes = ("10000=E1=7=3", "10000=E2=8=3", "10111=E1=2=4")
    lines(folder / "data" / "votes_filtered.csv", "image_id=user_id=score=difficulty", *votes)
    photos(folder / "images" / "EVA_together", "10000.jpg", "10111.jpg")
    return folder


PARA = ("imageName", "sessionId", "semantic", "aestheticScore_mean", "aestheticScore_std", "qualityScore_mean")


def para(folder: Path) -> Path:
    one, two = (
        ["iaa_pub1_.jpg", "session1", "food", 3.1, 0.4, 3.3],
        ["iaa_pub71_.jpg", "session2", "plant", 2, 0.5, 2.5],
    )
    made.table(folder / "annotation" / "PARA-GiaaTrain.csv", PARA, one)
    made.table(folder / "annotation" / "PARA-GiaaTest.csv", PARA, two)
    photos(folder / "imgs", "session1/iaa_pub1_.jpg", "session2/iaa_pub71_.jpg")
    return folder


def aadb(folder: Path) -> Path:
    for part, row in (("Train", "farm1_a.jpg 0.65"), ("Validation", "farm1_b.jpg 0.2"), ("TestNew", "farm1_c.jpg 1.0")):
        lines(folder / "imgListFiles_label" / f"imgList{part}Regression_score.txt", f"{row} ")
    photos(folder / "datasetImages_originalSize", "farm1_a.jpg", "farm1_b.jpg")
    photos(folder / "AADB_newtest_originalSize", "farm1_c.jpg")
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {
    "kadid10k": kadid10k,
    "tid2013": tid2013,
    "csiq": csiq,
    "live": live,
    "pipal": pipal,
    "agiqa3k": agiqa3k,
    "agiqa1k": agiqa1k,
    "aigciqa2023": aigciqa2023,
    "uhdiqa": uhdiqa,
    "bid": bid,
    "flive": flive,
    "eva": eva,
    "para": para,
    "aadb": aadb,
}
"""The maker of each data set's folder."""
