"""Tab. 4 of the paper: how many digits of the score a model should write, M = 1, 2 or 3.

The same direct conversations three times, with `4`, `4.0` and `3.98`; a model is trained on each. The paper reads the
answer that the model writes (greedy), which with M = 1 has ten values; the exact mean of the distribution has many.

    python examples/paper/table_4_digits.py --tiny
    python examples/paper/table_4_digits.py --train koniq-training.jsonl --test koniq-test.jsonl --work digits
"""

from tables import Row, Study, Table, parser
from tiny import add_data, data

TABLE = Table(
    "Tab. 4",
    "number of predicted digits",
    ("SRCC", "PLCC"),
    (
        Row("M = 1, AVA", (0.712, 0.705)),
        Row("M = 2, AVA", (0.806, 0.805)),
        Row("M = 3, AVA", (0.808, 0.806)),
        Row("M = 1, KonIQ-10k", (0.940, 0.950)),
        Row("M = 2, KonIQ-10k", (0.938, 0.948)),
        Row("M = 3, KonIQ-10k", (0.939, 0.949)),
    ),
)
DIGITS = (1, 2, 3)


def main() -> None:
    """Trains, scores and prints."""
    options = parser(__doc__)
    add_data(options)
    given = options.parse_args()
    study, files = Study(given), data(given)
    scored, rows = {}, []
    for digits in DIGITS:
        name = f"direct-{digits}"
        conversations = study.conversations(name, files.train, "--formats", "direct", "--digits", digits)
        readings = study.read_both(name, files.test, study.train(name, conversations))
        scored[digits] = readings["exact mean"]
        for reading, file in readings.items():
            figures = study.measure(file)
            rows.append(Row(f"M = {digits}, {reading}", (figures["srcc"], figures["plcc"])))
    print(TABLE.markdown(rows, note=f"Measured from {study.model}; 95 % intervals of the bootstrap."))
    study.compare(scored[3], scored[1], "M = 3 less M = 1")
    study.compare(scored[3], scored[2], "M = 3 less M = 2")


if __name__ == "__main__":
    main()
