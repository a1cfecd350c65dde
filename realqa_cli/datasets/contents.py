"""What every data set gives: entries in the order of its table, and what a person should know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from realqa_cli.errors import UsageError

MediaKind = Literal["image", "video"]

_ALIKE = (
    frozenset({"train", "training"}),
    frozenset({"val", "valid", "validation"}),
    frozenset({"test", "testing"}),
)
"""Words for the same split; a data set keeps its own, and `--split` takes any of them."""

_EXAMPLES = 3  # missing files that the summary names


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """One row of a data set's table.

    name: the path of the photo or video as it opens from the current folder.  where: the row's place,
    ``file:line``.  fields: `mos`, `mos_range`, `split`, as far as the data set has them, and more.
    attributes: true values of the ten attributes.  present: whether there is such a file.
    also: other names that the same file goes by.
    """

    name: str
    where: str
    fields: Mapping[str, Any]
    kind: MediaKind = "image"
    present: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A data set, or one split of it.

    name: as `--dataset` has it.  place: the folder as it was given.  looked_in: where the photos were
    looked for, in words, and `found`, whether there is such a folder.  notes: lines for stderr.
    no_split: what to do for a split where there is none.  others: the entries of other splits.
    """

    name: str
    place: str
    entries: Sequence[DatasetEntry]
    looked_in: str
    found: bool = True
    notes: tuple[str, ...] = ()
    no_split: str = "leave it out"
    others: Sequence[DatasetEntry] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def only(self, split: str) -> "Dataset":
        """The entries of one split; "all" are all. Raises `UsageError` for one that there is not."""
        known = dict.fromkeys(str(e.fields["split"]) for e in self.entries if "split" in e.fields)
        asked = split.strip().casefold()
        if asked == "all":
            return self
        alike = next((words for words in _ALIKE if asked in words), frozenset({asked}))
        wanted = {own for own in known if own.casefold() in alike}
        if not known:
            raise UsageError(f"{self.name} has no split here", where="--split", remedy=self.no_split)
        if not wanted:
            remedy = f"use one of: {', '.join(sorted(known))}, all"
            raise UsageError(f"{self.name} has no split {split!r}", where="--split", remedy=remedy)
        inside, outside = list[DatasetEntry](), list[DatasetEntry]()
        for entry in self.entries:
            (inside if entry.fields.get("split") in wanted else outside).append(entry)
        return replace(self, entries=inside, others=outside)

    def require_files(self) -> None:
        """Raises `UsageError` where not one photo is there, nor a folder for them."""
        if not self.found and not any(entry.present for entry in self.entries):
            kinds = {entry.kind for entry in self.entries}
            raise UsageError(
                f"none of its {len(self)} {'/'.join(sorted(kinds))}s is there: looked for"
                f" {self.entries[0].name.rpartition('/')[2]} and the others in {self.looked_in}",
                where=self.place,
                remedy="download them beside the table, or check the folder",
            )

    def notes_on(self, limit: int | None = None) -> list[str]:
        """The lines for stderr before a run over the first `limit` entries: notes, missing files."""
        entries = self.entries[:limit]
        missing = [entry.name for entry in entries if not entry.present]
        if not missing:
            return list(self.notes)
        some = ", ".join(missing[:_EXAMPLES]) + (", ..." if len(missing) > _EXAMPLES else "")
        line = f"{self.name}: {len(missing)} of {len(entries)} files are missing: {some}"
        return [*self.notes, line]
