"""Tab. 1 of the paper: nine attributes, by a trained model and by the models of a server.

The trained model labels the test images itself (`realqa self-label`); the server's get the prompts
of `realqa annotate`, and each reply is paid for. With --tiny there is no server unless one is given, and the
model untrained on attributes serves as a general one.

    python examples/paper/table_1_attributes.py --tiny
    python examples/paper/table_1_attributes.py --train realqa-train.jsonl --test realqa-test.jsonl \\
        --server https://HOST/v1 --server-model gpt-4o --server-model gpt-4o-mini --work attributes
"""

from __future__ import annotations

from pathlib import Path

from tables import Figure, Row, Study, Table, parser, realqa
from tiny import add_data, data

KEYS = (
    "eye_catching",
    "composition",
    "subject_integrity",
    "subject_clutter",
    "background_clutter",
    "level_shot",
    "image_clarity",
    "exposure",
    "saturation",
    "average",
)
TABLE = Table(
    "Tab. 1",
    "attributes, SRCC / PLCC",
    (*(key.replace("_", " ") for key in KEYS), "rank"),
    (
        Row("Qwen2-VL-7B", ("0.627/0.692", "0.616/0.663", None, None, "0.269/0.265",
                            None, "0.444/0.518", "0.171/0.191", "0.507/0.559", None, "7")),
        Row("Ours", ("0.711/0.755", "0.825/0.854", "0.493/0.491", "0.552/0.641", "0.380/0.380",
                     "0.405/0.405", "0.640/0.702", "0.535/0.553", "0.752/0.774", "0.588/0.617", "1")),
        Row("GPT-4o", ("0.702/0.722", "0.795/0.812", "0.232/0.231", "0.337/0.372", "0.416/0.412",
                       "0.238/0.238", "0.625/0.676", "0.520/0.513", "0.633/0.655", "0.500/0.515", "2")),
        Row("Qwen-VL-Max", ("0.648/0.694", "0.701/0.749", "0.231/0.232", "0.461/0.488", "0.381/0.376",
                            "0.273/0.273", "0.581/0.622", "0.348/0.361", "0.683/0.686", "0.479/0.498", "3")),
        Row("GPT-4o-mini", ("0.678/0.707", "0.753/0.791", "0.164/0.167", "0.327/0.341", "0.354/0.356",
                            "0.266/0.266", "0.525/0.549", "0.293/0.313", "0.736/0.763", "0.455/0.473", "4")),
        Row("GPT-4V", ("0.656/0.708", "0.713/0.755", "0.212/0.213", "0.362/0.397", "0.363/0.368",
                       "0.319/0.319", "0.500/0.576", "0.282/0.311", "0.585/0.600", "0.444/0.472", "5")),
        Row("Qwen2-VL-72B", ("0.633/0.703", "0.615/0.677", "0.263/0.264", "0.455/0.476", "0.123/0.122",
                             "0.248/0.248", "0.587/0.645", "0.336/0.351", "0.652/0.665", "0.435/0.461", "6")),
    ),
)  # fmt: skip


def main() -> None:
    """Trains one model, lets every model label the test images, and prints."""
    options = parser(__doc__)
    add_data(options)
    options.add_argument("--server", metavar="URL", help="an OpenAI-compatible server, ending in /v1")
    options.add_argument("--server-model", action="append", default=[], metavar="NAME", help="may be repeated")
    options.add_argument("--annotate-options", default="", help="more options for realqa annotate")
    given = options.parse_args()
    study, files = Study(given), data(given)
    trained = study.train("all", study.conversations("all", files.train, "--stage", "attributes"))
    bounds = ["--min-pixels", 12544, "--max-pixels", 50176] if study.tiny else []
    labelled = {
        f"{study.model}, as it comes": study.self_label("untrained", files.test, study.model, *bounds),
        "Ours": study.self_label("trained", files.test, trained),
    }
    for name in given.server_model:
        output = study.work / f"{name.replace('/', '-')}.attributes.jsonl"
        more = given.annotate_options.split()
        realqa(
            "annotate",
            study.images(files.test),
            "--server",
            given.server,
            "--model",
            name,
            *more,
            "-o",
            output,
        )
        labelled[name] = output
    print(TABLE.markdown(rows_of(study, labelled, files.test), note=f"Measured on {files.test}."))


def rows_of(study: Study, labelled: dict[str, Path], truth: Path) -> list[Row]:
    """A row a model, with its rank by the average SRCC."""
    found = {
        name: study.measure(file, "--attributes", "--labels", truth, "--metric", "srcc", "--metric", "plcc")
        for name, file in labelled.items()
    }
    order = sorted(found, key=lambda name: -(found[name]["srcc of average"].value or -1))
    return [
        Row(name, [*(pair(figures, key) for key in KEYS), str(order.index(name) + 1)])
        for name, figures in found.items()
    ]


def pair(figures: dict[str, Figure], key: str) -> str | None:
    """SRCC / PLCC as the paper prints them; the average with the interval of its SRCC."""
    srcc, plcc = (figures[f"{metric} of {key}"] for metric in ("srcc", "plcc"))
    if srcc.value is None or plcc.value is None:
        return None
    text = f"{srcc.value:.3f}/{plcc.value:.3f}"
    return text if key != "average" or not srcc.ci95 else f"{text} ({srcc.ci95[0]:.3f} to {srcc.ci95[1]:.3f})"


if __name__ == "__main__":
    main()
