"""Predictions in the form of the paper's release, `generated_predictions.jsonl`.

Each row has the texts `prompt`, `predict` and `label`. The release's evaluation script reads the number after "score
of this image is" in the label, and in a prediction without angle brackets; SRCC and PLCC are those of `realqa eval`.
"""

from collections.abc import Iterator

import numpy as np

from realqa_cli.domain.prompts import DIRECT_QUESTION, direct_answer
from realqa_cli.steps.evaluate.predictions import PredictionSet


def release_rows(sample: PredictionSet) -> Iterator[dict[str, str]]:
    """One row for each pair of score and MOS, in order, each on its own scale and unrounded.

    `image` is added to the release's fields.
    """
    for pair in sample.pairs:
        assert pair.score is not None
        assert pair.mos is not None
        yield {
            "image": pair.row.name,
            "prompt": DIRECT_QUESTION,
            "predict": direct_answer(_positional(pair.score)),
            "label": direct_answer(_positional(pair.mos)),
        }


def _positional(number: float) -> str:
    """The shortest decimal that reads back as the number, without an exponent."""
    return np.format_float_positional(number, trim="0")
