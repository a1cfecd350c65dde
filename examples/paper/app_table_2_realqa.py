"""Tab. 2 of the paper's appendix: models of quality and of aesthetics, judged by what an application wants.

Models trained on KonIQ-10k, on AVA and on RealQA itself, all tested on RealQA.

    python examples/paper/app_table_2_realqa.py --tiny
    python examples/paper/app_table_2_realqa.py --test realqa-test.jsonl --work transfer \\
        --train "KonIQ-10k=koniq-training.jsonl" --train "AVA=ava-train.jsonl" \\
        --train "RealQA=realqa-train.jsonl"

With --tiny the same scenes carry three opinions: quality (damage alone), aesthetics (the mean of composition
and eye-catching), and the composite of damage, exposure, colour, tilt and integrity, which is what is tested.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tables import Figure, Row, Study, Table, parser
from tiny import SAMPLES, make, opinion

SETS = ("KonIQ-10k", "AVA", "RealQA")
TABLE = Table(
    "Appendix Tab. 2",
    "tested on RealQA, by training set",
    tuple(f"{data} {metric}" for data in SETS for metric in ("SRCC", "PLCC")),
    (
        Row("Q-Align", (0.577, 0.576, 0.519, 0.568, 0.741, 0.716)),
        Row("Ours†", (0.597, 0.604, 0.521, 0.564, 0.746, 0.802)),
    ),
)
TINY_SETS = {"quality": "quality", "aesthetics": "aesthetics", "composite": "mos"}


def main() -> None:
    """Trains a model on each set, scores one test set by all and prints."""
    options = parser(__doc__)
    options.add_argument("--train", action="append", default=[], metavar="NAME=LABELS.jsonl", help="may be repeated")
    options.add_argument("--test", type=Path, metavar="LABELS.jsonl", help="labels to test on")
    options.add_argument("--method", choices=("direct", "cot"), help="cot; with --tiny direct")
    given = options.parse_args()
    study = Study(given)
    if given.train and given.test:
        trains = {name: Path(file) for name, _, file in (text.partition("=") for text in given.train)}
        test = given.test
    elif study.tiny:
        made = make(given.work / "scenes", given.photos or SAMPLES, given.scenes)
        trains, test = {data: opinion(made.train, name) for data, name in TINY_SETS.items()}, made.test
    else:
        sys.exit("give --train and --test, or --tiny")
    method = given.method or ("direct" if study.tiny else "cot")
    formats = "direct" if method == "direct" else "direct,cot,cot-regular"
    cells: dict[str, list[Figure]] = {"greedy": [], "exact mean": []}
    for name, labels in trains.items():
        folder = f"on-{name.lower()}"
        model = study.train(folder, study.conversations(folder, labels, "--formats", formats))
        for reading, file in study.read_both(folder, test, model, "--method", method).items():
            figures = study.measure(file)
            cells[reading] += [figures["srcc"], figures["plcc"]]
    columns = [f"{data} {metric}" for data in trains for metric in ("SRCC", "PLCC")]
    rows = [Row(f"Ours, {method}, {reading}", figures) for reading, figures in cells.items()]
    note = f"Measured from {study.model}; 95 % intervals of the bootstrap."
    if columns == list(TABLE.columns):
        print(TABLE.markdown(rows, note=note))
    else:
        print(Table(TABLE.number, "measured on other sets than the paper's", columns).markdown(rows, note=note))
        print(TABLE.markdown([]))


if __name__ == "__main__":
    main()
