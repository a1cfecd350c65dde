"""Tab. 2 of the paper: attributes one by one, by levels, all at once, or all three; and the order of levels.

A model is trained on each kind of conversations and gets the questions of its training, which `realqa self-label` asks
by itself; the last is trained on all three, and gets one question for everything. SRCC and PLCC are averages over the
nine attributes of Tab. 1.

The kinds have different numbers of conversations an image (ten, three, one). --max-steps gives every model the same
number of steps; without it every model sees every image equally often.

    python examples/paper/table_2_granularity.py --tiny
    python examples/paper/table_2_granularity.py --train realqa-train.jsonl --test realqa-test.jsonl \\
        --work granularity
"""

from __future__ import annotations

from tables import Figure, Row, Study, Table, parser
from tiny import add_data, data

TABLE = Table(
    "Tab. 2",
    "granularity of training and order of levels",
    ("SRCC", "PLCC"),
    (
        Row("Attributes", (0.541, 0.571)),
        Row("Levels", (0.567, 0.595)),
        Row("Mix, High Middle Low", (0.570, 0.593)),
        Row("Mix, Low Middle High", (0.564, 0.592)),
        Row("Mix + Levels + Attributes, High Middle Low", (0.588, 0.617)),
    ),
)
KINDS = {
    "attributes": ("Attributes", "attributes", "high-first"),
    "levels": ("Levels", "levels", "high-first"),
    "mix": ("Mix, High Middle Low", "mix", "high-first"),
    "mix-low": ("Mix, Low Middle High", "mix", "low-first"),
    "all": ("Mix + Levels + Attributes, High Middle Low", "attributes,levels,mix", "high-first"),
}
"""Name: (row, --granularity, --order)."""
TINY_STEPS = 40
AVERAGE = "Averages of the attributes that have a value: constant answers have no correlation."
COLUMNS = ("SRCC", "PLCC", "accuracy")


def main() -> None:
    """Trains five models, labels with each, and prints the table."""
    options = parser(__doc__)
    add_data(options)
    options.add_argument("--max-steps", type=int, help="steps of every run (with --tiny 40)")
    given = options.parse_args()
    study, files = Study(given), data(given)
    steps = given.max_steps or (TINY_STEPS if study.tiny else None)
    limit = ["--max-steps", steps] if steps else []
    rows, single = [], {}
    for name, (title, granularity, order) in KINDS.items():
        kind = ["--stage", "attributes", "--granularity", granularity, "--order", order]
        conversations = study.conversations(name, files.train, *kind)
        model = study.train(name, conversations, *limit)
        labels = study.self_label(name, files.test, model)
        figures = study.measure(labels, "--attributes", "--labels", files.test)
        rows.append(Row(title, [figures[f"{metric.lower()} of average"] for metric in COLUMNS]))
        single[title] = figures
    published = [Row(row.name, (*row.cells, None)) for row in TABLE.published]
    table = Table(TABLE.number, TABLE.title, COLUMNS, published)
    print(table.markdown(rows, note=f"Measured from {study.model}, 95 % intervals. {AVERAGE}"))
    print(each(single))


def each(figures: dict[str, dict[str, Figure]]) -> str:
    """SRCC of every attribute, a row a model."""
    keys = [name for name in next(iter(figures.values())) if name.startswith("srcc of ")]
    table = Table("In detail", "SRCC of every attribute", [key.removeprefix("srcc of ") for key in keys])
    return table.markdown(Row(name, [Figure(found[key].value) for key in keys]) for name, found in figures.items())


if __name__ == "__main__":
    main()
