"""Tab. 3 of the paper: can a model sort ten numbers?

`realqa sort-probe` for every model, text only. The paper's six models by their short names; with --tiny the
bundled one, which has learnt to say scores and nothing else: it shows that the command runs.

    python examples/paper/table_3_sorting.py --tiny
    python examples/paper/table_3_sorting.py --model qwen2-vl-7b --model internvl2
    python examples/paper/table_3_sorting.py --server http://HOST/v1 --model qwen2-vl-7b
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from tables import TINY_MODEL, Figure, Row, Table, realqa

TABLE = Table(
    "Tab. 3",
    "sorting ten numbers",
    ("accuracy", "recall", "hallucination"),
    (
        Row("LLaVA-1.5-7B", (0.075, 0.953, 0.020)),
        Row("mPLUG-Owl2-7B", (0.399, 0.951, 0.024)),
        Row("Qwen2-VL-2B", (0.753, 0.981, 0.004)),
        Row("MiniCPM-V2.5-8B", (0.855, 0.995, 0.003)),
        Row("InternVL2-8B", (0.957, 0.997, 0.003)),
        Row("Qwen2-VL-7B", (0.968, 0.998, 0.003)),
    ),
)
MODELS = ("llava-1.5", "mplug-owl2", "qwen2-vl-2b", "minicpm-v2.5", "internvl2", "qwen2-vl-7b")


def main() -> None:
    """Probes every model and prints the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tiny", action="store_true", help="a few trials of the bundled model")
    options.add_argument("--model", action="append", metavar="NAME", help="may be repeated; the paper's six")
    options.add_argument("--server", metavar="URL", help="an OpenAI-compatible server that has the models")
    options.add_argument("--trials", type=int, help="200; with --tiny 5")
    options.add_argument("--work", type=Path, default=Path("paper-runs"), help="folder of the transcripts")
    options.add_argument("--probe-options", default="", help="more options for realqa sort-probe")
    given = options.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    trials = given.trials or (5 if given.tiny else 200)
    rows = []
    for model in given.model or ([TINY_MODEL] if given.tiny else MODELS):
        transcripts = given.work / f"sorting-{Path(model).name}.jsonl"
        server = ["--server", given.server] if given.server else []
        more = [*server, *shlex.split(given.probe_options), "--transcripts", transcripts, "--json"]
        for line in realqa("sort-probe", "--model", model, "--trials", trials, *more):
            cells = [Figure(line[name]) for name in TABLE.columns]
            rows.append(Row(f"{line['model']} ({line['unparsed']} of {line['trials']} without a list)", cells))
    print(TABLE.markdown(rows, note=f"Measured on {trials} trials; the transcripts are in {given.work}."))


if __name__ == "__main__":
    main()
