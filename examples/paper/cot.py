"""With and without a chain of thought: the rows "Ours" and "Ours†" of the paper's Tab. 7, 8, 9 and 10.

Three models: trained on direct answers; on the same for as many conversations as the third, so that more
training is not taken for a better way of training; and on direct answers and both chains of thought. The
third is read both ways, directly and after its chain of thought. The attributes in the chains are those of
the labels: of a self-labelled data set, as in the paper, or known ones.

    python examples/paper/cot.py --tiny
    python examples/paper/cot.py --train koniq-training.jsonl --test koniq-test.jsonl --work koniq-cot
"""

from tables import Row, Study, Table, parser
from tiny import add_data, data

TABLE = Table(
    "Tab. 7 to 10",
    "with and without CoT",
    ("SRCC", "PLCC"),
    (
        Row("Ours, KonIQ-10k (Tab. 7)", (0.939, 0.949)),
        Row("Ours†, KonIQ-10k (Tab. 7)", (0.948, 0.959)),
        Row("Ours, SPAQ, trained on KonIQ-10k (Tab. 7)", (0.878, 0.875)),
        Row("Ours†, SPAQ, trained on KonIQ-10k (Tab. 7)", (0.904, 0.906)),
        Row("Ours, LIVE Challenge, trained on KonIQ-10k (Tab. 7)", (0.878, 0.883)),
        Row("Ours†, LIVE Challenge, trained on KonIQ-10k (Tab. 7)", (0.885, 0.898)),
        Row("Ours, AVA (Tab. 8)", (0.809, 0.807)),
        Row("Ours†, AVA (Tab. 8)", (0.828, 0.825)),
        Row("Ours, TAD66K, trained on AVA (Tab. 8)", (0.410, 0.440)),
        Row("Ours†, TAD66K, trained on AVA (Tab. 8)", (0.413, 0.444)),
        Row("Qwen2-VL-7B untrained, KoNViD-1k (Tab. 9)", (0.305, None)),
        Row("Ours†, KoNViD-1k, trained on KonIQ-10k (Tab. 9)", (0.669, None)),
        Row("Ours, RealQA (Tab. 10)", (0.730, 0.792)),
        Row("Ours†, RealQA (Tab. 10)", (0.746, 0.802)),
    ),
)
EPOCHS = 2  # without CoT
COT_EPOCHS = {True: 2, False: 6}  # with CoT, by --tiny; the paper's are 2 and 6


def main() -> None:
    """Trains three models, reads four sets of scores and prints."""
    options = parser(__doc__)
    add_data(options)
    options.add_argument("--cot-epochs", type=int, help="epochs with CoT (6; with --tiny 2)")
    options.add_argument("--formats", default="direct,cot,cot-regular", help="conversations of the third model")
    given = options.parse_args()
    study, files = Study(given), data(given)
    epochs = given.cot_epochs or COT_EPOCHS[study.tiny]
    direct = study.conversations("direct", files.train, "--formats", "direct")
    mixed = study.conversations("cot", files.train, "--formats", given.formats)
    longer = epochs * len(given.formats.split(","))
    models = {
        "direct": study.train("direct", direct, "--epochs", EPOCHS),
        "direct-longer": study.train("direct-longer", direct, "--epochs", longer),
        "cot": study.train("cot", mixed, "--epochs", epochs),
    }
    readings = {
        f"Ours: direct answers (epochs: {EPOCHS})": ("direct", "direct"),
        f"direct answers, as many conversations as below (epochs: {longer})": ("direct-longer", "direct"),
        f"trained with CoT (epochs: {epochs}), read directly": ("cot", "direct"),
        f"Ours†: trained with CoT (epochs: {epochs}), read by CoT": ("cot", "cot"),
    }
    scored, rows = [], []
    for name, (model, method) in readings.items():
        both = study.read_both(f"{model}-by-{method}", files.test, models[model], "--method", method)
        scored.append(both["exact mean"])
        for reading, file in both.items():
            figures = study.measure(file)
            rows.append(Row(f"{name}, {reading}", (figures["srcc"], figures["plcc"])))
    print(TABLE.markdown(rows, note=f"Measured from {study.model}; 95 % intervals of the bootstrap."))
    study.compare(scored[3], scored[0], "CoT read by CoT less direct")
    study.compare(scored[3], scored[1], "CoT read by CoT less direct of the same length")
    study.compare(scored[2], scored[1], "CoT read directly less direct of the same length")
    study.compare(scored[3], scored[2], "reading by CoT less reading directly")


if __name__ == "__main__":
    main()
