"""Tab. 10 of the paper: the score as one of five words (Q-Align's levels), or as a number, on RealQA.

The levels are trained on the same direct conversations as the number, with a word in its place, and read as
the expected value over the five words. They are also read out of models that were not trained for them.

    python examples/paper/table_10_levels.py --tiny
    python examples/paper/table_10_levels.py --train realqa-train.jsonl --test realqa-test.jsonl --work tab-10

With --tiny levels begin far behind: the bundled model has learnt to write scores and never saw these words.
In these few steps it learns to spell them and hardly to choose among them: this says little of the methods.
"""

from pathlib import Path

from tables import Row, Study, Table, parser
from tiny import add_data, data

TABLE = Table(
    "Tab. 10",
    "levels and numbers",
    ("PLCC", "SRCC"),
    (
        Row("Q-Align, RealQA", (0.716, 0.741)),
        Row("Ours, RealQA", (0.792, 0.730)),
        Row("Ours†, RealQA", (0.802, 0.746)),
    ),
)
EPOCHS = {True: 12, False: 2}  # without CoT, by --tiny: the bundled model first has to learn the five words
COT_EPOCHS = {True: 4, False: 6}  # with CoT, where there are three conversations an image


def main() -> None:
    """Trains three models, scores the test set by each and by the levels of none, and prints."""
    options = parser(__doc__)
    add_data(options)
    options.add_argument("--epochs", type=int, help="epochs without CoT, of both (2; with --tiny 12)")
    options.add_argument("--cot-epochs", type=int, help="epochs with CoT (6; with --tiny 4)")
    given = options.parse_args()
    study, files = Study(given), data(given)
    direct = study.conversations("direct", files.train, "--formats", "direct")
    mixed = study.conversations("cot", files.train, "--formats", "direct,cot,cot-regular")
    epochs, cot_epochs = given.epochs or EPOCHS[study.tiny], given.cot_epochs or COT_EPOCHS[study.tiny]
    levels = study.train("levels", direct, "--objective", "levels", "--epochs", epochs)
    number = study.train("direct", direct, "--epochs", epochs)
    thought = study.train("cot", mixed, "--epochs", cot_epochs)
    readings: dict[str, tuple[str, str | Path, str]] = {
        "levels, of the model at the start": ("start-by-levels", study.model, "levels"),
        f"levels, trained for {epochs} epochs": ("levels", levels, "levels"),
        "levels, of the model that was trained to write numbers": ("direct-by-levels", number, "levels"),
        f"Ours: numbers, trained for {epochs} epochs": ("direct-by-direct", number, "direct"),
        f"Ours†: trained with CoT for {cot_epochs} epochs, read by CoT": ("cot-by-cot", thought, "cot"),
    }
    scored, rows = {}, []
    for title, (name, model, method) in readings.items():
        if method == "levels":
            files_by_reading = {"exact mean": study.score(name, files.test, model, "--method", method)}
        else:
            files_by_reading = study.read_both(name, files.test, model, "--method", method)
        scored[name] = files_by_reading["exact mean"]
        for reading, file in files_by_reading.items():
            figures = study.measure(file)
            rows.append(Row(f"{title}, {reading}", (figures["plcc"], figures["srcc"])))
    print(TABLE.markdown(rows, note=f"Measured from {study.model}; 95 % intervals of the bootstrap."))
    study.compare(scored["direct-by-direct"], scored["levels"], "numbers less levels")


if __name__ == "__main__":
    main()
