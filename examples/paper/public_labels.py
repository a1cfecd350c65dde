"""The labels of a public data set as JSON Lines, for --train and --test of the other scripts.

A record has the photo, its MOS, and the attributes where the data set has them (RealQA). Photos that are not
there are left out, and counted on stderr. Chains of thought for other data sets need attributes by a model:
`realqa self-label DIR --dataset NAME` writes the same records with them.

    python examples/paper/public_labels.py koniq10k/ --dataset koniq10k --split training > koniq-training.jsonl
    python examples/paper/public_labels.py RealQA/ --dataset realqa --subset NAME --split train > realqa-train.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tables import say

from realqa_cli.datasets import DATASETS, DatasetSelection
from realqa_cli.datasets.labels import dataset_rows
from realqa_cli.errors import UsageError


def main() -> None:
    """Prints a record for each photo that is there."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", metavar="DIR", help="the data set as published")
    options.add_argument("--dataset", required=True, choices=[*DATASETS], metavar="NAME", help=", ".join(DATASETS))
    options.add_argument("--split", help="one split of it, such as train or test")
    options.add_argument("--subset", metavar="NAME", help="with realqa: which set of the release")
    given = options.parse_args()
    try:
        dataset = DatasetSelection(given.dataset, given.split, subset=given.subset).open([given.folder])
        dataset.require_files()
    except UsageError as error:
        sys.exit(f"{error}")
    for note in dataset.notes_on():
        say(note)
    for row in dataset_rows(entry for entry in dataset.entries if entry.present):
        print(json.dumps({**row.record, row.kind: str(Path(row.name).resolve())}))


if __name__ == "__main__":
    main()
