"""KonIQ-10k: 10,073 photos with mean opinion scores of their quality, from one of its two official tables.

Both tables have a column `MOS`, on different ranges. `koniq10k_distributions_sets.csv`, which has a column `set`,
uses 0-100 and holds the official split; `koniq10k_scores_and_distributions.csv`, which has a column `MOS_zscore`,
uses 1-5 and has no split. Where both exist, the one with the split is read.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.errors import UsageError
from realqa_cli.io.tables import Table

SETS = "koniq10k_distributions_sets.csv"
SCORES = "koniq10k_scores_and_distributions.csv"
FOLDERS = ("1024x768", "512x384")


def read_koniq10k(place: Path) -> Dataset:
    """All photos of the table. Raises `UsageError`."""
    file = find_table(place, "KonIQ-10k", SETS, SCORES, f"{Path(SCORES).stem}/{SCORES}")
    table = Table.open(file)
    columns = {name.casefold() for name in table.columns}
    five, split = "mos_zscore" in columns, "set" in columns
    if not five and not split:
        what = "without a column 'set' or 'MOS_zscore' it is unknown whether MOS is on 0-100 or 1-5"
        raise UsageError(what, where=str(file), remedy=f"use {SETS} or {SCORES} as published")
    mos_range = [1, 5] if five else [0, 100]
    needed = ["image_name", "MOS", *(["MOS_zscore"] if five else []), *(["set"] if split else [])]
    rows = list(table.rows(*needed))
    media_folder = find_media_folder(place, FOLDERS, (row.text("image_name") for row in rows))
    entries = []
    for row in rows:
        name = row.text("image_name")
        fields: dict[str, object] = {"mos": row.number("MOS", *mos_range), "mos_range": mos_range}
        if split:
            fields["split"] = row.text("set")
        if five:
            fields["mos_zscore"] = row.number("MOS_zscore")
        entries.append(DatasetEntry(media_folder.path(name), row.where, fields, present=media_folder.has(name)))
    no_split = f"{file.name} has none; put {SETS} into the folder"
    return Dataset("koniq10k", str(place), entries, media_folder.looked_in, media_folder.found, no_split=no_split)
