"""The result of every reader of a data set: entries in the order of its table, and notes for the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from realqa_cli.domain.wording import plural
from realqa_cli.errors import UsageError

MediaKind = Literal["image", "video"]

_ALIKE = (
    frozenset({"train", "training"}),
    frozenset({"val", "valid", "validation"}),
    frozenset({"test", "testing"}),
)
"""Words for the same split; a data set keeps its own, and `--split` accepts any of them."""

_EXAMPLES = 3
"""How many missing files the summary names."""


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """One row of a data set's table.

    name: the path of the photo or video, relative to the current folder.  where: the place of the row, ``file:line``.
    fields: `mos`, `mos_range`, `split`, as far as the data set has them, and others.  present: whether the file
    exists.  attributes: true values of the ten attributes.  also: other names of the same file.
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

    name: the value of `--dataset`.  place: the folder as given.  looked_in: the folders in which the photos were
    looked for, in words.  found: whether one of them exists.  notes: lines for stderr.  no_split: the remedy of the
    error for `--split` where the data set has no splits.  others: the entries of the other splits.
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
        """The entries of one split, or of all for "all". Raises `UsageError` for an unknown split."""
        known = dict.fromkeys(str(e.fields["split"]) for e in self.entries if "split" in e.fields)
        name = split.strip().casefold()
        if name == "all":
            return self
        alike = next((words for words in _ALIKE if name in words), frozenset({name}))
        chosen = {own for own in known if own.casefold() in alike}
        if not known:
            raise UsageError(f"{self.name} has no split here", where="--split", remedy=self.no_split)
        if not chosen:
            remedy = f"use one of: {', '.join(sorted(known))}, all"
            raise UsageError(f"{self.name} has no split {split!r}", where="--split", remedy=remedy)
        inside, outside = list[DatasetEntry](), list[DatasetEntry]()
        for entry in self.entries:
            (inside if entry.fields.get("split") in chosen else outside).append(entry)
        return replace(self, entries=inside, others=outside)

    def require_files(self) -> None:
        """Raises `UsageError` where none of the photos exists, nor a folder for them."""
        if not self.found and not any(entry.present for entry in self.entries):
            kinds = {entry.kind for entry in self.entries}
            raise UsageError(
                f"none of its {len(self)} {'/'.join(sorted(kinds))}s exists: looked for"
                f" {self.entries[0].name.rpartition('/')[2]} and the others in {self.looked_in}",
                where=self.place,
                remedy="download them into the folder of the table, or check the folder",
            )

    def notes_on(self, limit: int | None = None) -> list[str]:
        """The lines for stderr before a run over the first `limit` entries: notes, missing files."""
        entries = self.entries[:limit]
        missing = [entry.name for entry in entries if not entry.present]
        if not missing:
            return list(self.notes)
        some = ", ".join(missing[:_EXAMPLES]) + (", ..." if len(missing) > _EXAMPLES else "")
        line = f"{self.name}: {len(missing)} of {plural(len(entries), 'file')} missing: {some}"
        return [*self.notes, line]
