"""Fuzz the readers of answers with the guidance of coverage: every text is read, or refused in one line.

    pip install atheris
    python -m benchmarks.fuzz_parsers --seconds 120

Starts from the texts in tests/fuzz/corpus, which the ordinary tests read as well. A text that breaks a reader is
written to the current folder as crash-...; the remedy belongs into the reader, the text into the corpus.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
CORPUS = ROOT / "tests" / "fuzz" / "corpus"


def main() -> None:
    """Runs until the time is over, or a text breaks a reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["realqa_cli.domain", "realqa_cli.steps.annotate", "targets"]):
        from targets import TARGETS

    def one(data: bytes) -> None:
        text = data.decode("utf-8", errors="replace")
        for target in TARGETS:
            target(text)

    with tempfile.TemporaryDirectory() as found:
        limits = [f"-max_total_time={given.seconds}", f"-seed={given.seed}", "-max_len=4096", "-timeout=10"]
        atheris.Setup([sys.argv[0], *limits, found, str(CORPUS)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
