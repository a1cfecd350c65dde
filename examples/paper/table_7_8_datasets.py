"""Tab. 7 and 8 of the paper: trained on one data set, tested on it and on others, with and without CoT.

For the real tables every file is labels with `mos`, as `realqa self-label DIR --dataset NAME --split SPLIT`
writes them; --table 8 is alike:

    python examples/paper/table_7_8_datasets.py --tiny
    python examples/paper/table_7_8_datasets.py --table 7 --train koniq-training.jsonl --work iqa \\
        --test "KonIQ-10k=koniq-test.jsonl" --test "SPAQ=spaq.jsonl" --test "LIVE Challenge=livec.jsonl"
    python examples/paper/table_7_8_datasets.py --table 8 --train ava-train.jsonl --work iaa \\
        --test "AVA=ava-test.jsonl" --test "TAD66K=tad66k-test.jsonl"

With --tiny: scenes of blurred, scaled and coded photos to train on; the same of other photos as the data
set's own test set, and scenes with noise and generated artefacts as the foreign one. Table 7 is of their
damage, Table 8 of their made-up aesthetics.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tables import Figure, Row, Study, Table, parser, read
from tiny import SAMPLES, damage, make, opinion

SEEN = frozenset(("rescale", "gaussian_blur", "defocus", "motion_blur", "ringing", "jpeg", "webp", "h264", "h265"))
NOISY = frozenset(("gaussian_noise", "shot_noise", "chroma_noise", "denoise", "oversharpen", "banding"))
UNSEEN = NOISY | {"melt", "smear", "checkerboard", "patchwork"}
TINY_SETS = {"damage as in training": SEEN, "other damage": UNSEEN}
OPINIONS = {7: "quality", 8: "aesthetics"}

TABLES = {
    7: Table(
        "Tab. 7",
        "quality: trained on KonIQ-10k",
        tuple(f"{data} {metric}" for data in ("KonIQ-10k", "SPAQ", "LIVE Challenge") for metric in ("SRCC", "PLCC")),
        (
            Row("HyperIQA", (0.906, 0.917, 0.788, 0.791, 0.749, 0.772)),
            Row("CLIP-IQA+", (0.895, 0.909, 0.864, 0.866, 0.805, 0.832)),
            Row("LIQE", (0.928, 0.912, 0.833, 0.846, 0.870, 0.830)),
            Row("DSMix", (0.915, 0.925, None, None, 0.791, None)),
            Row("Q-Align", (0.940, 0.941, 0.887, 0.886, 0.860, 0.853)),
            Row("LoDa", (0.932, 0.944, None, None, 0.811, None)),
            Row("QCN", (0.934, 0.945, None, None, 0.840, None)),
            Row("Ours", (0.939, 0.949, 0.878, 0.875, 0.878, 0.883)),
            Row("Ours†", (0.948, 0.959, 0.904, 0.906, 0.885, 0.898)),
        ),
    ),
    8: Table(
        "Tab. 8",
        "aesthetics: trained on AVA",
        ("AVA SRCC", "AVA PLCC", "TAD66K SRCC", "TAD66K PLCC"),
        (
            Row("HLA-GCN", (0.665, 0.687, None, None)),
            Row("MUSIQ", (0.726, 0.738, None, None)),
            Row("TANet", (0.758, 0.765, None, None)),
            Row("Yun et al.", (0.808, 0.804, None, None)),
            Row("Q-Align", (0.822, 0.817, None, None)),
            Row("Q-Instruct", (None, None, 0.137, 0.160)),
            Row("mPLUG-Owl2", (None, None, 0.215, 0.198)),
            Row("VILA", (0.774, 0.774, 0.350, 0.372)),
            Row("UNIAA (trained on five sets)", (None, None, 0.411, 0.425)),
            Row("Ours", (0.809, 0.807, 0.410, 0.440)),
            Row("Ours†", (0.828, 0.825, 0.413, 0.444)),
        ),
    ),
}


def main() -> None:
    """Trains two models, scores every test set by both and prints."""
    options = parser(__doc__)
    options.add_argument("--table", type=int, choices=(7, 8), default=7)
    options.add_argument("--train", type=Path, metavar="LABELS.jsonl", help="labels to train on")
    options.add_argument("--test", action="append", default=[], metavar="NAME=LABELS.jsonl", help="may be repeated")
    options.add_argument("--cot-epochs", type=int, help="epochs with CoT (6; with --tiny 2)")
    given = options.parse_args()
    study = Study(given)
    if given.train and given.test:
        train, tests = (
            given.train,
            {name: Path(file) for name, _, file in (text.partition("=") for text in given.test)},
        )
    elif study.tiny:
        train, tests = tiny_sets(given.work, given.photos or SAMPLES, given.scenes, OPINIONS[given.table])
    else:
        sys.exit("give --train and at least one --test, or --tiny")
    epochs = given.cot_epochs or (2 if study.tiny else 6)
    rows = [*rows_of(study, "direct", train, tests, given.table, "direct", 2),
            *rows_of(study, "cot", train, tests, given.table, "direct,cot,cot-regular", epochs)]  # fmt: skip
    print(tables_of(given.table, list(tests), rows, f"Measured from {study.model}; 95 % intervals of the bootstrap."))


def rows_of(
    study: Study, method: str, train: Path, tests: dict[str, Path], number: int, formats: str, epochs: int
) -> list[Row]:
    """Trains on the formats, scores every test set by the method: a row for each reading."""
    name = f"table-{number}-{method}"
    model = study.train(name, study.conversations(name, train, "--formats", formats), "--epochs", epochs)
    cells: dict[str, list[Figure]] = {"greedy": [], "exact mean": []}
    for place, labels in enumerate(tests.values()):
        for reading, file in study.read_both(f"{name}-{place}", labels, model, "--method", method).items():
            figures = study.measure(file)
            cells[reading] += [figures["srcc"], figures["plcc"]]
    title = "Ours" if method == "direct" else "Ours† (CoT)"
    return [Row(f"{title}, {reading}", figures) for reading, figures in cells.items()]


def tables_of(number: int, tests: list[str], rows: list[Row], note: str) -> str:
    """One table where the sets are the paper's, else the measured one above the published one."""
    published = TABLES[number]
    columns = [f"{data} {metric}" for data in tests for metric in ("SRCC", "PLCC")]
    if columns == list(published.columns):
        return published.markdown(rows, note)
    measured = Table(published.number, "measured on other sets than the paper's", columns)
    return measured.markdown(rows, note) + "\n" + published.markdown([])


def tiny_sets(work: Path, photos: Path, count: int, name: str) -> tuple[Path, dict[str, Path]]:
    """(labels to train on, test sets by name); only scenes whose damage is all of one family are used."""
    made = make(work / "scenes", photos, count)
    train = damage(opinion(made.train, name), SEEN, "seen")
    tests = {}
    for place, (title, kinds) in enumerate(TINY_SETS.items()):
        labels = damage(opinion(made.test, name), kinds, f"set-{place}")
        tests[f"{title} ({len(read(labels))} images)"] = labels
    return train, tests


if __name__ == "__main__":
    main()
