"""How exact the tree pass is: largest differences of log-probabilities, in float32, as a table.

    python benchmarks/exactness.py

Against brute force: a plain forward pass over the whole text, for every fourth of the 401 numerals.
Batch: eight photos of mixed sizes together, against each alone. Cached: the way without a mask of our own.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / folder) for folder in ("support", "decoding"))]

import test_tree as t  # noqa: E402  the tests' own brute force and small models
from small_models import write  # noqa: E402

from realqa_cli import models  # noqa: E402
from realqa_cli.domain.numerals import numerals  # noqa: E402


def main() -> None:
    """One row a model."""
    warnings.simplefilter("ignore")
    texts = numerals(3, 1, 5)
    print("| model | brute force | batch | cached |\n|---|---|---|---|")
    for kind in t.KINDS:
        with tempfile.TemporaryDirectory() as folder:
            if kind in models.BUNDLED:
                backend = t.load(models.path(kind), min_pixels=56 * 56, max_pixels=140 * 140)
            else:
                family, _, merging = kind.partition("-")
                backend = t.load(write(Path(folder) / kind, family, merges_digits=bool(merging)))
            asks = t.asks(t.photos())
            together = backend.log_probs(asks, texts, ".")
            alone = np.concatenate([backend.log_probs([ask], texts, ".") for ask in asks])
            plain = t.brute_force(backend, asks[1], t.as_written(backend, texts)[::4])
            backend.takes_mask = lambda: False  # type: ignore[method-assign]
            cached = backend.log_probs(asks[:3], texts, ".")
        differences = (alone[1][::4] - plain, together - alone, cached - together[:3])
        print(f"| {kind} | {' | '.join(f'{np.abs(d).max():.1e}' for d in differences)} |", flush=True)


if __name__ == "__main__":
    main()
