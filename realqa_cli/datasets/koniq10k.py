"""KonIQ-10k: 10,073 photos with the quality that people saw. One of its two official tables is needed.

Both tables have a column `MOS`, and mean different scales by it. `koniq10k_distributions_sets.csv`, told by
its column `set`, has 0-100 and the official split; `koniq10k_scores_and_distributions.csv`, told by
`MOS_zscore`, has 1-5 and no split. Where both are there, the one with the split is read.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.errors import UsageError
from realqa_cli.io.tables import Table

SETS = "koniq10k_distributions_sets.csv"
SCORES = "koniq10k_scores_and_distributions.csv"
FOLDERS = ("1024x768", "512x384")


def read(place: Path) -> Dataset:
    """All photos of the table. Raises `UsageError`."""
    file = find_table(place, "KonIQ-10k", SETS, SCORES, f"{Path(SCORES).stem}/{SCORES}")
    table = Table.open(file)
    columns = {name.casefold() for name in table.columns}
    five, split = "mos_zscore" in columns, "set" in columns
    if not five and not split:
        what = "neither a column 'set' nor 'MOS_zscore' tells whether MOS is 0-100 or 1-5"
        raise UsageError(what, where=str(file), remedy=f"use {SETS} or {SCORES} as published")
    mos_range = [1, 5] if five else [0, 100]
    asked = ["image_name", "MOS", *(["MOS_zscore"] if five else []), *(["set"] if split else [])]
    rows = list(table.rows(*asked))
    shelf = find_media_folder(place, FOLDERS, (row.text("image_name") for row in rows))
    entries = []
    for row in rows:
        name = row.text("image_name")
        fields: dict[str, object] = {"mos": row.number("MOS", *mos_range), "mos_range": mos_range}
        if split:
            fields["split"] = row.text("set")
        if five:
            fields["mos_zscore"] = row.number("MOS_zscore")
        entries.append(DatasetEntry(shelf.path(name), row.where, fields, present=shelf.has(name)))
    no_split = f"{file.name} has none; put {SETS} into the folder"
    return Dataset("koniq10k", str(place), entries, shelf.looked_in, shelf.found, no_split=no_split)
