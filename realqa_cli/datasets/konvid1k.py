"""KoNViD-1k: 1,200 videos with mean opinion scores of their quality on 1-5. No split: the paper scores all.

Downloads name the videos `<flickr_id>.mp4`, or by the table's column `file_name`, or
`<flickr_id>_original_centercrop_960x540_8s.mp4`. All three names are accepted, also in joins.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.io.tables import Table, TableRow

TABLE = "KoNViD_1k_attributes.csv"
FOLDERS = ("KoNViD_1k_videos",)
RANGE = [1, 5]


def read_konvid1k(place: Path) -> Dataset:
    """All videos of the table. Raises `UsageError`."""
    file = find_table(place, "KoNViD-1k", TABLE, f"KoNViD_1k_metadata/{TABLE}")
    rows = list(Table.open(file).rows("flickr_id", "file_name", "MOS"))
    known = [_names(row) for row in rows]
    media_folder = find_media_folder(place, FOLDERS, (name for names in known for name in names))
    entries = []
    for row, names in zip(rows, known, strict=True):
        existing = next((name for name in names if media_folder.has(name)), None)
        name = existing or names[0]
        entries.append(
            DatasetEntry(
                media_folder.path(name),
                row.where,
                {"mos": row.number("MOS", *RANGE), "mos_range": RANGE},
                kind="video",
                present=existing is not None,
                also=tuple(each for each in names if each != name),
            )
        )
    return Dataset("konvid1k", str(place), entries, media_folder.looked_in, media_folder.found)


def _names(row: TableRow) -> tuple[str, ...]:
    """The names that the video may have, each once."""
    flickr = row.text("flickr_id")
    return tuple(
        dict.fromkeys((row.text("file_name"), f"{flickr}.mp4", f"{flickr}_original_centercrop_960x540_8s.mp4"))
    )
