"""The options that select a data set, its split, its columns and its subset, which commands share."""

from typing import Annotated, Any

import typer

from realqa_cli.cli.options import OUTPUT, option
from realqa_cli.datasets import COLUMNS, DATASETS, DatasetSelection
from realqa_cli.errors import UsageError


def parse_columns(text: str) -> dict[str, str]:
    """Reads `image=name,mos=MOS`, the columns of a table."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    named = {key.strip(): name.strip() for key, _, name in pairs}
    if len(named) < len(pairs) or not all(named.values()) or not named.keys() <= {*COLUMNS}:
        known = ", ".join(COLUMNS)
        raise typer.BadParameter(f"{text!r} is not like image=name,mos=MOS, with some of: {known}")
    return named


def dataset_of(subject: str) -> Any:
    """The option `--dataset`; `subject` names the path that it applies to."""
    says = f"{subject} is the folder of a data set as published: {', '.join(DATASETS)} (any table)."
    return option(OUTPUT, "--dataset", metavar="NAME", help=says)


DatasetOption = Annotated[str | None, dataset_of("SOURCES")]
_SPLIT = "Only this split of the data set: train, validation or test, or as it calls them itself."
Split = Annotated[str | None, option(OUTPUT, "--split", metavar="NAME", help=_SPLIT)]
_COLUMNS = (
    "Columns of a table, for example image=name,mos=MOS,split=set,mos_range=0-100 (video= for image=;"
    " mos_range is a column or a range). Others are found by their usual names. Implies --dataset csv."
)
Columns = Annotated[
    str | None, option(OUTPUT, "--columns", metavar="KEY=COLUMN,...", parser=parse_columns, help=_COLUMNS)
]


_SUBSET = "The set of the RealQA release to read (--dataset realqa); an unknown name lists them."
Subset = Annotated[str | None, option(OUTPUT, "--subset", metavar="NAME", help=_SUBSET)]


def selection(
    dataset: str | None,
    split: str | None,
    columns: Any,
    subset: str | None = None,
    *,
    of: str | None = "",
    remedy: str = "",
) -> DatasetSelection | None:
    """The selection that the options describe; None where they were not given.

    `--columns` alone means `--dataset csv`. `of` is the path that the options apply to; where it is None, the
    error's remedy is `remedy`. Raises UsageError for an unknown data set, and for `--split` or `--subset` alone.
    """
    if dataset is None and columns is None:
        for name, value in (("--split", split), ("--subset", subset)):
            if value is not None:
                raise UsageError("applies to data sets", where=name, remedy="add --dataset NAME")
        return None
    if of is None:
        where = "--columns" if dataset is None else "--dataset"
        raise UsageError("there is no folder or table that it applies to", where=where, remedy=remedy)
    dataset = dataset or "csv"
    chosen = DatasetSelection(dataset, split, columns or {}, subset)
    chosen.check()
    return chosen
