"""Data sets whose tables have one row for each photo: what their rows mean, and how rows become entries.

A data set's own module describes it by a `RatedSet`, and reads its rows. Difference scores (DMOS), which are lower
for better photos, are reversed within their range, so that a higher `mos` is better in every record; the
field `dmos` keeps the score of the table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from realqa_cli.datasets.contents import Dataset, DatasetEntry
from realqa_cli.datasets.layout import find_media_folder, find_table
from realqa_cli.io.tables import USUAL, Table, TableForm, TableRow

Number = int | float


@dataclass(frozen=True)
class RatedSet:
    """What the rows of a data set mean.

    name: the value of `--dataset`.  title: its name in texts.  image: the column with the photo's file name, or a
    function of the row that gives the names the file may have, the official one first.  score, scale: the column of
    the score, and its range.  folders: where the photos are, below the data set's folder.  difference: whether
    lower scores are better.  split: the column of the split.  texts, numbers: further fields of the records, and
    their columns, or for a text a function of the row.  needs: columns that the functions use.  no_split: the
    remedy of the error for `--split`.
    """

    name: str
    title: str
    image: str | Callable[[TableRow], Sequence[str]]
    score: str
    scale: tuple[Number, Number]
    folders: Sequence[str]
    difference: bool = False
    split: str | None = None
    texts: Mapping[str, str | Callable[[TableRow], str]] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[str] = ()
    no_split: str = "leave it out"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        known = (self.image, *self.needs, self.score, self.split, *self.texts.values(), *self.numbers.values())
        return tuple(dict.fromkeys(name for name in known if isinstance(name, str)))

    def read(self, place: Path, *tables: str, form: TableForm = USUAL) -> Dataset:
        """The rows of the first of the `tables`, paths below `place`, that exists. Raises `UsageError`."""
        return self.dataset(place, self.rows(find_table(place, self.title, *tables), form))

    def rows(self, file: Path, form: TableForm = USUAL, **cells: str) -> list[TableRow]:
        """All rows of a table, each with the further `cells`. Raises `UsageError`."""
        needed = [column for column in self.columns if column not in cells]
        return [replace(row, cells={**row.cells, **cells}) for row in Table.open(file, form).rows(*needed)]

    def splits(self, place: Path, tables: Mapping[str, str], form: TableForm = USUAL) -> Dataset:
        """The rows of the tables of the splits, which are in one folder below `place`. Raises `UsageError`.

        tables: file by split. A file that does not exist is noted, and its split is left out.
        """
        column = self.split
        assert column is not None
        folder = find_table(place, self.title, *tables.values()).parent
        files = {split: folder / Path(name).name for split, name in tables.items()}
        missing = [str(file) for file in files.values() if not file.is_file()]
        rows = [
            row
            for split, file in files.items()
            if str(file) not in missing
            for row in self.rows(file, form, **{column: split})
        ]
        return self.dataset(
            place, rows, [f"{self.name}: {file} does not exist, so its split is left out" for file in missing]
        )

    def dataset(self, place: Path, rows: Sequence[TableRow], notes: Iterable[str] = ()) -> Dataset:
        """The rows as entries. Raises `UsageError` for a score outside the range."""
        known = [self._names(row) for row in rows]
        media_folder = find_media_folder(place, self.folders, (name for names in known for name in names))
        entries = []
        for row, names in zip(rows, known, strict=True):
            existing = next((name for name in names if media_folder.has(name)), None)
            name = existing or names[0]
            others = tuple(each.rpartition("/")[2] for each in names if each != name)
            path = media_folder.path(name)
            entries.append(DatasetEntry(path, row.where, self._fields(row), present=existing is not None, also=others))
        return Dataset(
            self.name,
            str(place),
            entries,
            media_folder.looked_in,
            media_folder.found,
            notes=(*self._notes(), *notes),
            no_split=self.no_split,
        )

    def _names(self, row: TableRow) -> Sequence[str]:
        return [row.text(self.image)] if isinstance(self.image, str) else self.image(row)

    def _fields(self, row: TableRow) -> dict[str, object]:
        low, high = self.scale
        score = row.number(self.score, low, high)
        fields: dict[str, object] = {"mos": low + high - score if self.difference else score, "mos_range": [low, high]}
        if self.split is not None:
            fields["split"] = row.text(self.split)
        if self.difference:
            fields["dmos"] = score
        for name, source in self.texts.items():
            fields[name] = row.text(source) if isinstance(source, str) else source(row)
        return fields | {name: row.number(column) for name, column in self.numbers.items()}

    def _notes(self) -> tuple[str, ...]:
        if not self.difference:
            return ()
        low, high = self.scale
        total = f"{low + high:g}"
        return (f"{self.name}: its scores are lower for better photos; mos is {total} - DMOS, on {low:g}-{high:g}",)
