"""LIVE Image Quality Assessment Database, release 2: 779 photos with synthetic distortions, DMOS on 0-100.

`dmos.mat` has 982 scores in the order of the five folders of distortions; where its array `orgs` is 1, the photo is a
copy of the reference and does not belong to the set. `dmos_realigned.mat`, whose scores leave 0-100, gives the field
`dmos_realigned` where it exists. There is no official split; photos of one `reference` belong together.
"""

from dataclasses import replace
from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.layout import find_table
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.errors import UsageError
from realqa_cli.io.matlab import matlab_list
from realqa_cli.io.tables import TableRow

FOLDERS = {"jp2k": 227, "jpeg": 233, "wn": 174, "gblur": 174, "fastfading": 174}
"""Folders in the order of the scores, and how many photos each has: `img1.bmp`, `img2.bmp` and so on."""

LIVE = RatedSet(
    "live",
    "LIVE release 2",
    image="name",
    score="dmos",
    scale=(0, 100),
    folders=(".",),
    difference=True,
    texts={"reference": "reference"},
)
REALIGNED = replace(LIVE, numbers={"dmos_realigned": "dmos_realigned"})


def read_live(place: Path) -> Dataset:
    """All distorted photos. Raises `UsageError`."""
    file = find_table(place, LIVE.title, "dmos.mat")
    references = find_table(place, LIVE.title, "refnames_all.mat")
    realigned = place / "dmos_realigned.mat"
    lists = {
        "dmos": matlab_list(file, "dmos"),
        "orgs": matlab_list(file, "orgs"),
        "reference": matlab_list(references, "refnames_all"),
    }
    if realigned.is_file():
        lists["dmos_realigned"] = matlab_list(realigned, "dmos_new")
    lists["name"] = [f"{folder}/img{i}.bmp" for folder, count in FOLDERS.items() for i in range(1, count + 1)]
    for variable, values in lists.items():
        if len(values) != len(lists["name"]):
            what = f"{variable} has {len(values)} values instead of {len(lists['name'])}"
            raise UsageError(what, where=str(place), remedy="use the .mat files of release 2")
    every = [
        TableRow(f"{file}[{i}]", dict(zip(lists, cells, strict=True)))
        for i, cells in enumerate(zip(*lists.values(), strict=True), 1)
    ]
    rows = [row for row in every if not row.number("orgs", 0, 1)]
    if not rows:
        raise UsageError("holds only references", where=str(file), remedy="download it again")
    return (REALIGNED if realigned.is_file() else LIVE).dataset(place, rows)
