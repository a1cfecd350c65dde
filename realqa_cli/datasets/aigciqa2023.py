"""AIGCIQA2023: 2,400 pictures by six generators, MOS of quality on 0-100.

`DATA/MOS/mosz1.mat` has the scores of quality in the order of the files `0.png` to `2399.png`; `mosz2.mat` and
`mosz3.mat` give the fields `authenticity_mos` and `correspondence_mos` where they exist. There is no official split.
"""

from dataclasses import replace
from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.layout import find_table
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.errors import UsageError
from realqa_cli.io.matlab import matlab_list
from realqa_cli.io.tables import TableRow

QUALITY = "DATA/MOS/mosz1.mat"
MORE = {"authenticity_mos": "mosz2.mat", "correspondence_mos": "mosz3.mat"}

AIGCIQA2023 = RatedSet(
    "aigciqa2023",
    "AIGCIQA2023",
    image="name",
    score="mos",
    scale=(0, 100),
    folders=("Image/allimg", "allimg"),
)


def read_aigciqa2023(place: Path) -> Dataset:
    """All pictures. Raises `UsageError`."""
    file = find_table(place, AIGCIQA2023.title, QUALITY, Path(QUALITY).name)
    lists = {"mos": matlab_list(file, "MOSz")}
    if not lists["mos"]:
        raise UsageError("holds no scores", where=str(file), remedy="download it again")
    more = {field: file.with_name(name) for field, name in MORE.items() if file.with_name(name).is_file()}
    for field, other in more.items():
        lists[field] = matlab_list(other, "MOSz")
        if len(lists[field]) != len(lists["mos"]):
            what = f"has {len(lists[field])} scores, and {file.name} has {len(lists['mos'])}"
            raise UsageError(what, where=str(other), remedy="use the files of one release")
    rows = [
        TableRow(f"{file}[{i}]", {"name": f"{i - 1}.png", **dict(zip(lists, cells, strict=True))})
        for i, cells in enumerate(zip(*lists.values(), strict=True), 1)
    ]
    return replace(AIGCIQA2023, numbers={field: field for field in more}).dataset(place, rows)
