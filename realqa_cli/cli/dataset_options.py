"""The options that choose a data set, its split and its columns; what commands share of them."""

from typing import Annotated, Any

import typer

from realqa_cli.cli.options import OUTPUT, option
from realqa_cli.datasets import COLUMNS, DATASETS, DatasetSelection
from realqa_cli.errors import UsageError


def parse_columns(text: str) -> dict[str, str]:
    """`image=name,mos=MOS`: what is what in a table."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    told = {key.strip(): name.strip() for key, _, name in pairs}
    if len(told) < len(pairs) or not all(told.values()) or not told.keys() <= {*COLUMNS}:
        known = ", ".join(COLUMNS)
        raise typer.BadParameter(f"{text!r} is not like image=name,mos=MOS, with some of: {known}")
    return told


def dataset_of(subject: str) -> Any:
    """`--dataset`; `subject` is what it says something of."""
    says = f"{subject} is the folder of a data set as published: {', '.join(DATASETS)} (any table)."
    return option(OUTPUT, "--dataset", metavar="NAME", help=says)


DatasetOption = Annotated[str | None, dataset_of("SOURCES")]
_SPLIT = "Only this split of the data set: train, validation or test, or as it calls them itself."
Split = Annotated[str | None, option(OUTPUT, "--split", metavar="NAME", help=_SPLIT)]
_COLUMNS = (
    "What is what in the table of --dataset csv: image=name,mos=MOS,split=set,mos_range=0-100 for example"
    " (video= for image=; mos_range is a column or a range). The rest is found by its usual name."
)
Columns = Annotated[
    str | None, option(OUTPUT, "--columns", metavar="KEY=COLUMN,...", parser=parse_columns, help=_COLUMNS)
]


def selection(
    dataset: str | None, split: str | None, columns: Any, *, of: str | None = "", remedy: str = ""
) -> DatasetSelection | None:
    """What the three options ask for; None where they were not given.

    `of` is the folder that they say something of; where it is None, the error's remedy is `remedy`. Raises
    UsageError for an unknown data set, and for an option without its companion.
    """
    if dataset is None:
        for name, value in (("--split", split), ("--columns", columns)):
            if value is not None:
                raise UsageError("concerns a data set", where=name, remedy="add --dataset NAME")
        return None
    if of is None:
        raise UsageError("there is no folder of a data set", where="--dataset", remedy=remedy)
    chosen = DatasetSelection(dataset, split, columns or {})
    chosen.check()
    return chosen
