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

import brute_force as brute  # noqa: E402  the tests' own
import test_tree  # noqa: E402
from small_models import write  # noqa: E402

from realqa_cli import models  # noqa: E402
from realqa_cli.domain.numerals import numerals  # noqa: E402


def main() -> None:
    """One row a model."""
    warnings.simplefilter("ignore")
    texts = numerals(3, 1, 5)
    print("| model | brute force | batch | cached |\n|---|---|---|---|")
    for kind in test_tree.KINDS:
        with tempfile.TemporaryDirectory() as folder:
            if kind in models.BUNDLED:
                backend = brute.load(models.path(kind), min_pixels=56 * 56, max_pixels=140 * 140)
            else:
                family, _, merging = kind.partition("-")
                backend = brute.load(write(Path(folder) / kind, family, merges_digits=bool(merging)))
            prompts = brute.direct_prompts(brute.photos())
            together = backend.log_probs(prompts, texts, ".")
            alone = np.concatenate([backend.log_probs([prompt], texts, ".") for prompt in prompts])
            plain = brute.brute_force(backend, prompts[1], test_tree.as_written(backend, texts)[::4])
            backend.takes_mask = lambda: False  # type: ignore[method-assign]
            cached = backend.log_probs(prompts[:3], texts, ".")
        differences = (alone[1][::4] - plain, together - alone, cached - together[:3])
        print(f"| {kind} | {' | '.join(f'{np.abs(d).max():.1e}' for d in differences)} |", flush=True)


if __name__ == "__main__":
    main()
