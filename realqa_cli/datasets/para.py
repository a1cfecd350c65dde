"""PARA: 31,220 photos with means of their aesthetics on 1-5, in the official split of two tables.

`mos` is the mean aesthetic score; the mean score of quality is kept in the field `quality_mos`.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.io.tables import TableRow

TABLES = {"train": "annotation/PARA-GiaaTrain.csv", "test": "annotation/PARA-GiaaTest.csv"}


def read_para(place: Path) -> Dataset:
    """All photos of the tables that exist. Raises `UsageError`."""
    return PARA.splits(place, TABLES)


def _names(row: TableRow) -> tuple[str]:
    return (f"{row.text('sessionId')}/{row.text('imageName')}",)


PARA = RatedSet(
    "para",
    "PARA",
    image=_names,
    score="aestheticScore_mean",
    scale=(1, 5),
    folders=("imgs",),
    split="split",
    numbers={"quality_mos": "qualityScore_mean"},
    needs=("sessionId", "imageName"),
)
