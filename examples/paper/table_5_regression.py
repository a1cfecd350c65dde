"""Tab. 5 of the paper: to write the score, or to regress it from the hidden state of the last token.

The same direct conversations for both: with a linear head for 2 and for 6 epochs, as text for 2.

    python examples/paper/table_5_regression.py --tiny
    python examples/paper/table_5_regression.py --train koniq-train.jsonl --test koniq-test.jsonl --work tab-5

With --tiny text begins ahead: the bundled model has learnt to write scores, and a head is always new.
"""

from tables import Row, Study, Table, parser
from tiny import add_data, data

TABLE = Table(
    "Tab. 5",
    "regression and next-token prediction",
    ("epochs", "SRCC", "PLCC"),
    (
        Row("Regression, KonIQ-10k", ("2", 0.882, 0.890)),
        Row("Regression, KonIQ-10k", ("6", 0.908, 0.923)),
        Row("NTP, KonIQ-10k", ("2", 0.939, 0.949)),
    ),
)
RUNS = (("Regression", "regression", 2), ("Regression", "regression", 6), ("NTP", "ntp", 2))


def main() -> None:
    """Trains three models, scores the test set by each as it was trained, and prints."""
    options = parser(__doc__)
    add_data(options)
    given = options.parse_args()
    study, files = Study(given), data(given)
    conversations = study.conversations("direct", files.train, "--formats", "direct")
    scored, rows = {}, []
    for title, objective, epochs in RUNS:
        name = f"{objective}-{epochs}"
        model = study.train(name, conversations, "--objective", objective, "--epochs", epochs)
        if objective == "ntp":
            readings = study.read_both(name, files.test, model)
        else:  # a head has one value: there is nothing to decode
            readings = {"head": study.score(name, files.test, model)}
        scored[name] = [*readings.values()][-1]
        for reading, file in readings.items():
            figures = study.measure(file)
            rows.append(Row(f"{title}, {reading}", (str(epochs), figures["srcc"], figures["plcc"])))
    print(TABLE.markdown(rows, note=f"Measured from {study.model}; 95 % intervals of the bootstrap."))
    study.compare(scored["ntp-2"], scored["regression-2"], "NTP less regression, 2 epochs each")
    study.compare(scored["regression-6"], scored["regression-2"], "regression, 6 epochs less 2")


if __name__ == "__main__":
    main()
