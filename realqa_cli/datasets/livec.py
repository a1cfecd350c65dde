"""LIVE In the Wild Image Quality Challenge: 1,162 photos with authentic distortions, MOS on 0-100.

Three .mat files hold 1,169 names, scores and deviations in the same order. The first seven, `t1.bmp` to
`t7.bmp`, were shown to train the raters and do not belong to the set. There is no official split.
"""

import re
from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.errors import UsageError
from realqa_cli.io.matlab import matlab_list
from realqa_cli.io.tables import TableRow

IMAGES, MOS, DEVIATION = "AllImages_release.mat", "AllMOS_release.mat", "AllStdDev_release.mat"
FOLDERS = ("Images",)
RANGE = [0, 100]

_TRAINING = re.compile(r"t[1-7]\.bmp")


def read_livec(place: Path) -> Dataset:
    """All photos but the seven. Raises `UsageError`."""
    files = [find_table(place, "LIVE Challenge", f"Data/{each}", each) for each in (IMAGES, MOS, DEVIATION)]
    names, scores, deviations = (matlab_list(file, file.stem) for file in files)
    if not len(names) == len(scores) == len(deviations) or not names:
        counts = f"{len(names)} names, {len(scores)} scores and {len(deviations)} deviations"
        remedy = f"use {IMAGES}, {MOS} and {DEVIATION} of one release"
        raise UsageError(f"its .mat files have different lengths: {counts}", where=str(place), remedy=remedy)
    rows = [
        TableRow(f"{files[1]}[{i}]", {"name": name, "MOS": mos, "StdDev": deviation})
        for i, (name, mos, deviation) in enumerate(zip(names, scores, deviations, strict=True), 1)
    ]
    rows = [row for row in rows if not _TRAINING.fullmatch(row.text("name"))]
    if not rows:
        raise UsageError(
            "holds only the training photos t1.bmp to t7.bmp", where=str(place), remedy="download it again"
        )
    media_folder = find_media_folder(place, FOLDERS, (row.text("name") for row in rows))
    entries = []
    for row in rows:
        name, mos = row.text("name"), row.number("MOS", *RANGE)
        fields = {"mos": mos, "mos_range": RANGE, "mos_std": row.number("StdDev", 0)}
        entries.append(DatasetEntry(media_folder.path(name), row.where, fields, present=media_folder.has(name)))
    return Dataset("livec", str(place), entries, media_folder.looked_in, media_folder.found)
