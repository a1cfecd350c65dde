"""SPAQ: 11,125 photos by smartphones, with mean opinion scores of quality and five attributes, all on 0-100.

The attributes are not those of this project: they are kept in the field `attribute_mos`. There is no official split.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.io.tables import Table

SCORES = "MOS and Image attribute scores.xlsx"
ATTRIBUTES = ("Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness")
FOLDERS = ("TestImage",)
RANGE = [0, 100]


def read_spaq(place: Path) -> Dataset:
    """All photos of the table. Raises `UsageError`."""
    file = find_table(place, "SPAQ", f"Annotations/{SCORES}", SCORES)
    rows = list(Table.open(file).rows("Image name", "MOS", *ATTRIBUTES))
    media_folder = find_media_folder(place, FOLDERS, (row.text("Image name") for row in rows))
    entries = []
    for row in rows:
        name = row.text("Image name")
        fields = {
            "mos": row.number("MOS", *RANGE),
            "mos_range": RANGE,
            "attribute_mos": {each.lower(): row.number(each, *RANGE) for each in ATTRIBUTES},
        }
        entries.append(DatasetEntry(media_folder.path(name), row.where, fields, present=media_folder.has(name)))
    return Dataset("spaq", str(place), entries, media_folder.looked_in, media_folder.found)
