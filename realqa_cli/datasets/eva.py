"""EVA: 4,070 photos of AVA with 30 and more votes on their aesthetics from 0 to 10; the MOS is the mean vote.

`data/votes_filtered.csv` has one line for each vote, with `=` between the cells. There is no official split.
"""

from pathlib import Path

from realqa_cli.datasets.contents import Dataset
from realqa_cli.datasets.layout import find_table
from realqa_cli.datasets.rated import RatedSet
from realqa_cli.io.tables import Table, TableForm, TableRow

VOTES = "votes_filtered.csv"
FORM = TableForm(delimiter="=")
RANGE = (0, 10)

_CATEGORIES = range(1, 7)


def read_eva(place: Path) -> Dataset:
    """All photos with votes. Raises `UsageError`."""
    file = find_table(place, EVA.title, f"data/{VOTES}", VOTES)
    votes: dict[str, list[float]] = {}
    first: dict[str, str] = {}
    for row in Table.open(file, FORM).rows("image_id", "score"):
        photo = row.text("image_id")
        votes.setdefault(photo, []).append(row.number("score", *RANGE))
        first.setdefault(photo, row.where)
    means = {photo: sum(scores) / len(scores) for photo, scores in votes.items()}
    rows = [TableRow(first[photo], {"image_id": photo, "mos": mean}) for photo, mean in means.items()]
    return EVA.dataset(place, rows)


def _names(row: TableRow) -> tuple[str, ...]:
    name = f"{row.text('image_id')}.jpg"
    categories = (f"EVA_category/EVA_category/{number}/{name}" for number in _CATEGORIES)
    return (f"EVA_together/{name}", name, *categories)


EVA = RatedSet("eva", "EVA", image=_names, score="mos", scale=RANGE, folders=("images",))
