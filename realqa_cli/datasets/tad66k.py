"""TAD66K: 66,327 photos with mean opinion scores of aesthetics on 1-10, in the official split of two tables.

The tables are `train.csv` and `test.csv` of the folder `merge`; those by theme (`unmerge`) do not match them.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.io.tables import Table

SPLITS = ("train", "test")
PLACES = ("merge", "labels/merge", ".")
FOLDERS = ("TAD66K", "images", "image")
RANGE = [1, 10]


def read_tad66k(place: Path) -> Dataset:
    """All photos of the tables that exist. Raises `UsageError`."""
    names = [str(Path(folder, f"{split}.csv")) for folder in PLACES for split in SPLITS]
    folder = find_table(place, "TAD66K", *names).parent
    files = {split: folder / f"{split}.csv" for split in SPLITS}
    rows = [
        (split, row)
        for split, file in files.items()
        if file.is_file()
        for row in Table.open(file).rows("image", "score")
    ]
    media_folder = find_media_folder(place, FOLDERS, (row.text("image") for _, row in rows))
    entries = []
    for split, row in rows:
        name = row.text("image")
        fields = {"mos": row.number("score", *RANGE), "mos_range": RANGE, "split": split}
        entries.append(DatasetEntry(media_folder.path(name), row.where, fields, present=media_folder.has(name)))
    notes = tuple(
        f"tad66k: {file} does not exist, so its split is left out" for file in files.values() if not file.is_file()
    )
    return Dataset("tad66k", str(place), entries, media_folder.looked_in, media_folder.found, notes)
