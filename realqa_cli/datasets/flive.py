"""FLIVE (PaQ-2-PiQ, LIVE-FB): about 40,000 photos of social media with MOS on 0-100; patches are not read.

The official split is that of two further tables: photos of `labels>640.csv` are the test split, those with
`is_valid` in `labels<=640_padded.csv` the validation split, and all others the training split. Without the two the
set is undivided.
"""

from dataclasses import replace
from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.layout import find_table
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.io.tables import Table

TABLE = "labels_image.csv"
SMALL, LARGE = "labels<=640_padded.csv", "labels>640.csv"

FLIVE = RatedSet(
    "flive",
    "FLIVE",
    image="name",
    score="mos",
    scale=(0, 100),
    folders=("database", "images"),
    no_split=f"put {SMALL} and {LARGE} next to {TABLE}",
)


def read_flive(place: Path) -> Dataset:
    """All photos of the table, not its patches. Raises `UsageError`."""
    file = find_table(place, FLIVE.title, TABLE, f"database/{TABLE}")
    rows = FLIVE.rows(file)
    small, large = file.with_name(SMALL), file.with_name(LARGE)
    if not (small.is_file() and large.is_file()):
        return FLIVE.dataset(place, rows)
    splits = {row.text("name_image"): "test" for row in Table.open(large).rows("name_image")}
    for row in Table.open(small).rows("name_image", "is_valid"):
        if row.text("is_valid").casefold() == "true":
            splits.setdefault(row.text("name_image"), "validation")
    rows = [replace(row, cells={**row.cells, "split": splits.get(row.text("name"), "train")}) for row in rows]
    return replace(FLIVE, split="split").dataset(place, rows)
