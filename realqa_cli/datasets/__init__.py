"""Public data sets, read as their authors publish them: a folder in, one entry for each photo or video out.

There is one module for each data set, chosen by name and imported on demand. It knows the data set's tables,
columns, folders and range of scores. `contents` holds what all of them return, `layout` how they find files, and
`rated` how rows become entries where a data set is one table of photos and scores. Scores keep the range of their
data set, which `mos_range` states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from realqa_cli.errors import UsageError
from realqa_cli.io.columns import COLUMNS as COLUMNS

if TYPE_CHECKING:
    from realqa_cli.datasets.contents import Dataset

DATASETS = {
    "koniq10k": "realqa_cli.datasets.koniq10k:read_koniq10k",
    "spaq": "realqa_cli.datasets.spaq:read_spaq",
    "livec": "realqa_cli.datasets.livec:read_livec",
    "ava": "realqa_cli.datasets.ava:read_ava",
    "tad66k": "realqa_cli.datasets.tad66k:read_tad66k",
    "konvid1k": "realqa_cli.datasets.konvid1k:read_konvid1k",
    "kadid10k": "realqa_cli.datasets.kadid10k:read_kadid10k",
    "tid2013": "realqa_cli.datasets.tid2013:read_tid2013",
    "csiq": "realqa_cli.datasets.csiq:read_csiq",
    "live": "realqa_cli.datasets.live:read_live",
    "pipal": "realqa_cli.datasets.pipal:read_pipal",
    "agiqa3k": "realqa_cli.datasets.agiqa3k:read_agiqa3k",
    "agiqa1k": "realqa_cli.datasets.agiqa1k:read_agiqa1k",
    "aigciqa2023": "realqa_cli.datasets.aigciqa2023:read_aigciqa2023",
    "uhdiqa": "realqa_cli.datasets.uhdiqa:read_uhdiqa",
    "bid": "realqa_cli.datasets.bid:read_bid",
    "flive": "realqa_cli.datasets.flive:read_flive",
    "eva": "realqa_cli.datasets.eva:read_eva",
    "para": "realqa_cli.datasets.para:read_para",
    "aadb": "realqa_cli.datasets.aadb:read_aadb",
    "realqa": "realqa_cli.datasets.realqa:read_realqa",
    "csv": "realqa_cli.datasets.any_table:read_table_dataset",
}
"""Data set to "module:function"; the function reads a folder (for csv and realqa also a file)."""

FILES = ("csv", "realqa")
"""Data sets that may be given as a file."""


@dataclass(frozen=True)
class DatasetSelection:
    """The values of `--dataset`, `--split`, `--columns` and `--subset`.

    columns: for csv, which column is which; `mos_range` may also be a range, such as ``0-100``.
    subset: for realqa, which set of the release.
    """

    name: str
    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    subset: str | None = None

    def check(self) -> None:
        """Raises `UsageError` for an unknown data set, and for columns or a subset that it does not have."""
        if self.name not in DATASETS:
            raise UsageError(
                f"unknown data set {self.name!r}",
                where="--dataset",
                remedy=f"use one of: {', '.join(DATASETS)}",
            )
        if self.columns and self.name != "csv":
            what = f"applies to --dataset csv: {self.name} has columns of its own"
            raise UsageError(what, where="--columns", remedy="leave it out")
        if self.subset is not None and self.name != "realqa":
            what = f"applies to --dataset realqa: {self.name} is one set"
            raise UsageError(what, where="--subset", remedy="leave it out")

    def open(self, sources: Sequence[str]) -> "Dataset":
        """Reads the tables of the data set in the one folder that is given, and selects the split.

        Raises `UsageError` that states what was looked for, and where.
        """
        self.check()
        if len(sources) != 1:
            what = f"{self.name} takes one folder, not {len(sources)}"
            raise UsageError(what, where="--dataset", remedy="run it once for each folder")
        place = Path(sources[0])
        if not (place.is_dir() or (self.name in FILES and place.is_file())):
            what = f"no such {'file or ' if self.name in FILES else ''}folder"
            raise UsageError(what, where=sources[0], remedy=f"give the folder of the {self.name} data set")
        module, _, function = DATASETS[self.name].partition(":")
        read = getattr(import_module(module), function)
        more = {"csv": (self.columns,), "realqa": (self.subset,)}.get(self.name, ())
        dataset: Dataset = read(place, *more)
        return dataset if self.split is None else dataset.only(self.split)
