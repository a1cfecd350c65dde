"""Tab. 6 and Fig. 4 of the paper: do NCM, NCM* and the cross-entropy fall together, or the last alone?

Direct conversations, twice: in full from random weights, and by LoRA on the trained model.

    python examples/paper/table_6_ncm.py --tiny
    python examples/paper/table_6_ncm.py --train koniq-training.jsonl --work koniq-ncm
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tables import Figure, Row, Study, Table, parser, realqa
from tiny import add_data, data

TABLE = Table(
    "Tab. 6",
    "first and last 100 iterations (means), and the convergence ratio",
    ("NCM", "NCM*", "cross-entropy"),
    (
        Row("first, full from scratch", ("2.16", "3.19", "5.91")),
        Row("first, LoRA", ("1.43", "1.96", "1.42")),
        Row("last, full from scratch", ("2.29", "3.08", "0.51")),
        Row("last, LoRA", ("0.24", "0.71", "0.38")),
        Row("ratio, full from scratch", ("+6.02%", "-3.45%", "-91.37%")),
        Row("ratio, LoRA", ("-83.22%", "-63.78%", "-73.24%")),
    ),
)
RUNS = {"scratch": "full from scratch", "lora": "LoRA"}
TUNING = {
    "scratch": ["--tuning", "scratch"],
    "lora": ["--tuning", "lora"],
}
TINY_RATES = {"scratch": ["--learning-rate", "3e-4"], "lora": ["--learning-rate", "5e-4"]}
"""A small model in a few hundred steps wants more than the paper's 1e-5 and 1e-4."""


def main() -> None:
    """Trains twice, reads the logs and prints; the picture is WORK/figure-4.png."""
    options = parser(__doc__)
    add_data(options)
    options.add_argument("--epochs", type=float, default=6, help="of both runs (the paper's six)")
    given = options.parse_args()
    study, files = Study(given), data(given)
    conversations = study.conversations("direct", files.train, "--formats", "direct")
    folders: list[Path] = []
    for name, tuning in TUNING.items():
        rate = TINY_RATES[name] if study.tiny else []
        folders.append(study.train(name, conversations, *tuning, *rate, "--epochs", given.epochs))
    plot = study.work / "figure-4.png"
    logs = [part for folder in folders for part in ("--log", folder)]
    lines = realqa("ncm", *logs, "--plot", plot, "--json")
    print(TABLE.markdown(rows_of(lines), note=f"Measured from {study.model}. Fig. 4 is {plot}."))
    for folder in folders:
        (held,) = realqa("ncm", study.conversations("test", files.test, "--formats", "direct"), "--model", folder)
        text = f"NCM {held['ncm']:.2f}, NCM* {held['ncm_star']:.2f}, n = {held['n']}"
        print(f"{folder.name}, on the test set: {text}")


def rows_of(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows in the order of the paper: first, last, ratio; each from scratch and by LoRA."""
    rows = []
    for part in ("first", "last", "ratio"):
        for line in lines:
            if line["part"] == part:
                values = [line[name] for name in ("ncm", "ncm_star", "loss")]
                cells = [f"{v:+.2%}" if part == "ratio" else Figure(v) for v in values]
                steps = f" (steps {line['steps'][0]} to {line['steps'][1]})" if line["steps"] else ""
                rows.append(Row(f"{part}{steps}, {RUNS[line['run']]}", cells))
    return rows


if __name__ == "__main__":
    main()
