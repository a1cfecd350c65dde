"""AVA: 255,530 photos with the counts of ratings of their aesthetics from 1 to 10; the MOS is the mean rating.

`AVA.txt` has 15 columns without a header: index, id, ten counts, two tags, challenge. The photos of
`aesthetics_image_lists/generic_test.jpgl` are the test split and all others the training split; without the
list there is no split. Some photos no longer exist on the web; they count as missing files.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError

TABLE = "AVA.txt"
TEST_LIST = "aesthetics_image_lists/generic_test.jpgl"
FOLDERS = ("images", "image")
RANGE = [1, 10]

_COLUMNS = 15
_RATINGS = range(1, 11)


def read_ava(place: Path) -> Dataset:
    """All photos of the table. Raises `UsageError`."""
    file = find_table(place, "AVA", TABLE, f"AVA_dataset/{TABLE}")
    test_list = next((f for f in (file.parent / TEST_LIST, place / "generic_test.jpgl") if f.is_file()), None)
    test = None if test_list is None else _test_ids(test_list)
    rows = [_row(line, f"{file}:{number}") for number, line in _lines(file)]
    if not rows:
        raise UsageError("the table is empty", where=str(file), remedy="download it again")
    media_folder = find_media_folder(file.parent, FOLDERS, (f"{photo}.jpg" for photo, _, _ in rows))
    entries = []
    for photo, mos, where in rows:
        name = f"{photo}.jpg"
        fields: dict[str, object] = {"mos": mos, "mos_range": RANGE}
        if test is not None:
            fields["split"] = "test" if photo in test else "train"
        entries.append(DatasetEntry(media_folder.path(name), where, fields, present=media_folder.has(name)))
    return Dataset(
        "ava",
        str(place),
        entries,
        media_folder.looked_in,
        media_folder.found,
        notes=_unknown(test, rows),
        no_split=f"download {TEST_LIST} into the folder of {TABLE}",
    )


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read as text ({getattr(error, 'strerror', None) or error})"
        raise UsageError(what, where=str(file), remedy="download it again") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(line: str, where: str) -> tuple[str, float, str]:
    """(id, MOS, where). Raises `UsageError`."""
    cells = line.split()
    if len(cells) != _COLUMNS or not all(cell.isdecimal() for cell in cells[1:12]):
        what = f"not {_COLUMNS} numbers: {line[:80]!r}"
        raise UsageError(what, where=where, remedy=f"use {TABLE} as published")
    counts = [int(cell) for cell in cells[2:12]]
    if not any(counts):
        raise UsageError(f"photo {cells[1]} has no ratings", where=where, remedy="correct the table")
    total = sum(rating * count for rating, count in zip(_RATINGS, counts, strict=True))
    return cells[1], total / sum(counts), where


def _test_ids(file: Path) -> frozenset[str]:
    """Raises `UsageError` for a line that is not an id."""
    ids = [(number, line.strip()) for number, line in _lines(file)]
    for number, photo in ids:
        if not photo.isdecimal():
            what, remedy = f"{photo[:80]!r} is not the id of a photo", "use the list as published"
            raise UsageError(what, where=f"{file}:{number}", remedy=remedy)
    return frozenset(photo for _, photo in ids)


def _unknown(test: frozenset[str] | None, rows: list[tuple[str, float, str]]) -> tuple[str, ...]:
    unknown = len((test or frozenset()) - {photo for photo, _, _ in rows})
    return (f"ava: {plural(unknown, 'photo')} of {TEST_LIST} not found in {TABLE}",) if unknown else ()
